package admin

import (
	"errors"
	"regexp"
	"runtime/metrics"

	"github.com/prometheus/client_golang/prometheus"
)

// The stops of the garbage collector: the only thing in this process that can
// hold up all loops at once.

// stopsName is the runtime's histogram of them (package runtime/metrics): each
// from the wish to stop until all go on. What it shares with .../stopping/... is
// the time until all threads stand still.
const stopsName = "/sched/pauses/total/gc:seconds"

// pauses matches that histogram, and the part of each stop in which the
// collector waited for threads to stand still. The library shows neither of its
// own accord, and merges their buckets to powers of ten; so c10m_gc_stop_max_seconds
// is read from the runtime.
var pauses = regexp.MustCompile(`^/sched/pauses/(total|stopping)/gc:seconds$`)

// collectStops shows the longest stop so far. The histogram belongs to this
// scrape, since others may run beside it.
func collectStops(out output) {
	samples := []metrics.Sample{{Name: stopsName}}
	metrics.Read(samples)
	if samples[0].Value.Kind() != metrics.KindFloat64Histogram {
		out.send(gcStopMaxSeconds, nil, errors.New("this version of Go has no histogram "+stopsName))
		return
	}
	out.value(gcStopMaxSeconds, prometheus.GaugeValue, longest(samples[0].Value.Float64Histogram()))
}

// longest returns the upper bound of the last bucket that has something in it,
// or 0 if none has.
func longest(h *metrics.Float64Histogram) float64 {
	for i := len(h.Counts) - 1; i >= 0; i-- {
		if h.Counts[i] > 0 {
			return h.Buckets[i+1] // bucket i is from Buckets[i] up to here
		}
	}
	return 0
}
