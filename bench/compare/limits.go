package main

import "time"

const (
	// minDuration leaves something of the idle time when its beginning is cut.
	minDuration = 5 * time.Second
	// readyTimeout bounds the start of a server and of what feeds it.
	readyTimeout = 30 * time.Second
	// handshakeTimeout is the client's, for one connection: long enough for a
	// server that is slow, as that is what is measured.
	handshakeTimeout = 30 * time.Second
	// clientSlack is what a run of the client may take beyond its duration and
	// its connects: stall timeouts, and messages that are late.
	clientSlack = 60 * time.Second
	// connectsPerSecondMin is the slowest connect rate that is waited for.
	connectsPerSecondMin = 200
	// sampleInterval is between two looks at a server. Memory is looked at once
	// in memoryEvery times: the kernel walks all pages for it.
	sampleInterval = 250 * time.Millisecond
	memoryEvery    = 4
	// idleSkipped are the first seconds of idling, which still show what the
	// connects left behind: a garbage collection, mostly.
	idleSkipped = 2
	// reasonBytesMax is how much of a reason stands under the table.
	reasonBytesMax = 300
)
