// Package load is a client for very many connections, most of them WebSockets: it opens them,
// checks what arrives on each, and drives messages through a server to see how
// fast they reach everybody.
//
//	client, err := load.Start(load.Config{
//		Spread:        load.Spread{Host: host, FirstPort: 10000, PerPort: 50_000, Connections: 18_000},
//		Channel:       "news",
//		FirstSequence: 1,
//	})
//	defer client.Stop()
//	_, err = client.AwaitConnected(ctx)
//	bus, err := load.DialBus("127.0.0.1:6379", "")
//	run, err := client.Drive(ctx, load.Drive{Messages: 100, Send: client.Publisher(bus, 256)})
//	snapshot := client.Snapshot() // snapshot.Fault() is empty if all is well
//
// # Who owns what
//
// A client is a poller without listeners. Each loop (a handler) opens its share
// of the connections itself, on its own thread, with raw system calls, and
// adopts them: with a descriptor table per loop, a number of one table means
// nothing in another. Everything of a connection belongs to its loop. Questions
// go in by Run and are answered on the loop's thread, so counters are plain
// integers. Two things are shared on the way of a message: the ledger, which a
// publisher writes and a connection reads when it opens, and a track, while
// Drive is on: one atomic per loop and message, not per delivery.
//
// # Several clients, storms and churns
//
// A process may have several clients, one for each kind of connections that is
// to be measured by itself: what arrives at one does not wait behind what the
// loops of another have to read. Spread.Skip keeps their local ports apart. One
// with a descriptor table per loop starts before the connections of one without,
// whose descriptors it would keep open else.
//
// Storm and Churn (returns.go) close connections and have them come back, each
// under its number and so with its source address and channel. One that is
// closed is not due anything any more; when it is back, it is due what is
// handed to the bus from then on. With ForGood nobody comes back, and nothing is kept
// of who left; Subscribers asks a server's own bus how many of them it still has.
//
// # Ends in user space
//
// With Config.UserSpace the ends of the connections are not the kernel's but this
// process's (package usertcp), over a TUN device. The handler and the loop are the
// same; the loop's engine is epoll's over sockets, or a userEngine over a queue of the
// device. A descriptor is then a place in the table of 16 bytes, of which 7 are a
// packed record (userengine.go); the loop has a bit beside it. What the stack hears in
// a Wait is kept until the loop reads it in the same turn, and acknowledgements that
// may not wait leave after that. The process runs before
// the server (nice -15, if allowed): it stands for a network and for
// programs on other hosts, which would not wait for a processor of this one. Stop
// resets all connections: their server would not notice otherwise.
//
// Config.Beside is a client of sockets on the same channel: one ledger, one Drive,
// and counters and latencies apart.
//
// # Dialects
//
// How a server is spoken to is a line of the table in dialect.go: what a new connection
// says first, how the answer is judged, how bytes become messages, what is said to
// subscribe and to leave. Carriers are what several have in common: a WebSocket
// (websocket.go, frame.go), server-sent events (events.go), frames without a handshake
// (Bare). Nobody else asks which dialect is spoken (TestDialectsAreAskedNothingByName).
// All connections of a client speak one.
//
// # What a connection costs
//
// The client: its record of 32 bytes, of which the handler uses 20 (sequence,
// number, messages received, slot, marks), and a bit in the loop's set.
// Four bytes more in a ledger if it has a channel of its own. Per loop, up to
// four histograms of 26,692 bytes, each from its first duration on. No heap
// object. Cold state exists only while it is needed: a slot while a handshake
// is under way (at most 256 per loop), a partial inside a cut message (about 600
// bytes, reused), a list of gaps after a loss.
// The kernel: 3,965 bytes per client end of an idle connection; both ends on
// one host, about 8,000.
//
// Measured, with what was tried and dropped: docs/internals/load.md.
//
// # Limits
//
// All in limits.go. With a hard limit of 20,000 open files a loop holds 19,400
// connections; the number of loops follows (loops = connections / (limit -
// 600), never fewer than the cores), and GOMAXPROCS is two more than all loops.
// A source address is used for 50,000 connections to one port, from local ports
// 12,000 on that the client binds to; 5,000,000 to 100 ports need 100 addresses.
// On loopback there are addresses enough; elsewhere Spread.Sources names them.
// If the kernel chooses (BindKernel), it has 28,232 ports, of which only half
// are found quickly (limits.go), so a new source is taken every 12,500.
//
// # Checks
//
// Events: lines end as they should, and have no CR; types are known; what is base64 is.
// A heartbeat counts as a ping, a close event as a close frame with its code, and a
// gap that the server tells of is a fault. Frames: unmasked, no reserved bits, known opcodes, shortest length, control
// frames whole and short, fragments in order, close codes, UTF-8 of texts.
// Messages that carry our stamp (stamp.go): sequence per connection (lost,
// duplicated and out of order are exact, as long as a connection has at most 64
// gaps), every byte of the filler, and the time on the way. With
// Config.Publishes the begin and the end of each sequence are checked against
// the ledger, too: a number is entered before the bus gets the message, so the
// first to come to a connection is at most one more than what the ledger said
// when it opened, and Missing is what the last to come lacks. A close frame of
// ours has to be echoed, and the stream to be ended after it. A server that
// breaks the protocol loses that connection, and the kind is counted.
//
// # What looks wrong but is deliberate
//
//   - A connection that opens reads the ledger when its 101 is read, not when
//     the server sent it: what was published in between may come or not. From
//     outside it cannot be told whether it was due.
//   - Storm gives every connection the number of the storm after which it
//     opened, so that the walk that closes them leaves alone who is back.
//   - One Recv per event, though more may be there: epoll says so again, and
//     the others are not kept waiting.
//   - After a close frame the client answers and then waits for the server to
//     end the stream, however long that takes: it is the server's part (RFC
//     6455 section 7.1.1), and only Stop cuts it short.
//   - Stop closes the sockets without a close frame, as a client that dies
//     does. Whoever wants to see the server's part closes from there.
//   - A refused upgrade is not tried again, whatever its status: the server was
//     reached and said no. Connections that were refused, reset or timed out
//     are.
//   - The stamps of two publishers on one channel look like duplicates: there
//     is one sequence per channel, and it begins with 1.
package load
