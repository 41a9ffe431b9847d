package redisbus

import "time"

// The limits of this package, unit last in the name. The reason stands beside
// each; doc.go has the sum.
const (
	// Peers are few: publishers, a second server, an operator. Go clients pool
	// ten connections per core, and 1,024 of them still cost under 40 MiB.
	peersMax = 1024

	// The largest command, headers included. Nobody pushes more than this to
	// millions of sockets at once; the Door's own limit is below it and has the
	// kinder error, as this one ends the connection.
	commandBytesMax = 16 << 20
	// The most arguments, enough for any SUBSCRIBE or PUBSUB NUMSUB within the
	// limits below.
	commandArgsMax = 64 << 10
	// Longer than the name of any command there is.
	commandNameBytesMax = 32
	// A line without CRLF, as in Redis (PROTO_INLINE_MAX_SIZE).
	inlineBytesMax = 64 << 10
	// "*" or "$", an integer and CRLF. Leading zeros are the only reason for a
	// longer one.
	headerBytesMax = 32
	// The name that a peer or its library gives itself, for CLIENT LIST.
	peerNameBytesMax = 256
	// Of the offender's words in an error, as in Redis.
	errorArgsBytesMax = 128

	// Before AUTH a peer gets no more memory than AUTH and HELLO need. The
	// first two numbers are Redis's. The third frees the places of peers that
	// hold one and say nothing.
	unauthArgsMax     = 10
	unauthArgBytesMax = 16 << 10
	unauthSecondsMax  = 30
	// Wrong passwords of one connection, and what each costs it: a client with an old
	// one tries once or twice, and who guesses gets 80 tries a second from eight
	// connections.
	authFailuresMax              = 10
	authFailureDelayMilliseconds = 100

	// Per peer, channels and shard channels together.
	subscriptionsMax = 16_384
	// Per peer. Every PUBLISH tries each distinct pattern.
	patternsMax = 256
	// Of one channel name or pattern to subscribe to; WebSockets have 255.
	subscriptionBytesMax = 1024
	// What PUBSUB CHANNELS lists; there may be ten million.
	pubsubChannelsMax = 65_536
	// PUBLISHes of one peer that are handed over and not yet answered: enough
	// to wait for the loops once per read, and bounded in receipts.
	publishesUnsettledMax = 1024

	// PUBLISHes in a row after which a peer is lent to a loop, at first, so that who says one
	// word is not; and at most, for who is returned again and again.
	lendAfterMin = 2
	lendAfterMax = 1024

	// Between MULTI and EXEC, per peer: a client library's pipeline, of small commands or
	// of one large. What passes it fails, and EXEC with it.
	transactionCommandsMax = 65_536
	transactionBytesMax    = 16 << 20
	// What a queued word and a queued command take beside their bytes.
	transactionWordBytes    = 24
	transactionCommandBytes = 64

	// What is read at once, and what a peer's buffers shrink back to.
	readBufferBytes    = 16 << 10
	keptBufferBytesMax = 1 << 20
	// Replies are handed to the writer in pieces of about this size.
	replyFlushBytes = 16 << 10
	// A peer that does not read its replies is not read from beyond this.
	replyQueueBytesMax = 1 << 20

	// A RESP subscriber that is further behind is disconnected: 32 MiB is the
	// hard limit of Redis for its subscribers (client-output-buffer-limit).
	subscriberQueueBytesMax = 32 << 20
	// All queues together. Beyond it each may hold no more than the second
	// number, so the worst case is queuesBytesMax + peersMax * 1 MiB and one
	// laggard does not cost the others their connection.
	queuesBytesMax               = 256 << 20
	subscriberQueueTightBytesMax = 1 << 20

	// Progress that is asked for per write deadline, and the deadline: the same
	// 30 s that a WebSocket has.
	writeChunkBytes      = 256 << 10
	writeStallSecondsMax = 30
	// For the last replies of a peer that is closed.
	flushSecondsMax = 2
	// For a peer to read its protocol error.
	lingerSecondsMax = 1
	lingerBytesMax   = 1 << 20

	// Between two tries to accept, as net/http has them.
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second
	// A peer whose host is gone is noticed after 60 + 4 * 15 seconds.
	keepAliveIdleSeconds     = 60
	keepAliveIntervalSeconds = 15
	keepAliveProbes          = 4
	// To find out who holds a port that is taken.
	portOwnerSecondsMax = 1
	portOwnerBytesMax   = 64 << 10

	// Of the subscription at a real Redis: see RedisConfig. A dead one is
	// noticed within ten seconds, and a server costs it one message in five.
	probeIntervalDefault       = 5 * time.Second
	probeTimeoutDefault        = 5 * time.Second
	reconnectBackoffMinDefault = 100 * time.Millisecond
	reconnectBackoffMaxDefault = 5 * time.Second
	// Connections to Redis that publish. Each loop has one batch under way.
	publishConnectionsMax = 4
)
