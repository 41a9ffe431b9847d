package main

import "time"

// The limits of the room, with their reasons.
const (
	// hangGuard ends what hangs, and is no expectation of speed.
	hangGuard = 2 * time.Minute
	// pollPause is between two looks at something that is waited for.
	pollPause = 50 * time.Millisecond
	// markPause is between two marks while the way through the bus is watched:
	// recovery is told to this much.
	markPause = 100 * time.Millisecond
	// redialPause is between two tries of the publisher to reach a Redis that
	// is down.
	redialPause = 200 * time.Millisecond
	// publishBatchMax bounds the messages of one write to the bus, and so what
	// a publisher that was held up catches up with at once.
	publishBatchMax = 1000
	// publishSleepMax is how late the publisher notices that it is to end.
	publishSleepMax = 20 * time.Millisecond
	// redisCommandTimeout is for commands to a Redis that is well.
	redisCommandTimeout = 10 * time.Second
	// samplesMax bounds the report: 600 points are more than a plot has
	// pixels for.
	samplesMax = 600
	// quietShare of the time, at the end, has no fault that begins: what
	// recovers does so while all else still runs.
	quietShare = 0.1
	// scrapeBytesMax is past what /metrics has.
	scrapeBytesMax = 4 << 20
	// heapScrapes make the server's collector go round some ten times: one
	// leaves some 200 KB of garbage, and a small heap is collected every 4 MB.
	heapScrapes = 200
	// garbageTimeout is past the ten seconds that the server gives a request
	// and the five that it lets an ended connection linger.
	garbageTimeout = 30 * time.Second
	// receiveBufferBytes of a slow reader: the kernel's minimum, or so, so that
	// what the server keeps is soon what counts.
	receiveBufferBytes = 4096
)

// What may be left over at the end, and why it may.
const (
	// heapObjectsMargin is for what the server keeps for the next use once it
	// was needed (64 cold states and 64 logs with their messages per loop, buffers
	// of the bus and of the admin pages: 800 objects by a profile of everything
	// after 40 s, 610 after 120 s), and for the garbage that the fewest of some
	// scrapes still hold: 1,000 to 4,000 in all, and not more in longer runs. A
	// leak of an object for each connection that comes and goes passes the margin
	// in a minute.
	heapObjectsMargin = 10_000
	// goroutinesMargin: the bus's and the admin's are the same at both looks.
	goroutinesMargin = 0
	// residentGrowthMax is how far the resident memory may rise by its trend over
	// the second half of a run, whatever the length of that half. The heap breathes
	// with the collector's cycle: in an hour's samples the trend over any 3 to 30
	// minutes was at most 0.9 MiB. Over an hour's second half the limit is 68 KiB a
	// minute, which is 6 bytes for each of 200 connections that come and go in a
	// second.
	residentGrowthMax = 2 << 20
	// In a run whose second half is shorter than warmMinutes, pools and free lists
	// still grow to their size.
	warmMinutes           = 5
	residentGrowthMaxWarm = 8 << 20
)
