package poller

import "time"

// The limits of the room, with their reasons. Every list and every phase of a
// turn is bounded by one of them.
const (
	// ReadyMax is how many an engine is asked for at once. It bounds the event phase of a turn. An event costs 5 to
	// 20 us, so a flood of them delays a sweep or a post by about 1 ms.
	ReadyMax = 128
	// lettersPerTurnMax bounds the mailbox phase.
	lettersPerTurnMax = 256
	// closesPerSliceMax bounds the list of what is to be closed when a loop ends: all at
	// once would be 200 MB of it for 50,000,000 connections.
	closesPerSliceMax = 1 << 14
	// mailboxLettersMax is when Post refuses: a publisher then waits.
	mailboxLettersMax = 8192
	// mailboxBytesMax is the same in Letter.Bytes. One letter may pass it, so that the largest message always fits.
	mailboxBytesMax = 64 << 20
	// tickNanosMax is the longest sleep of an idle loop: what a time-out may
	// be late, and 1 wake-up a second per loop.
	tickNanosMax = int64(time.Second)
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
)
