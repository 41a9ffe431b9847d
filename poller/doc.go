// Package poller is the reactor: loops that own connections and tell a Handler
// what happens on them. It knows descriptors and epoll, and nothing of HTTP,
// WebSocket or channels.
//
// # Shape
//
// A Loop is one locked thread with an epoll, a mailbox and the records of its
// connections. Newcomers come to it by a lane: listeners for every address
// (SO_REUSEPORT), which it has for itself or shares with loops that accept when it
// is full. Loops share nothing else but, without private descriptor tables, the list
// of record chunks. Post is the one door that leads in from outside; it takes no lock. Run
// is the side entrance for the operator's word (stop accepting, drain), which
// must not wait behind a flood of messages: nothing bounds it, so it is not for
// anything that comes once per message.
//
// A turn is the list of phases in Loop.turn: wait, mailbox, events, ticks,
// sweeps, reap, check. Each is bounded by a constant of limits.go, chosen so
// that a turn takes about a millisecond (c10m_loop_turn_seconds tells what it
// really takes) and everything gets its share: a message
// to one client leaves in the middle of a sweep over millions.
//
// # Records
//
// What the server keeps per idle connection is a Record of 32 bytes in chunks
// of 4,096 (128 KiB), mapped outside the garbage collector's heap and indexed
// by descriptor. It has 5 bytes of ours (generation, flags), 3 of the
// connection's state, and 24 that the handler lays out; conn gives them to
// channel for the membership. With it goes one bit in the loop's set of own
// descriptors, by which a walk for pings finds them.
//
// # Identity
//
// (loop, descriptor, generation) names a connection. The generation travels in
// the epoll data; an event whose generation is not the record's is dropped and
// counted. Generations count up per loop and are never 0: epoll data with
// generation 0 is the loop's own (its eventfd, its lane's epoll).
//
// # Closing
//
// Close marks; the reaper at the end of the turn calls Handler.Closed and
// closes the descriptor. So no number is reused while somebody in the same
// turn may still have it in hand, and a handler may close a connection from
// anywhere, its own callbacks included.
//
// # Accepting
//
// A lane's listeners are in an epoll of their own, nested in the loop's: pausing is
// one call whatever the number of ports. With TCP_DEFER_ACCEPT a connection
// arrives with its request, is read and answered in Handler.Open, and enters
// epoll only then: accept, recv, send, epoll_ctl, nothing else. Errors of
// accept are of four classes: of that one connection (go on), of a full table (pass
// the lane on), exhaustion (pause 100 ms; the tick re-arms), unexpected (pause, and
// count apart). None ends the server, none spins. A table is full, before the kernel
// says EMFILE, when it holds TableConnectionsMax connections, so that newcomers who
// never send a request leave descriptors to the bus and to the admin pages; after an
// EMFILE it is for 100 ms. If there is nobody to pass the lane to, the loop pauses.
//
// Config.AcceptRate bounds how fast newcomers come in (rate.go). It is one number
// for all loops, touched on the way of an accept only: a share for each would
// starve where the kernel brings most newcomers to one of them. Who has to wait
// does so in the listener's queue: net.core.somaxconn (4,096) for each lane and
// port. What finds it full is not refused or reset: its SYN is dropped, and the
// client's kernel sends it again after 1, 3, 7 seconds (tcp_syn_retries, tcp(7)).
//
// # Lanes
//
// Descriptor tables make more loops than processors, 54 for a million connections
// under a nofile limit of 20,000. When each had listeners of its own, the kernel gave
// every newcomer to another of them: a wake-up, two epoll_waits and a switch of
// threads for one or two accepts, in caches that were cold. Now as many loops accept
// as there are processors. When the table of one is full, it passes the lane on to
// the loop of its lane that has the fewest connections, together with all who wait
// in the queues. Connects a second, on two processors that the client shares
// (scripts/five-million; scripts/million):
//
//	                                           a listener each    2 lanes
//	to 300,000, ends in user space, 16 loops            47,398     51,223
//	to 5,000,000, ends in user space, 262 loops         24,883     43,917
//	to 1,000,000, ends in the kernel, 52 loops          14,382     24,494
//
// The listeners of a lane are one set of sockets, under the same numbers in the
// tables of all its loops: the main thread opens them, the lane's loops inherit them
// as they unshare, and the main thread closes its own. So passing a lane on is two
// calls of epoll_ctl, no newcomer notices, and 4 KB of kernel memory for each port
// are there once for a lane instead of once for a loop.
//
// The loop that holds a lane gets its share of the processors and no more, which is
// little while 260 loops sweep. A loop that is awake for a sweep and has room
// therefore looks into its lane, too (acceptor.visit).
//
// Its price: those who come together are with one loop. If that loop is posted to far
// more often than others while all sweep, the kernel, which is fair to threads, lets it
// wait: with the receivers of 100 messages a second on 2 of 262 loops their p99 was
// 16 to 23 ms, and 5 ms with them spread (SCENARIOS=mixed make five-million).
//
// Who waits at a lane whose tables are all full waits for one of those: the kernel has
// chosen the lane, and another cannot take from its queues. When any of its loops has
// room again, the one that holds the lane finds that out at the end of its pause.
//
// # Writing while the kernel is short of memory
//
// A send then says EAGAIN, ENOBUFS or ENOMEM though epoll calls the socket
// writable: no close, and no spinning either (stall.go). EPOLLOUT is taken away
// for 50 ms. It is 16 bytes for each such connection, while it lasts.
//
// # Stopping
//
// A process that is to be replaced must not lose those who are on their way
// in. What closing a listener loses, measured with 20 replacements of two
// listeners by two others of the same port, under 32 clients that connect, send
// and read without a pause (Linux 6.18, TCP_DEFER_ACCEPT on; without it "close"
// lost 38 and "accept for 900 ms" 9; in the last line they paused 2 ms before they
// sent, and of the fourth 31 more gave up after 10 s, as replacements followed each
// other at once):
//
//	                                       connects     reset    waited for a 2nd SYN
//	close                                     7,085        60                       0
//	accept what waits, close                  7,782        42                       0
//	accept for 900 ms, accept, close         50,696        12                       0
//	drop SYNs for 900 ms, accept, close       4,032         0                     621
//	the same, SYNs directed to the others    40,282         0                      33
//	close, with net.ipv4.tcp_migrate_req=1   11,084         0                       0
//
// So StopAccepting first diverts the listeners (Kernel.Divert). A classic BPF
// program on the port's SO_REUSEPORT group picks listeners that joined it after
// ours; a socket filter (SO_ATTACH_FILTER) drops every SYN that comes to ours
// all the same, while handshakes that have begun go on. After HandoverGrace
// nothing is left but what waits in the queue, which is accepted. Neither needs
// a privilege, both belong to the listeners and go with them. What remains:
//
//   - A handshake that takes longer than HandoverGrace, or a request that comes
//     later than that after its connect, may be reset; net.ipv4.tcp_migrate_req=1
//     covers them (the doctor says so).
//   - The first program goes by the order in which listeners began to listen.
//     That order is right for one old and one new process with as many lanes or
//     more. Otherwise (three generations at once, fewer lanes) some newcomers
//     meet the filter, and are served a second later, when they repeat the SYN.
//   - A process that is killed in that time leaves the program on the group: it
//     then picks among the later of the new process's listeners, if that has
//     more than the old one had, until the next replacement.
//
// # Private descriptor tables
//
// A loop may unshare its thread's descriptor table (unshare(2), CLONE_FILES):
// RLIMIT_NOFILE then holds per loop. The rules, without which it breaks in
// ways that are hard to see:
//
//   - The runtime's own poller is started first (startNetpoller), since any
//     thread writes to its eventfd by number; inherited descriptors stay open.
//   - All wake-up eventfds are made before the first unshare, so that every
//     table has every loop's eventfd under one number. One made afterwards
//     would be somebody else's descriptor to whoever posts.
//   - A lane's listeners and their epoll are made in the main table before its
//     loops unshare, and closed there afterwards, so that a table holds its own
//     lane's and no other. A listener is closed when every table has closed it:
//     the loop with the most room is last (Poller.StopAccepting).
//   - The loop's epoll is made on its own thread, after it.
//   - A loop's thread makes raw system calls on its own descriptors only. No
//     library, no logging, no os.File.
//   - The thread ends locked, so that the runtime destroys it and never runs
//     another goroutine in its table. It is never the process's first thread.
//
// /proc/PID/fd shows the main table alone.
//
// # More loops than processors
//
// Private descriptor tables make more loops than processors: 11 for 200,000
// connections under a limit of 20,000, 54 for 1,000,000. How these share the
// processors decides over everything, and two aims are at odds (measured with
// 200,000 connections, 11 loops, the client on the same two cores):
//
//	                                  kernel's slices   always by turns   now
//	one message at a time, of the floor      1.43-1.50         0.70    as 1st
//	connects a second                           26,000       19,000    as 1st
//	a message to one during sweeps, p99          76 ms     4 to 21 ms  2.5 to 18 ms
//
// So the turnstile (turnstile.go) stands open, and the kernel shares the
// processors, until a message to few members comes while its loop sweeps over
// many, or some loop has many events (Urgent, Crowded). For two seconds from then on, as many loops work as there are
// processors, in quanta of 150 us; whoever is posted to passes at once, for a
// turn in which it does not sweep. The short slices that the kernel is asked for
// (tuning.ShortSlices) are the other half: without them it was 16 ms where it is 6 with them.
//
// For a crowd it does less than for a sweep, since a turn that closes a hundred
// connections is milliseconds of the kernel's: 53 ms became 36 and 40 (p99, 1,484,000
// that leave at once), and with 4,949,000 it was 412 ms all the same.
//
// It is off for loops that are bound to processors, which are as many.
//
// # Bound to processors
//
// With Config.CPUs each loop has a processor, and its listeners ask for the
// connections whose packets arrive there (SO_INCOMING_CPU): the kernel's receive
// path and ours then use one processor's caches. With 18,000 connections and
// eight messages under way, client and server bound so took 2.26 us of processor
// time for a delivery, both ends and the kernel included, instead of 2.58. A
// network card with one queue would bring all connections to one loop, so
// each loop compares itself with the mean once a second and stops asking when
// it has far more (place.go). Descriptor tables of their own rule it out: each
// holds only its share, and those of a busy processor would be full while
// others are empty (tried: connects timed out at 93 %).
//
// # Invariants
//
//   - A record with flagOpen has its bit in exactly one loop's own set.
//   - A lane is held by the loop that its holder names, or is on its way there. Its
//     epoll is in no two loops' epolls.
//   - A connection that Open was called for gets exactly one Closed.
//   - While a loop waits without a time-out of 0, its mailbox is empty and
//     asleep is set; a poster that finds it set wakes it, once.
//   - EPOLLOUT is asked for only between ArmWrite(true) and ArmWrite(false).
//   - A loop that sleeps has no seat. Seats taken and seats free are together as
//     many as there are.
//   - A loop that waits for a seat and has letters which its handler would take
//     has a pass, or somebody is about to give it one.
//
// # What looks wrong and is deliberate
//
//   - The eventfd is never read: it is edge-triggered, so each write is one
//     event, and 64 bits of count do not run over.
//   - EPOLLERR and EPOLLHUP are reported as Readable: the handler's recv
//     fetches the error.
//   - mailbox.push may let one letter pass mailboxBytesMax: otherwise a letter
//     larger than the limit could never be posted.
//   - StopAccepting does not keep to the accept rate at its end: what waits in the
//     queues would be reset.
//   - A loop that waits for its part of the accept rate has it already: the
//     reservation is what makes the loops take turns.
//   - The end of StopAccepting is one long turn: up to 4,096 accepts per listener,
//     since what waits in its queue would be reset.
//   - Diverted listeners drop SYNs although nobody else may listen: a server that
//     is started a second after the old one ended then still gets those clients.
//   - The listeners of all ports are opened for every lane: the kernel spreads
//     connections over a SO_REUSEPORT group, while over ports only the clients do.
//   - ":10000" listens on IPv4 only: a connection that a dual-stack listener
//     accepts is a tcp6_sock, which is larger: listeners were measured at 3 %
//     more kernel memory (tuning/limits.go).
//   - A loop without work ticks once a second, because time-outs are looked
//     for, not armed: 272 idle loops are 272 wake-ups a second.
//   - A waiting loop keeps its P for up to 10 ms, until the runtime's sysmon takes
//     it, and sysmon then looks every 20 us for some milliseconds: 38 % of what
//     200,000 connections with a ping a minute cost. entersyscallblock would give
//     the P back at once, and is not for us to call. So loops sleep seldom and
//     together: their ticks share a clock (conn, onBeat), and a loop naps (Nap)
//     while answers to its pings gather.
//
// # Weighed, and dropped
//
//   - A token bucket for the accept rate: loops that find it empty look again at
//     the same moment, and the first in line has all of it each time.
//   - To give back at the end of every turn what of a reservation was not used. A
//     turn takes 8 of a listener, so a loop then slept a millisecond for each 8: 11
//     turns for a share of 30.
//   - Putting listeners into the loop's own epoll: a storm of newcomers on
//     1,001 ports fills every wait, and pausing is 1,001 calls.
//   - A lock and a slice as mailbox: a publisher that is scheduled away while it
//     holds the lock stops a loop.
//   - A turnstile of tickets, first come first served: each seat goes to the loop
//     that waited longest, and stays empty until the kernel has found that one a
//     processor. 54,800 deliveries a second where 90,800 were without.
//   - To begin the collector's cycles ourselves, a little early, once all loops but
//     two had gone to wait at the turnstile. The longest stop of a run up to
//     1,000,000 connections was 84 to 134 ms without and 100 ms with it. Threads
//     wait for processors then, behind the 52 of the client: at 200,000 connections
//     it was 18 ms, and 1.6 ms with a client of nice 19 (bench/RESULTS.md).
//   - Fewer collections, by 16 MiB of heap that nobody touches (a ballast), which
//     the collector counts: 5 instead of 16 while a million connect and are held, but the
//     longest stop was 168 ms beside 201 (single runs, with other ping intervals),
//     and 17 MiB more were resident. What a
//     newcomer leaves as garbage is 32 bytes (the library's answer), since what
//     epoll_ctl is told no longer stands on the heap.
//   - Syscall instead of RawSyscall where loops outnumber processors, so that a
//     thread which lost its processor inside a send holds no P for which the
//     collector waits. With 54 loops sweeping over 150,000 connections on a host
//     that was full, 33 collections were as before: half of the stops below 0.1
//     ms, one in 16 above 10 ms.
//   - Handing listeners over (SCM_RIGHTS) as HAProxy does: nothing can be lost, but
//     each of them would have to come into the right private table, and a server
//     with other loops, ports or options would have to sort out what it got.
//   - A backlog of 0 on listeners that are to be closed: with SYN cookies they go on.
//   - Edge-triggered epoll, to spare one poll of the socket per event: no
//     difference that the noise of 3 % did not hide.
//   - Loops in fewer threads than tables: a thread has one table for good, and
//     io_uring's registered files, which are none, count against the same limit.
package poller
