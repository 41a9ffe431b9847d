// Compare measures the server beside its peers: the same client, the same
// number of connections, the same payload, in one run on one machine.
//
//	compare --connections 18000 --rounds 5
//	compare --servers c10m,gorilla --scenarios fanout
//
// It writes compare.json (everything), compare.md (the table) and plots into
// bench/results. make compare installs and builds what it needs first. Compare and
// the peers are a module of their own, so that the server's list of dependencies stays
// short; make peers checks it. The server's module names evio alone (bench/baseline/evio).
//
// # What is the same for all
//
// One client program (10m-client) with the same flags. The only difference is
// --dialect, for servers whose protocol needs a subscription or wraps a payload;
// its scanning costs the client a little, and the table's second part says how
// busy the client was. All servers listen on one port of 127.0.0.1 and send a
// ping every 5 minutes. Each scenario gets a freshly started server, so that no
// one pays for what another scenario left behind. Rounds go through all servers
// before the next scenario, since the speed of a host changes by the minute, and
// a figure is the median over the rounds (three, if not said), with the worst beside it.
//
// # What differs
//
// The way in. Messages for evio, epoll, gorilla and centrifuge go through a
// Redis and go-redis; for NATS and nchan through a bridge that takes PUBLISH and
// speaks to them (peers/bridge). That is one hop each. c10m has an
// embedded bus, its default, and no such hop; "c10m, Redis" is the same server
// behind the same Redis, for whoever wants that out of the picture.
//
// Processors. c10m binds a loop to each and steers connections to them by default, and
// its peers do nothing of the kind; "c10m, --pin off" is the same server without.
//
// # Figures
//
// Memory is the proportional set size of all processes of the server, at the
// end of the idle time, without what it had before the first connect. Idle is
// their processor time from the third second of idling on. The whole host's
// memory per connection holds both ends and the client.
//
// A server that loses messages, dies, or cannot do a scenario fails it, and the
// reason stands under the table. What it delivered then is not shown: a rate of
// deliveries some of which are missing compares with nothing.
//
// # What looks wrong but is deliberate
//
//   - The server's figures are read here and not taken from the client's
//     --server-pid: nginx is several processes.
//   - Redis and the bridge count for nothing in memory and idling; they are the
//     same kind of neighbour for everybody, and idle there.
package main
