/*
Package usertcp is the client's end of very many TCP connections, in user space:
the least of TCP that a WebSocket client needs, over a TUN device, in 16 bytes per
connection. A socket of the kernel takes 4 KB, so a host that holds both ends of
its connections shows half of what the server could hold; with this it shows all.

	segment.go  IPv4 and TCP headers, read and written
	plan.go     which connection has which ends
	stack.go    the connections: open, send, close
	input.go    what comes from the server
	flight.go   what is not acknowledged yet, and timers
	device.go   the TUN device, its address, its queues
	rough.go    a wire that loses, repeats and reorders packets, for tests

	device, err := usertcp.OpenDevice("c10m%d", network, 1, usertcp.Sources(n))
	stack := usertcp.NewStack(usertcp.Config{Plan: plan, Write: queue.Write, ...}, user)
	stack.Open(0)
	for { packet, errno := queue.Read(); stack.Input(packet); stack.Tick() }

# The table

A connection's number gives both of its ends, and our end gives the number: the
first address, plus one for each 49,152 connections, with ports from 16,384 on. So
the table is an array and nothing is hashed. A connection has

	4  the next sequence number that it expects
	4  the next that it sends
	1  state, whether an acknowledgement is owed, and which use of it this is
	7  the user's (c10m/bench/load keeps a WebSocket in them)

and, only while it has sent what is not acknowledged, an entry in a map with those
bytes (flight.go): a SYN, a request, a pong.

# What it does, by RFC 9293 and its like

It opens (never listens), with an MSS of 1,460 and no other option: no window
scaling, no timestamps, no SACK. It takes what is in order and drops the rest with a
duplicate acknowledgement at once (RFC 5681, 4.2), so its window of 65,535 never
closes. It acknowledges each segment at once or, if so told, within a time and
every second one at once. It sends again after 1 s, twice that and so on, six
times. It knows FIN both ways and half-closed connections, RST both ways with the
checks of RFC 5961, and answers whatever nobody expects with a reset. Checksums are
the device's: the kernel neither makes nor checks them on a packet that stays on
its host; without a device they are made and checked here.

It has no congestion control: it sends a request and some pongs. It has no
TIME_WAIT: a connection that is opened again begins far above the sequence
numbers of the last.

# Who owns what

A Stack, its queue and its wire belong to one goroutine. Several stacks share
nothing: each has addresses of its own, and a BPF program of five instructions
gives each queue the packets for them (TUNSETSTEERINGEBPF).

# Invariants

  - The user gets each byte once and in order, whatever the wire does to packets.
  - What a peer sends never makes more than one flight per connection, of
    at most 16 KiB, nor any state for what is out of order.
  - A connection that nobody uses has no flight, but for a FIN that is not
    acknowledged yet.
  - Delivering and acknowledging allocates nothing.

# Limits

All in limits.go. IPv4 only. Some 6,000,000,000 connections have room in 198.18.0.0/15,
to one port of the server. One queue and its thread take 170,000 messages a second
and 40,000 connects a second on a host of two cores, both shared with the server.

# Tried and dropped

  - netem for losses and reordering in tests: many kernels are built without it
    (the one this was made on), and on the device it sees one direction only.
    rough.go sees both, with a seed.
  - The flows that TUN keeps by itself for several queues: 4,096 of them, forgotten
    after 3 s.

# What looks wrong and is deliberate

  - A second SYN-ACK, or any SYN, on an open connection gets an acknowledgement and
    nothing else: either ours was lost, or somebody guesses (RFC 5961, 4.2).
  - Read and Write of a queue are raw system calls: neither blocks, and a write
    does the server's receiving on this thread (5 to 10 us).
  - The device goes with its last queue. Its server's sockets live on until they
    notice, so whoever ends a stack resets its connections first.
*/
package usertcp
