// Package poller is the reactor: loops that own connections and tell a Handler
// what happens on them. It knows descriptors and epoll, and nothing of HTTP,
// WebSocket or channels. docs/internals/poller.md has how it accepts, how loops share
// processors, how it stops, all with measurements, and what was dropped.
//
// # Shape
//
// A Loop is one locked thread with an epoll, a mailbox and the records of its
// connections. Newcomers come to it by a lane: listeners for every address
// (SO_REUSEPORT), which it has for itself or shares with loops that accept when it
// is full. Loops share nothing else but, without private descriptor tables, the list
// of record chunks. Post is the one door that leads in from outside; it takes no lock. Run
// queues control calls (stop accepting, drain) ahead of messages. Nothing bounds it, so
// it is not for anything that comes once per message.
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
//     together: their ticks share a clock (conn/timers, OnBeat), and a loop naps (Nap)
//     while answers to its pings gather.
package poller
