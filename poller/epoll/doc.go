// Package epoll is the engine of the kernel's sockets: a poller.Engine for each loop,
// over epoll(7). It knows descriptors, listeners and what their errors mean, and nothing
// of what is said on a connection. docs/internals/poller.md has the measurements.
//
// # Shape
//
// Start makes the engines of a process, which share its listeners and an accept rate, and
// adds their loops to a poller. Newcomers come by a lane: listeners for every address
// (SO_REUSEPORT), which a loop has for itself or shares with loops that accept when it
// is full. Each listener has a tag, which the handler gets with the newcomer. Without
// private descriptor tables the engines also share the list of record chunks.
//
// A connection's number is its descriptor. Its record is in chunks of 4,096 (128 KiB),
// indexed by descriptor. The generation travels in the epoll data; an event whose
// generation is not the record's is dropped and counted. Generation 0 in the epoll data
// is the engine's own: its eventfd, its lane's epoll. In a lane's epoll the same word is
// the listener's tag.
//
// Kernel is every system call that a running engine makes. Linux is the real one;
// epolltest has a fake that injects partial writes and errors by a seed.
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
//     the loop with the most room is last (Sockets.StopAccepting).
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
//   - A lane is held by the loop that its holder names, or is on its way there. Its
//     epoll is in no two loops' epolls.
//   - EPOLLOUT is asked for only for a record with FlagWriteArmed, and not while it is
//     stalled.
//
// # What looks wrong and is deliberate
//
//   - The eventfd is never read: it is edge-triggered, so each write is one
//     event, and 64 bits of count do not run over.
//   - A first write that takes nothing though epoll had said that there is room stops
//     EPOLLOUT for 50 ms: the kernel is short of memory, and epoll would say it again at
//     once (stall.go).
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
//   - wakeEpfd, for naps, is made at the first one and kept: most loops never need it.
package epoll
