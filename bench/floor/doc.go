// Floor measures the server beside the floor: what one thread can do that only
// calls send(2) on the same number of sockets, with no epoll and nothing else
// per send. A ratio of 1.0 means that the server costs nothing on top.
//
//	floor --server bin/10m-server
//	floor --server bin/10m-server --in-flight 8
//
// # What is the same on both sides
//
// One run measures both, in turns, since the speed of a host changes by the
// minute. The client is the same package in this process, with as many loops;
// the number of sockets, the frames and their bytes are the same; the next
// message goes out when the last has reached everybody. All sockets of both
// sides stay open throughout: those of the side that rests cost nothing.
//
// What differs: the floor's sender has no handshake behind it, gets a line on a
// pipe where the server gets a PUBLISH, and is one thread where the server has
// as many as it likes. The ratio is about that: what all of the server
// delivers against one thread of nothing but send.
//
// # Reading the columns
//
// Both sides and the client share the host's processors. "sender" (the bare
// loop, or the server) and "client" are processors used (/proc/PID/stat,
// getrusage); "others" is the rest of /proc/stat: other programs, mostly. On a
// quiet host it is 0.00; from 0.2 on the row says so itself, and the rates say
// little. "/s per core" is deliveries per second of the sender's processor
// time, which holds better: it is what one delivery costs.
//
// A row that no one saturated is real, too: with one message under way a loop
// that is done waits for the slower one, and the client for both.
//
// # Limits
//
// The sender has one descriptor table, so about 19,000 connections under a hard
// limit of 20,000. Everything is bounded in time; the children are killed by
// their process number at the end, on errors and on signals, and by the kernel
// (PR_SET_PDEATHSIG) if this process is killed.
//
// # What looks wrong but is deliberate
//
// The goroutine that starts a child keeps its thread until the child is gone:
// PDEATHSIG follows the thread that made the child, and the client's loops end
// their threads.
//
// With --in-flight 8 the floor still does one send per message and socket: it
// is the floor, and batching is the server's merit.
package main
