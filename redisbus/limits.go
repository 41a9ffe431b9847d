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
	// A line without CRLF, as in Redis (PROTO_INLINE_MAX_SIZE).
	inlineBytesMax = 64 << 10
	// "*" or "$", an integer and CRLF. Leading zeros are the only reason for a
	// longer one.
	headerBytesMax = 32
	// Before AUTH a peer gets no more memory than AUTH and HELLO need. Both
	// numbers are Redis's.
	unauthArgsMax      = 10
	unauthArgBytesMax  = 16 << 10
	unauthSecondsMax   = 30
	peerNameBytesMax   = 256
	errorArgsBytesMax  = 128 // of the offender's words in an error, as in Redis
	pubsubChannelsMax  = 65_536
	subscriptionsMax   = 16_384 // per peer, channels and shard channels together
	patternsMax        = 256    // per peer; every PUBLISH tries each distinct one
	subscriptionBytes  = 1024   // of one channel name or pattern; WebSockets have 255
	publishesUnsettled = 1024   // PUBLISHes of one peer handed over and not yet answered

	// What is read at once, and what a peer's buffers shrink back to.
	readBufferBytes = 16 << 10
	keptBufferBytes = 1 << 20
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
	queuesBytesMax             = 256 << 20
	subscriberQueueTightBytes  = 1 << 20
	writeChunkBytes            = 256 << 10 // progress asked for per write deadline
	writeStallSecondsMax       = 30
	flushSecondsMax            = 2 // for the last replies of a peer that is closed
	lingerSecondsMax           = 1 // for a peer to read its protocol error
	lingerBytesMax             = 1 << 20
	acceptBackoffMin           = 5 * time.Millisecond
	acceptBackoffMax           = time.Second
	keepAliveIdleSeconds       = 60
	keepAliveIntervalSeconds   = 15
	keepAliveProbes            = 4
	portOwnerSecondsMax        = 1 // to find out who holds a port that is taken
	portOwnerBytesMax          = 64 << 10
	logIntervalSecondsMin      = 5 // between two lines about the same trouble
	probeIntervalDefault       = 5 * time.Second
	probeTimeoutDefault        = 5 * time.Second
	reconnectBackoffMinDefault = 100 * time.Millisecond
	reconnectBackoffMaxDefault = 5 * time.Second
	healthReasonBytesMax       = 300 // of an error text that came over the network
	commandNameBytesMax        = 32  // longer than any command there is
)
