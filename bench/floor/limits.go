package main

import "time"

// The limits of the room, with their reasons.
const (
	// setUpBase and setUpPerSecond bound the start of a side and its connects:
	// a slow host connects 3,000 a second, and this is half of that.
	setUpBase      = 120 * time.Second
	setUpPerSecond = 1500
	// roundSlack is what one measurement may take beyond its seconds: the
	// last messages and their stall timeout.
	roundSlack = 15 * time.Second
	// warmUp is sent before a measurement and not counted: caches, congestion
	// windows and the branch predictor have just served the other side.
	warmUp = 300 * time.Millisecond
	// partnerEndTimeout is how long the client may take to reset its
	// connections before it is killed: 10 us each, for millions.
	partnerEndTimeout = 60 * time.Second
	// linesMax is what a partner may say before it is asked: an acceptor says
	// two lines, and one for every storm.
	linesMax = 64
	// senderBacklog is clamped by net.core.somaxconn.
	senderBacklog = 1 << 16
	// tableSpare is what a table of the bare sender leaves free: what it
	// inherited, its thread's epoll, eventfds of all threads, its listener.
	tableSpare = 600
	// oneTableSpare is the same of a sender of one table, which has no more
	// than the runtime's descriptors.
	oneTableSpare = 100

	// connectionsPerPortMax is what one port gets before the next is opened:
	// the default of 10m-client. Every port costs every loop a listener.
	connectionsPerPortMax = 50_000
	// portLast is below the local ports that clients use by default.
	portLast = 32_000
	// connectionsSpareShare and connectionsSpareMin are what the server may
	// hold beyond those asked for: in a storm the new overlap with the old.
	connectionsSpareShare = 100
	connectionsSpareMin   = 100

	// pollPauseMin and pollPauseMax are between two looks at how many
	// connections there are. Each look asks all loops of the client.
	pollPauseMin = time.Millisecond
	pollPauseMax = 50 * time.Millisecond

	// acceptEventsMax is one epoll_wait of the bare acceptor.
	acceptEventsMax = 512
	// pingLookMillis is how often its loops look whether they are to ping now.
	pingLookMillis = 100
	// pingBeatMin is the shortest beat: the clock of the host's threads and the
	// time that a batch takes are not finer.
	pingBeatMin = 10 * time.Millisecond
	// pingWarmUp is how long both sides ping before they are measured: longer than
	// the longest beat of the server, and for what connecting left behind.
	pingWarmUp = 5 * time.Second
	// requestBytesMax is one recv of it; the client's request is shorter.
	requestBytesMax = 4096

	// memorySettle is how long the kernel gets to free what connecting has
	// used for a moment, and memorySamples are taken memoryPause apart: their
	// median leaves out what others do in between.
	memorySettle  = 300 * time.Millisecond
	memorySamples = 5
	memoryPause   = 50 * time.Millisecond
	// freedShare of the slab that a side has taken, or freedBytesMin of what
	// others take meanwhile, may be left when the next begins. It begins
	// anyway when nothing was freed for freedStill, since some slabs stay
	// partly filled for long, and after freedTimeout.
	freedShare    = 0.02
	freedBytesMin = 1 << 20
	freedStill    = time.Second
	freedTimeout  = 30 * time.Second
)

// setUpTimeout is how long a side may take to start and connect.
func setUpTimeout(connections int) time.Duration {
	return setUpBase + time.Duration(connections)*time.Second/setUpPerSecond
}
