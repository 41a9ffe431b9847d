package epoll

import "time"

// The limits of the room, with their reasons. Every list and every phase of a
// turn is bounded by one of them.
const (
	// acceptsPerTurnMax bounds the accepts of a turn (about 30 us each with
	// the handshake), so that a storm of newcomers costs those already
	// connected about 1 ms per turn.
	acceptsPerTurnMax = 32
	// acceptsPerListenerMax spreads a turn's accepts over the ports.
	acceptsPerListenerMax = 8
	// lastAcceptsPerListenerMax bounds what is accepted when a listener is
	// closed: the default net.core.somaxconn, so all that can wait in its
	// queue, but not all that may still come meanwhile.
	lastAcceptsPerListenerMax = 4096
	// lastAcceptsNanosMax is how long a listener that is to be closed waits for
	// descriptors for those in its queue; then they are reset.
	lastAcceptsNanosMax = int64(5 * time.Second)
	// acceptPauseNanos is how long a loop accepts nothing after EMFILE,
	// ENFILE, ENOBUFS or ENOMEM. Newcomers wait in the kernel's queue.
	acceptPauseNanos = int64(100 * time.Millisecond)
	// acceptShareNanos is how much of Config.AcceptRate the loops reserve at
	// once, all together: a loop that waits for its share sleeps in
	// milliseconds, so one that took a connection at a time could not be fast.
	acceptShareNanos = int64(10 * time.Millisecond)
	// acceptBurstNanos of the rate may be accepted at once after a lull, so that
	// a loop that was busy for so long loses nothing.
	acceptBurstNanos = int64(50 * time.Millisecond)
	// stallNanos is for how long a socket is not tried again that took nothing
	// though epoll said that it would: 20 tries a second while the kernel is
	// short of memory. retriesPerTurnMax of them are made in a turn.
	stallNanos        = int64(50 * time.Millisecond)
	retriesPerTurnMax = 256
	// deferAcceptSeconds is how long the kernel keeps a connection to itself
	// until its request is there (TCP_DEFER_ACCEPT, tcp(7)).
	deferAcceptSeconds = 3
	// balanceNanos is how often a loop looks whether steering brings it far more
	// connections than the others have.
	balanceNanos = int64(time.Second)
	// steerHalves, in halves of the mean, and steerSlackConnections are when a
	// loop has so many more connections that it no longer asks for those that
	// arrive at its processor. Fan-out waits for the fullest loop, and what
	// steering saves is a tenth or so.
	steerHalves           = 3
	steerSlackConnections = 4096
	// steerLooks is for how many seconds that has to be so.
	steerLooks = 3
	// keptMillisMax is the longest sleep in which a loop keeps its P (sleep.go). busyNanos is
	// for how long a loop sleeps no longer than that after it had something to do twice in
	// such a time.
	keptMillisMax = 8
	busyNanos     = int64(50 * time.Millisecond)
	// listenBacklog is clamped by net.core.somaxconn (listen(2)).
	listenBacklog = 1 << 16
)

// HandoverGrace is how long listeners that are to be closed take nobody new but
// end the handshakes that they have begun. It is a little less than the second
// after which a client repeats a SYN that was dropped (RFC 6298, 2.1), so that
// the repeated one finds the listener gone and comes to another process.
const HandoverGrace = 900 * time.Millisecond
