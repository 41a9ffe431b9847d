package main

import "time"

const (
	// A test that waits for what a mutant keeps from coming fails after so long.
	mutantPatience = 45 * time.Second

	// A named test passes in seconds, and fails after some waits in vain.
	testSecondsMax = 240 * time.Second

	// A build that hangs, or a test binary that does not heed its own time-out.
	mutantSecondsMax = 8 * time.Minute

	// Copies of one tree at the same time, of all runs.
	placesMax = 16

	// What is printed of a run that did not end as it should.
	reportLinesMax = 25
)
