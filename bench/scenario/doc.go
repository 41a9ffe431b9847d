// Package scenario runs what 10m-client measures, from the first connect to a
// report.Result: who connects when, what is published to whom, and what of it
// counts.
//
//	result, err := scenario.Run(ctx, scenario.Options{Name: "fanout", Load: config, ...})
//
// # The scenarios
//
//	connect     open, hold; check what others publish
//	fanout      one channel, messages at a rate
//	unicast     a channel per connection, messages at a rate to random ones
//	mixed       fan-out to most, unicast to a few (probes) on loops of their own
//	saturate    the next message when one has reached everybody
//	storm       all leave at once and come back over a time
//	churn       some leave and come back all the time, while messages flow
//	disconnect  all but a few end at once and stay away, while these get messages
//	posts       POSTs on kept connections, as fast as the answers come
//
// # Who owns what
//
// Run's goroutine goes through the phases. A sampler looks at everything once
// a second. Each publisher has a goroutine, locked to a thread while it runs,
// and a connection to the bus of its own, so that a large fan-out does not
// stand before a small message in one stream of bytes. What arrives is counted
// by package load, on its loops. The probes of mixed and disconnect have a load.Client of
// their own (parties.go), with as few loops as descriptors allow: on loops that also
// read a fan-out they would measure how long the client takes for that.
//
// With ends in user space (Options.Load.UserSpace) a sample of the kernel's sockets
// is a party of its own, and so are the probes: their latencies are those that clients
// see. A message to everybody goes to the sample, too, and its stream
// stands beside the other's; where each connection has a channel of its own, the
// sample has a publisher of its own with its share of the rate. storm, churn
// and disconnect leave the sample alone: it shows what those see who stay.
//
// Probes and sample connect in step with the others (load.Progress), so that they
// are spread over the server's loops as the others are: those who come together may
// come to one loop, and are then no sample of all.
//
// # What is exact, and how
//
// Every message has a number in its channel, entered in the client's ledger
// before it is handed to the bus. A connection that opens reads the ledger: the
// first message to come to it may be any of those handed out before (who was
// faster cannot be known from outside), and has to be at most the next one.
// From there on every number has to come once and in order. When nothing more
// comes, every connection has to stand at the end of the ledger, also those
// that the server dropped on the way; what is between is lost. So expected =
// delivered + lost, whoever comes and goes, and if nobody does, it has to be
// published times subscribers, which is checked.
//
// A connection that the client itself closes (storm, churn, disconnect) is due
// nothing from then on.
//
// When a server has let go of those that a disconnect ended is its own word: its
// embedded bus counts the connections of a channel (PUBSUB NUMSUB), and is asked ten
// times a second until the number is lower by as many as ended. A Redis counts who said
// SUBSCRIBE to it, which no server does, and of a channel for each connection there is
// no one number to ask for; the time is not known then, and the result says why. Their
// memory is back when the host uses what it did before the first connect, but for the
// share of those who stayed and 5 % of what all took. Others on the host take memory,
// too, so the fewer connections there were, the less it says, and it is no fault if it is not
// back.
//
// # Latency
//
// The publishers of all scenarios but saturate work to a timetable: message n
// is due at begin + n/rate, whatever happened to those before, and that time
// stands in the stamp. So a server (or a bus) that makes the publisher wait
// pays for it in the latencies of all that should have left meanwhile
// (coordinated omission). A message that left more than a millisecond after it
// was due is counted as late: many of them say that the publisher or its host
// was short of time.
//
// saturate is a closed loop: nothing is due at a time, and its latency is from
// the publish.
//
// # What looks wrong but is deliberate
//
//   - A publisher sleeps with clock_nanosleep(2) on a thread of its own: Go's
//     timers are late by up to a millisecond when all else waits in epoll, which
//     would be a third of the latency to be measured.
//   - The ends of the sequences are looked at again and again until none is
//     missing, instead of waiting for a number of deliveries: with churn the
//     number is not known before.
//   - The bus is dialled twice: once before the first connect, since to learn
//     after a million of them that it is not there would be late, and once
//     when the loops hold their descriptors (package load says why).
package scenario
