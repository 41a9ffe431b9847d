// Package redisbus has two drivers of bus. Either it is itself a RESP server
// (ListenEmbedded), so that plain `redis-cli PUBLISH channel message` works on a
// machine without Redis, or it subscribes to all channels of a real Redis
// (ConnectRedis), which any number of servers may share. Both hand what is
// published to a bus.Door, which is channel.Hub. An embedded bus is a Redis to other
// 10m-servers. Package bus says what holds for every driver.
//
// # Files
//
//	limits.go, reasons.go  every limit; every reason for a close
//	embedded.go            the server: accept, publish, close
//	listen.go              who holds a port that is taken
//	peer.go                one RESP connection: reader, writer, receipts
//	lent.go, line.go       a peer that only publishes, at a loop; its socket
//	shortcut.go            what a loop publishes by itself
//	framer.go              bytes to commands, with redcon behind a guard
//	outbox.go              the bounded queue to a peer
//	registry.go            who subscribes to what, and routing
//	commands*.go, reply.go what a peer may say (transactions too), and RESP3 beyond redcon
//	redis.go, session.go   the subscription at a real Redis, and its health
//	redis_probe.go, redis_role.go  messages to itself; whether a Redis is what it was
//	redis_publish.go       what clients publish, on its way to a Redis
//
// # The embedded bus: who owns what
//
// Two goroutines per peer, as peers are few. The reader owns parsing, the
// pending replies and the peer's state; the writer owns the socket's other half.
// Between them, and between publishers and the writer, is the outbox. Nobody
// writes to a socket under a lock: this is why redcon's server and its PubSub are
// not used.
//
// Locks, always in this order: a channel's, the registry, an outbox. Embedded.mu is
// apart and is never held with a channel's.
//
//   - Embedded.order has a lock for each channel (channel.Order), which makes one order
//     of what is published to it, for the Door and for RESP subscribers alike. It is
//     held while Door.Publish blocks: that is how backpressure reaches those who publish
//     to this channel. Publishers of others go on, and so does another server's probe.
//     There is no order of two publishers in two channels, as Redis has it; each
//     publisher's own is kept, since it publishes one message after the other.
//   - registry.mu covers the subscription tables and the peers' own sets. A
//     confirmation is queued under it.
//   - outbox.mu covers the queue and the peer's protocol, so that HELLO switches
//     the form of messages exactly behind its reply.
//
// PUBLISH hands over at once, and its reply waits for the loops' receipt. A
// reader executes all that one read brought, up to publishesUnsettledMax messages,
// and then waits for the receipts in order. Any other command of that peer waits
// for the receipts before it.
//
// A peer that only publishes is lent to a loop (poller.Guest, LendTo), in turn: the loop
// reads, publishes by its Shortcut, and answers with the number of connections at once. All
// that is the reader's is the loop's then. The peer comes back with the first command that
// is anything else, that would have to wait, or that a RESP subscriber is to hear, and for
// every end; so each is handled in one place. Loops with private descriptor tables have none
// of the process's descriptors, so no peer is lent to them.
//
// # A real Redis: who owns what
//
// One goroutine receives and calls the Door; one publishes probes, on a
// connection of its own. A session is one subscription from its dial to its
// first error.
//
//   - Green means that a probe, which this server published to itself, has come
//     back over the subscription since the last sign of trouble. Nothing else
//     turns health green. Each probe takes a new connection and asks for the role
//     first: connections outlive passwords, roles and what a name meant.
//   - Red comes from a receive error, a probe that could not be published or is
//     late, a member that is not what it was (redis_role.go), and from a batch that
//     found no way to publish.
//   - A server may be pointed to a replica, to subscribe only. A master that becomes
//     one is red until it is a master again.
//   - A gap is the end of a session that had subscribed. Redis keeps nothing for
//     an absent subscriber and can not tell what was lost: gaps are counted, with
//     the times between which messages may be missing.
//   - OnGap is told before the first message behind a gap, and if none comes, when
//     the light turns green; not when the gap begins nor when Redis confirms: who is
//     told to ask for what was missed must not be told while more is being missed.
//     A Redis that flaps, with no message in between, is one gap to it.
//     The time before the first subscription is one, too (not in the counter,
//     since nothing was interrupted): a WebSocket that was open in it is deaf.
//   - A session ends when its connection fails, or when nothing at all has come
//     for one probe interval and timeout together. It does not end for a late
//     probe while messages flow, nor while the Door blocks: the messages in
//     front of the probe would be thrown away with it. The light is red then.
//
// # What clients publish
//
// With the embedded bus a message of a client (bus.Uplink, bus.PublishAll) is what a
// peer's PUBLISH is, and waits where publishers wait. At a real Redis it is one of a
// pipeline, on up to publishConnectionsMax connections that are dialed when the first
// message comes.
//
// Nothing is retried. What Redis refused, or did not answer, is reported to the
// loop, which closes the client, or tells it if it speaks c10m.v1; while health is
// red all is reported at once, as nobody here would hear the message. attempt.outcome
// decides what is reported: unpublished if nothing of the batch left or Redis said no,
// unconfirmed if it did not say. Each batch ends with ROLE, so that a message at a
// demoted master is not acknowledged. A frozen Redis costs each loop one batch per
// ProbeTimeout, and meanwhile clients wait.
//
// # Invariants
//
//   - What the Door refuses, no RESP subscriber gets; the publisher is told.
//   - A message on a channel that begins with "-/" never reaches the Door.
//   - A peer gets no message before the confirmation of its SUBSCRIBE, nor behind
//     that of its UNSUBSCRIBE.
//   - Replies are in the order of the commands. A push may overtake a reply that
//     has not been flushed yet; RESP3 allows that, and RESP2 has no other
//     commands in subscribed mode.
//   - A peer's fault ends that peer, with a reason and a counter. Accept errors
//     end nothing and are waited out.
//   - Passwords are in no log line, no error and no reply.
//
// # Limits
//
// All are in limits.go. The sum of what peers can make this package hold:
// queuesBytesMax (256 MiB) plus 1 MiB per peer of queues, twice commandBytesMax
// (16 MiB) per peer that is in the middle of a large command, transactionBytesMax
// (16 MiB) per peer between MULTI and EXEC, and the names of
// its subscriptions (16 MiB per peer that tries). Peers are local or know the
// password. PUBSUB CHANNELS lists at most 65,536.
//
// # What looks wrong and is deliberate
//
//   - `*` does not match an empty channel, and `[a-]` is a range: as in Redis.
//   - SPUBLISH reaches the Door too; PSUBSCRIBE at a real Redis does not see it.
//   - HELLO and INFO call the server 10m-server, with the redis_version whose
//     behaviour it has: clients decide by the number, and a second server that
//     finds the port taken decides by the name.
//   - POST and Host: end a connection without a word, as in Redis: a browser can
//     be talked into posting to 127.0.0.1.
//   - Before AUTH even an unknown command is answered with NOAUTH.
//   - Close lets a peer get all replies to what was read, within flushSecondsMax.
//   - EVAL, CONFIG and all commands on keys are unknown: this is no store. MULTI and
//     EXEC are known, since client libraries put them around pipelines by default, and
//     mean that all of it runs or, after an error in queueing, nothing; messages of
//     others may come in between.
//   - CLIENT TRACKING is taken: rueidis does not connect without. It promises to tell of
//     keys that change, and no key can be read here, so none is kept (realclients).
//   - A NUL in a line ends the peer at once, while Redis waits for the rest of a line
//     that never ends.
//   - When all places are taken the oldest peer that has said nothing, or has not given
//     the password, goes. Places have no bound per address: peers are on loopback, or
//     behind one proxy.
//
// docs/internals/redisbus.md has what was tried and dropped, and what the limits bound.
package redisbus
