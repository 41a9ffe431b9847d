// Package bus is the contract between the server and whatever brings it messages, and
// what is the same for every driver. A driver is a package of its own: redisbus has two.
//
//	publishers: RESP peers, HTTP POST, WebSocket clients, a broker's other clients
//	     |                    |              |
//	     |              [admin, conn]     Uplink     a queue per loop
//	     |                    |              |
//	     |                    +--- Repeats --+       a key's message is published once
//	     |                            |
//	     +------> driver <--- PublishBatch           a Bus: Embedded or Redis (redisbus)
//	                |
//	              Door                               channel.Hub: into all loops
//
// Who imports what: a driver imports bus and channel; admin imports bus; conn does
// not, and knows an Uplink's queue as a channel.Publisher; main picks the driver. Nobody but main knows which one there is.
//
// # Files
//
//	bus.go          Bus, Publishable, Door, Health, Gap, the reserved channels
//	publication.go  a message on its way: what its publisher is told; PublishAll
//	stats.go        Stats, and the reasons and counters that drivers share
//	shortcut.go     the same without a goroutine, where nothing is in the way
//	uplink.go       what WebSocket clients publish, on its way from the loops
//	repeats.go      keys: what is repeated is published once
//	log.go          lines in the log that do not become a flood
//	bustest/        a Door without loops and a driver in memory, for tests
//
// # What a driver has to do
//
//   - It hands each message to Door.Publish once, in one order per channel, and lets
//     the Door block: that is the backpressure of the loops. Who publishes to one
//     channel does not wait for the Door to take another's message (channel.Order).
//   - A message on a channel that begins with channel.Reserved never reaches the Door.
//   - PublishBatch keeps the order of a batch, and of two batches one after the other.
//     It sets Err, Subscribers and, where the message is at the loops already, Receipt.
//     A Receipt is the Door's, or the driver's own: a driver that numbers messages by
//     itself gives its ids this way (bustest.Memory).
//   - Err is nil only if the bus said that it took the message. Unpublished says that it
//     surely did not. Everything else means that nobody knows. Nothing is tried again.
//   - Health turns green only by proof that what is published comes back.
//   - Who may have missed messages is told of the Gap before anything behind it: a driver
//     calls what main gives it before the Door gets the next message.
//   - Each failure and each drop has a reason and a counter (Counters).
//
// # What clients publish
//
// An Uplink has a queue per loop and a goroutine per queue: a few, as loops are. The loop
// takes no lock. A message waits where publishers wait, and the messages behind it in its
// queue wait, too: they are in one order over all channels.
//
// Who waits for an answer (POST on the public ports) uses PublishAnswered: a batch's
// receipts are asked together, and answered in one letter. PublishAll is the same way for
// who waits for the outcome: the admin address.
//
// Where the loops are the only listeners of a bus, a loop publishes by itself (Shortcut):
// no goroutine is between what a client says and what its loop's other clients hear. The
// queue is the long way, for what cannot be done at once. A message takes the shortcut only
// if nothing of its loop's clients is under way, or its connection waits for every answer; so
// it overtakes nothing that its sender said before.
//
// Repeats stands in front of any driver, for all that can give their messages keys. It
// takes a lock for a batch with keys and for no other.
//
// # Limits
//
// All are in limits.go. An Uplink holds up to uplinkHardFactor times the limit of its
// queues (NewUplink); Repeats 120 bytes for each key, and no more keys than it is told.
//
// docs/internals/bus.md has how answers are batched, and what the limits bound.
package bus
