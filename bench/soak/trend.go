package main

import (
	"time"

	"c10m/bench/report"
)

// secondHalf are the later samples: by then caches and free lists have their
// size.
func secondHalf(samples []report.Sample) []report.Sample { return samples[len(samples)/2:] }

// slope is the least-squares slope of a value over the samples' time, per
// minute; 0 of fewer than two moments.
func slope(samples []report.Sample, value func(*report.Sample) float64) (perMinute float64) {
	n := float64(len(samples))
	var sumX, sumY, sumXX, sumXY float64
	for i := range samples {
		// From the first on, so that squares of large numbers do not eat the
		// difference.
		x := (samples[i].Seconds - samples[0].Seconds) / 60
		y := value(&samples[i])
		sumX, sumY, sumXX, sumXY = sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	spread := n*sumXX - sumX*sumX
	if spread <= 0 {
		return 0
	}
	return (n*sumXY - sumX*sumY) / spread
}

// slopeMax is how steep the resident memory may rise over a time, in bytes per
// minute (limits.go says why).
func slopeMax(over time.Duration) float64 {
	growth := residentGrowthMax
	if over < warmMinutes*time.Minute {
		growth = residentGrowthMaxWarm
	}
	return float64(growth) / max(over.Minutes(), 1e-9)
}
