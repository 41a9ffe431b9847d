// Package admin serves what an operator needs over HTTP, on loopback or behind a
// password: the operator's page, metrics, health and profiles; and takes messages
// to publish. docs/internals/admin.md has what the pages cost, how to read some of the
// metrics, the operator's page, and what was dropped.
//
// # Purpose
//
//	/             the list of pages
//	/metrics      all counters of all rooms, Go's and the process's, for Prometheus
//	/healthz      200 "ok" while published messages reach this server, else 503
//	/readyz       200 "ok" while new connections should be sent here, else 503
//	/livez        200 "ok" while all loops make turns, else 503
//	/debug/pprof  profiles
//	/operator/    the operator's page, for a browser
//	/channels     channels with their connections here, as JSON
//	POST /publish publishes
//
// /healthz is about the server and its bus: it repeats the bus's own verdict, which is
// red from the first sign of trouble until a message that the server sent to itself
// has come back. Alert on it, and restart nothing because of it: the connections are
// well, and ten million clients that come back at once do not mend a Redis.
//
// /readyz is red when /healthz is, while the server drains, and while memory is
// short. It stays green at the connection limit, where newcomers get a 503 of their
// own. Take it for where new connections go (Kubernetes: readinessProbe), and not for
// cutting those who are here: that would move them all to the next server.
//
// /livez asks each loop for a turn, and is red when one has made none for
// liveSecondsMax. Take it for restarts (livenessProbe, with a timeout of 15 s). A
// process that was frozen and goes on is not red.
//
// # Who owns what
//
// The loops own their counters and write them without a thought for this
// package; it reads the atomics when somebody asks. No event of a connection or a
// message costs anything here, and no lock is shared with a loop. Between two
// requests only the operator's page keeps something: ten minutes of history, and
// its last answers for a moment. [Server] owns its listener, an http.Server, one
// goroutine per connection and one for the history, and nothing else.
//
// # Invariants
//
//   - Every counter of every room is exported. A test walks over the Stats by
//     reflection, so it fails for a counter that is added and forgotten.
//   - Every reason and cause is exported from the start, at zero: a rate over a
//     series that appears with its first event misses that event.
//   - Nothing but POST /publish publishes, and nothing but POST /operator/disconnect
//     closes connections. Elsewhere other methods than GET and HEAD are answered
//     with 405 before any page sees them.
//   - A request to publish that is answered with another status than 200, 422 and
//     503 has published nothing. With 422 and 503 the answer to a batch says of each
//     message whether it was ("yes", "no", "unknown").
//   - A web page of another origin sees and does nothing, nor does one whose name
//     was made to resolve to here (site.go): 403 and 421. Health pages answer all, such
//     requests without their reasons.
//   - Whoever connects is served: connections that wait make room (door.go). So nobody
//     keeps probes out by holding connections.
//   - A scrape that fails for one metric shows the others.
//   - The address is a loopback address, or there is a password. Who can read a
//     heap profile can read what is in the heap.
//   - With a password, nobody without it sees more than the status of the health
//     pages: load balancers in a cloud cannot send one with their probes.
//
// # Publishing
//
// docs/publish.md has the format and the answers. It is the same path as PUBLISH at the bus
// (bus.PublishAll): messages of one request, and of requests one after the other on one
// connection, stay in order, and it blocks like it when the loops are behind. At most
// publishesMax requests do, for as long as it takes, even beyond responseSecondsMax (the
// connection is cut then, and nobody knows); the others get 429. All of a batch is checked
// before any of it is published.
//
// Anybody who reaches the address may publish, as at a bus without a password: on
// loopback every user of this machine, even where the bus itself has a password,
// unless --admin-password asks for one.
//
// The mux would join the slashes of a//b, so these paths are taken apart before it.
// /-/publish and /-/channels are the same pages.
//
// # Limits
//
// A body far over its limit is refused without being read, and a client that goes
// on writing may find its connection reset before it sees the 413, unless it asks
// first (Expect: 100-continue, as curl does beyond 1 MiB).
//
// limits.go has them, with the reasons.
//
// # What looks wrong and is deliberate
//
//   - Go's package net/http/pprof puts itself on http.DefaultServeMux when it
//     is imported. Nobody serves that.
//   - /debug/pprof/cmdline names the program only. The command line may hold
//     --bus-password.
//   - POST to /debug/pprof/symbol is refused, though pprof may do that.
//     Profiles of Go programs carry their symbols.
//   - The block and mutex profiles are empty: sampling them costs time at each
//     event, and loops do not block.
//   - A Host that is any IP address is ours, not only those of the listener: no address
//     can be rebound, and a port may have been forwarded. With a password any name is:
//     a browser sends the password to no name that it was not typed for.
//   - process_open_fds counts the main descriptor table. The private tables of
//     loops are invisible to /proc; c10m_connections counts those.
//   - There are no process metrics before Linux 6.2, where counting the
//     descriptors of the process means listing them: ten million per scrape.
//   - The longest bucket of a histogram is not shown with its bound: it takes
//     whatever is longer, too, and is +Inf.
//   - go_sched_pauses_total_gc_seconds has only six or so buckets, since the library
//     merges the runtime's to powers of ten. c10m_gc_stop_max_seconds does
//     not go that way.
//   - Call [Listen] when the loops run. A loop with a descriptor table of its
//     own keeps a copy of each descriptor that was open when it started: the
//     port would stay taken after [Server.Close].
package admin
