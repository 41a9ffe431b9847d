package load

import (
	"math"
	"time"
)

// The limits of the room, with their reasons.
const (
	// underWayPerLoopMax bounds the handshakes of a loop that wait for the
	// server. They are what fills its accept queue (somaxconn, 4,096 on most
	// hosts); a SYN that finds it full is sent again after a second.
	underWayPerLoopMax = 256
	// underWayMax bounds them over all loops, to half of such a queue.
	underWayMax = 2048
	// underWayPerLoopMin keeps a loop moving when there are very many loops.
	underWayPerLoopMin = 16
	// opensPerTurnMax bounds the connects of a turn (about 30 us each), so
	// that those already connected are read in between.
	opensPerTurnMax = 32
	// retriesWaitingMax is when a loop opens nothing new until retries are
	// done: the list of them is the only one that failures make longer.
	retriesWaitingMax = 1024
	// retryBackoffNanos is the wait before the first retry; it doubles.
	retryBackoffNanos = int64(100 * time.Millisecond)
	// tickConnectingNanos is how late a time-out or a retry may be noticed.
	tickConnectingNanos = int64(20 * time.Millisecond)
	// tickSoonestNanos is epoll's unit: asking for less makes a loop spin.
	tickSoonestNanos = int64(time.Millisecond)
	// paceBurstNanos is how much of a rate may be caught up after a stall.
	paceBurstNanos = int64(50 * time.Millisecond)
	// churnBurstNanos is the same of a churn, whose rate is to be true on a
	// busy host, too.
	churnBurstNanos = int64(time.Second)
	// responseBytesMax bounds the answer to the upgrade request.
	responseBytesMax = 4096
	// readBufferBytes is what one Recv takes; one buffer per loop.
	readBufferBytes = 64 << 10
	// readsPerClock and readBytesPerClock bound how old the time of a read
	// may be: some 5 us.
	readsPerClock     = 4
	readBytesPerClock = 8 << 10
	// messageBytesMax is past what a server of this project sends, so a longer
	// frame is a broken header. PayloadBytesMax is what that takes (--message-bytes).
	messageBytesMax = 1 << 30
	PayloadBytesMax = 512 << 20
	// connectionsMax and expectMax are what numbers of 32 bits hold that are kept for
	// each connection; loopsMax is more threads than a host has use for, rateMax more
	// connects a second than any host makes.
	connectionsMax      = math.MaxInt32
	expectMax           = math.MaxInt32
	loopsMax            = 4096
	rateMax             = 1_000_000_000
	retriesMax          = 10
	underWayMostPerLoop = 1 << 15
	// gapsPerConnectionMax bounds what is remembered of lost messages, to
	// tell a late one from a duplicate. The oldest gap is forgotten first.
	gapsPerConnectionMax = 64
	// latencyMicrosMax is the longest duration that histograms hold: an hour.
	latencyMicrosMax = 3_600_000_000
	// latencyFigures are significant: 25 KB per histogram and loop, of which
	// a client may have 272. Three would be 186 KB.
	latencyFigures = 2
	// goneMax bounds what a loop remembers of connections that the server
	// dropped, to count what they missed; it is a table's worth.
	goneMax = 1 << 20
	// dropsPerTurnMax bounds the connections that a storm closes in a turn
	// (about 10 us each), so that the others are read in between.
	dropsPerTurnMax = 256
	// stormsToldApart is how many storms there may be until their numbers come
	// again: user-space ends have two bits for it.
	stormsToldApart = 4
	// churnsPerTurnMax bounds the same of a churn.
	churnsPerTurnMax = 64
	// distinctMessagesMax bounds what --print remembers, per loop.
	distinctMessagesMax = 1024
	// headBytesMax is how much of a message --print shows.
	headBytesMax = 128
	// connectionsPerSourceMax bounds the connections from one source address
	// to one port. 28,232 local ports are there by default
	// (net.ipv4.ip_local_port_range), but connect(2) looks at those of one
	// parity first, 14,116 of them, and once they are taken every further
	// connect goes past them all: 1.3 ms each instead of 0.03 ms.
	connectionsPerSourceMax = 12_500
	// explicitPortFirst and explicitPortsPerSource are the local ports that
	// the client chooses itself: above the ports on which servers of this
	// project listen by default, and a block for 50,000 connections to a port.
	explicitPortFirst      = 12_000
	explicitPortsPerSource = 50_000
	// descriptorsSpare is what a loop leaves free below RLIMIT_NOFILE:
	// inherited descriptors, epolls, eventfds of all loops.
	descriptorsSpare = 600
	// InFlightMax is how many messages Drive keeps under way at most: the
	// size of the ring in which a loop counts who has got which.
	InFlightMax = 64
	// userSpaceQueuesMax is past the processors of any host that needs more than
	// one, and ackDelayMax is what a receiver may take.
	userSpaceQueuesMax = 64
	ackDelayMax        = 500 * time.Millisecond
	// userSpaceNice is the priority of a client of ends in user space: far before the
	// server's.
	userSpaceNice = -15
	// snapshotSecondsMax is how long a loop may take to answer; a loop that
	// does not is stuck, which is a bug. On a host whose processors others keep busy
	// with a higher priority, 30 s were not enough.
	snapshotSecondsMax = 180
)
