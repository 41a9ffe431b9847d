// Soak runs everything that wears a server out together, for an hour or as long
// as it is told to, and checks in the end what is left: memory, descriptors,
// counters, and the order of every message at every connection.
//
//	make soak                # an hour
//	make soak DURATION=3m
//	SOAK_SEED=7 make soak    # the kinds of faults, their order and the pauses of that run
//	bin/soak --help
//
// It starts a Redis and a 10m-server with that as its bus, and ends both,
// whatever happens. A line of progress comes once a minute. The report goes to
// bench/results/soak.txt, .json and .html. The exit status is 0 if all checks
// passed, 1 if not, and 130 if it was interrupted, which judges nothing.
//
// # What runs together
//
//	fan-out        6,000 connections on one channel, a message a second
//	own channels   3,000 connections with one each, 200 messages a second to random ones
//	churn          2,000 connections on the first channel, 200 a second leave and
//	               come back: with a goodbye, with an end of the stream, with a reset
//	bulk           100 connections that read messages of 16 KiB, one a second
//	slow readers   300 on that channel that never read
//	garbage        40 connections at a time that are no WebSockets or break the
//	               protocol, of 16 kinds (garbage.go)
//	scrapes        /metrics and /readyz
//	faults         of the bus, one after another (faults.go): Redis killed,
//	               restarted, frozen for less and for more than the server waits,
//	               its subscriber or its publishers cut off; the server frozen
//
// On two cores that is a quarter of one for the server, 0.4 for this program.
// The server's write deadline, logs and send buffers are small, so that many
// slow readers come to their end.
//
// # What is exact, and how
//
// One publisher hands all messages to Redis over one connection, so they have one
// order, and numbers each in its channel, also while Redis is down. Before a
// fault, and after it, a mark goes the same way and comes back to a witness, a
// WebSocket of its own: what was published before the first was taken by the
// server before the fault, and what follows the second will reach it. Only what
// is between may be lost, and only to a fault that interrupts the way. A
// second witness remembers the numbers of the fan-out that never came. So:
//
//   - Each missing number of the fan-out lies between the marks of such a fault.
//   - All connections of the fan-out missed exactly as many as the witness, and
//     all of bulk the same number: a message reaches everybody or nobody. Who
//     comes and goes missed at most that many.
//   - Published, less lost, is c10m_bus_messages_total.
//   - Lost is at least what Redis had nobody for (its answers to PUBLISH, and what
//     could not be handed to it), and at most what was published between marks.
//   - c10m_bus_gaps_total is the number of faults that end a subscription.
//   - No message came twice, out of order or changed.
//   - Every accepted connection has ended with one reason, and garbage with that
//     of its kind.
//   - Levels are 0 when all have left; descriptors (by kind) and goroutines are
//     what they were before anybody came, but for one epoll that each loop makes
//     with its first pings; heap objects and the trend of the
//     resident memory stay in the margins of limits.go, which has their reasons.
//   - Each of the above took place: a soak without churn or faults fails.
//
// # Who owns what
//
// run's goroutine goes through the phases; soak starts the others and waits for
// them. The publisher's state is under its mutex, since marks come from the
// goroutine of the faults. Redis belongs to the goroutine of the faults until it
// ends, then to run's. The checks see an evidence and nothing else, so a test can
// give them one with any fault in it.
//
// # Limits
//
// All connections, both of this program and of the server, have to fit one
// descriptor table: 19,400 under a hard limit of 20,000. With private tables
// (--server-arg) the server's descriptors are not all visible. The trend needs
// time: over three minutes it lets 8 MiB in the second half pass, over an hour 2.
// A seed repeats the faults and the pauses between them, not the time that each
// takes to recover from, nor what else happens in the same moment.
//
// # Tried and dropped
//
//   - The time of a fault, with a second of reserve, as the limit of what it may
//     cost: too little on a busy host, and too much on an idle one. Marks need no
//     clock.
//   - /debug/pprof/heap?gc=1 before counting heap objects: the profile leaves
//     more garbage the longer the server has run (2,500 objects after a minute,
//     of which 800 were alive).
//
// # What looks wrong but is deliberate
//
//   - Messages are numbered and counted while Redis is down, though nobody gets
//     them: that is what a gap costs, and the connections have to notice it.
//   - The publisher does not try a message again: whether Redis has it cannot be
//     known, and twice is worse than lost.
//   - The server runs with --gap ignore: connections that live through a gap are
//     what shows that a message reaches everybody or nobody. That --gap close
//     closes each of them has tests of its own.
//   - What comes and goes here connects from 127.0.0.2: from 127.0.0.1 it would
//     now and then take the port of a Redis that is down.
//   - A fault that has begun is recovered from, even past the end of the time.
package main
