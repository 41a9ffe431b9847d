package timers

import "time"

// The limits of the room, with their reasons.
const (
	// TickMin is between two ticks of a loop that has more to do than one tick may.
	TickMin = time.Millisecond
	// LatePerTickMax bounds what a tick does with connections whose time is
	// over, 5 us each: after a flood of silent newcomers all come due at once.
	LatePerTickMax = 256
	// looksPerTickMax bounds what a tick looks at for them, late or not: of a storm of
	// good handshakes only stale entries are left, and all come due at once.
	looksPerTickMax = 16 * LatePerTickMax
	// chunksPerTickMax bounds the lists of expiries that it goes through, 5 us each.
	chunksPerTickMax = 32
	// EvenPerTickMax and EvenTick bound an even walk to 50,000 connections a second.
	EvenPerTickMax = 256
	EvenTick       = 5 * time.Millisecond
	// slicePerTickMax bounds the visits of a round in one tick, like a slice of a sweep,
	// and batchMax those of one beat: the more at a time, the less each costs
	// (docs/internals/conn.md), and they take 15 ms then.
	slicePerTickMax = 16
	batchMax        = 1024
	// burstMax bounds the visits of the loops that beat together: a network
	// device has room for some thousand packets, and drops what comes beyond it.
	burstMax = 4096
	// beatMax is the longest time between two beats, of which there are
	// beatsPerIntervalMin in an interval, or one a second.
	beatMax             = 4 * time.Second
	beatsPerIntervalMin = 64
	// beatGroups is how many groups of loops beat at different times.
	beatGroups = 4
)
