// Package admin serves what an operator needs over HTTP, on loopback or behind a
// password: the operator's page, metrics, health and profiles; and takes messages
// to publish. docs/internals/admin.md has what the pages cost, how to read some of the
// metrics, the operator's page, and what was dropped.
//
// # Purpose
//
// docs/reference/endpoints.md lists the pages.
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
// connection is cut then, and nobody knows); the others get 429. Anybody who reaches the
// address may publish, even where the bus has a password.
//
// # Limits
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
//   - Call [Listen] when the loops run. A loop with a descriptor table of its
//     own keeps a copy of each descriptor that was open when it started: the
//     port would stay taken after [Server.Close].
package admin
