package main

import (
	"runtime"
	"testing"
)

// The ballast sets the collector's pace, and is left out where it would be a large part of the heap's limit.
func TestPaceCollector(t *testing.T) {
	for _, tc := range []struct {
		soft  int64
		paced bool
	}{{ballastBytes*ballastShare - 1, false}, {ballastBytes * ballastShare, true}, {0, true}} {
		ballast = nil
		runtime.GC()
		paceCollector(tc.soft)
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		if tc.paced != (ballast != nil) || tc.paced && stats.NextGC < 2*ballastBytes {
			t.Errorf("with a limit of %d: %d bytes of ballast, the next collection at %d", tc.soft, len(ballast), stats.NextGC)
		}
	}
	ballast = nil
}
