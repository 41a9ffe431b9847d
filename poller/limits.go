package poller

import "time"

// The limits of the room, with their reasons. Every list and every phase of a
// turn is bounded by one of them.
const (
	// eventsPerWaitMax bounds the event phase of a turn. An event costs 5 to
	// 20 us, so a flood of them delays a sweep or a post by about 1 ms.
	eventsPerWaitMax = 128
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
	// lettersPerTurnMax bounds the mailbox phase.
	lettersPerTurnMax = 256
	// mailboxLettersMax is when Post refuses: a publisher then waits.
	mailboxLettersMax = 8192
	// mailboxBytesMax is the same in Letter.Bytes. One letter may pass it, so that the largest message always fits.
	mailboxBytesMax = 64 << 20
	// tickNanosMax is the longest sleep of an idle loop: what a time-out may
	// be late, and 1 wake-up a second per loop.
	tickNanosMax = int64(time.Second)
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
	// closedNanos is for how long loops take turns after an urgent message: so
	// long that a trickle of them keeps the turnstile closed.
	closedNanos = int64(2 * time.Second)
	// crowdedEventsMin is how many events of a wait are a crowd: with 100 loops that
	// have so many, a loop waits for tens of milliseconds.
	crowdedEventsMin = 16
	// crowdedNanos is for how long a loop's crowd of events is remembered: some
	// turns of all loops.
	crowdedNanos = int64(100 * time.Millisecond)
	// quantumNanosMax is for how long a loop keeps its seat at the turnstile
	// while others wait, about a slice of a sweep: the shorter, the sooner the
	// kernel finds a processor for a loop with a pass. With very many loops it
	// is less, so that all have had their turn in roundNanos, about: what a
	// handshake or a ping waits, at most, while all loops sweep.
	quantumNanosMax = int64(150 * time.Microsecond)
	roundNanos      = int64(5 * time.Millisecond)
	// yieldNanosMax is how long a loop that gave its seat away waits for
	// somebody to leave one before it looks for itself.
	yieldNanosMax = int64(time.Millisecond)
	// steerHalves, in halves of the mean, and steerSlackConnections are when a
	// loop has so many more connections that it no longer asks for those that
	// arrive at its processor. Fan-out waits for the fullest loop, and what
	// steering saves is a tenth or so.
	steerHalves           = 3
	steerSlackConnections = 4096
	// steerLooks is for how many seconds that has to be so.
	steerLooks = 3
	// listenBacklog is clamped by net.core.somaxconn (listen(2)).
	listenBacklog = 1 << 16
)

// HandoverGrace is how long listeners that are to be closed take nobody new but
// end the handshakes that they have begun. It is a little less than the second
// after which a client repeats a SYN that was dropped (RFC 6298, 2.1), so that
// the repeated one finds the listener gone and comes to another process.
const HandoverGrace = 900 * time.Millisecond
