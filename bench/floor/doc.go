// Floor measures the server beside the floor: a bare program that does the same
// with nothing but system calls. A ratio of 1.0 means that the server costs
// nothing on top.
//
//	floor                    deliveries a second, beside a loop that only sends
//	floor --in-flight 8
//	floor connects           connects a second, and memory of the whole host
//	floor storm              how long until all are back after all were dropped
//	floor pings              processor time for a ping and its pong
//
// # What is the same on all sides
//
// One run measures all sides, in turns, since the speed of a host changes by
// the minute. The client is the same package with as many loops; the number of
// sockets and of ports, the frames and their bytes are the same. Beyond one
// descriptor table all have tables of their own by the poller's mechanism, and
// the bare acceptor has as many loops and the same GOMAXPROCS as the server
// (package tuning decides for both).
//
// # sends
//
// The next message goes out when the last has reached everybody. All sockets
// of both sides stay open throughout: those of the side that rests cost
// nothing. The sender gets a line on a pipe where the server gets a PUBLISH,
// and is one thread where the server has as many as it likes. The ratio is
// about that: what all of the server delivers against one thread of nothing
// but send.
//
// With more than one message under way (--in-flight) there is a third side, which
// batches: the same bare loop, but all messages that wait go into one send for each
// socket, as the server's sweeps do. The ratio to it is the one to be proud of: that to
// the loop without batches says how much batching is worth, to anybody.
//
// Above one table (19,900 connections under a hard limit of 20,000) the sender
// has a thread for each, which hand a baton on: one sends at a time, so it is
// one thread's work still, and a switch for every 19,400 sends.
//
// # connects
//
// Each side of each round is two new processes, acceptor and client, so that
// neither memory nor ports of the one before are in it; the next begins when
// the kernel has freed its sockets. The sides are
//
//   - bare: accept4 and epoll_ctl in a loop, and nothing else. The client only
//     connects. The time ends when the last is accepted.
//   - exchange (with --exchange): also reads a request and answers with the
//     129 bytes of the server. It parses nothing, but hashes the key, since the
//     client, which is the server's, checks that: 0.2 us. The difference to
//     bare is what any handshake costs, the one to server what ours does.
//   - server: the time ends when the client has read the last answer.
//
// Memory of the host is MemTotal - MemFree - Buffers - Cached of
// /proc/meminfo, less the free pages that processors keep for themselves
// (memory.go), all connected minus before. The client is in it on all sides.
// Other programs are, too: at 18,000 pairs (144 MB) a megabyte is 0.7 %, and a
// compiler that runs is 20; from 100,000 on it holds within 1 %.
//
// # storm
//
// The client resets all connections, opens as many again at once, and the
// time runs from the first reset until all are open on both ends. The bare
// sides are those of connects. All sides stay open throughout.
//
// # pings
//
// Idle connections get a ping each in an interval, by the server and by a bare
// program, which answers the client's requests as in exchange and then does
// nothing but this: at every beat (--beat), which all its loops share, each sends its
// share of pings in a row, reads the pongs to those of the beat before, and sleeps until
// the next. It looks at nothing in between, not even at newcomers, so it is less than
// any server can do. How many pings there were is the client's count on both
// sides, and the sides are made anew in each round, since a server cannot be
// asked to rest. On loopback a ping runs the client's part of TCP, too, and wakes the client's
// thread: it is in both sides' figure, and would not be with clients elsewhere.
//
// # Reading the columns
//
// All processes share the host's processors. "sender", "acceptor" (the bare
// program, or the server) and "client" are processors used (/proc/PID/stat,
// getrusage); "others" is the rest of /proc/stat: other programs, mostly. On a
// quiet host it is 0.00; from 0.2 on the row says so itself, and the rates say
// little. "/s per core" is deliveries per second of the sender's processor
// time, which holds better: it is what one delivery costs. In runs of less
// than a second the clock of /proc/PID/stat (10 ms) shows.
//
// On loopback much of the kernel's work for one end is done, and counted, in
// the process at the other: a connect runs the listener's part of the
// handshake. So "the host" is who is used up in most rows of connects.
//
// A row that no one saturated is real, too: with one message under way a loop
// that is done waits for the slower one, and the client for both.
//
// # Who owns what
//
// This process starts and asks the others (partner.go), and holds nothing but
// the clients of sends. Roles are this program again with a first argument
// (main.go). A child ends with its standard input; it is killed by its process
// number at the end, on errors and on signals, and by the kernel
// (PR_SET_PDEATHSIG) if this process is killed.
//
// # Limits
//
// All in limits.go; everything is bounded in time. A million connections need
// 8.4 GB. Ports are taken from --first-port up to 32,000.
//
// # What looks wrong but is deliberate
//
//   - With --in-flight 8 the floor still does one send per message and socket:
//     it is the floor, and batching is the server's merit.
//   - The bare acceptor's threads are those of a poller whose loops never turn
//     again: the rules for private tables are the poller's, its costs are not
//     in the floor.
//   - The client closes with resets. A FIN would leave 18,000 sockets in
//     TIME_WAIT for a minute: 4 MB that the next side would be charged for, and
//     ports that connect(2) would search past.
//   - The server may hold 1 % more than it gets, here and by --max-connections:
//     in a storm the new overlap with the old.
//
// # Tried and dropped
//
//   - MemFree alone: the processors' own free pages were 310 MB on two
//     processors, and 18,000 pairs seemed to cost 2,500 bytes each.
//   - The client in this process for connects, too: what the heap keeps after
//     the first side made every later one look cheaper.
package main
