package admin

import (
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestLongest reads histograms that are laid out like the runtime's.
func TestLongest(t *testing.T) {
	buckets := []float64{math.Inf(-1), 0, 1e-6, 1e-3, math.Inf(1)}
	for _, c := range []struct {
		counts []uint64
		want   float64
	}{
		{[]uint64{0, 0, 0, 0}, 0},
		{[]uint64{0, 5, 0, 0}, 1e-6},
		{[]uint64{0, 5, 1, 0}, 1e-3},
		{[]uint64{0, 0, 1, 0}, 1e-3},
		{[]uint64{0, 5, 1, 1}, math.Inf(1)},
	} {
		if got := longest(&metrics.Float64Histogram{Counts: c.counts, Buckets: buckets}); got != c.want {
			t.Errorf("the longest of %v is %g, want %g", c.counts, got, c.want)
		}
	}
}

// TestStopsOfTheCollector: they are on the page that operators read, whose
// registry has more than the collector of c10m, and they are those of this
// process.
func TestStopsOfTheCollector(t *testing.T) {
	sources, _ := newSources(1)
	registry := newRegistry(sources, zap.NewNop())
	runtime.GC()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := series(t, families, "go_sched_pauses_total_gc_seconds", "").Histogram
	stopping := series(t, families, "go_sched_pauses_stopping_gc_seconds", "").Histogram
	if total.GetSampleCount() == 0 || stopping.GetSampleCount() == 0 {
		t.Errorf("after a collection there were %d stops, and %d waits for them", total.GetSampleCount(), stopping.GetSampleCount())
	}
	most := series(t, families, "c10m_gc_stop_max_seconds", "").Gauge.GetValue()
	if most <= 0 || most > time.Hour.Seconds() {
		t.Errorf("the longest stop took %g s", most)
	}
	// It may not be shorter than a stop that the library shows as longer than
	// a bound of its own.
	for _, bucket := range total.Bucket {
		if bucket.GetCumulativeCount() < total.GetSampleCount() && most <= bucket.GetUpperBound() {
			t.Errorf("the longest stop took %g s, but some took longer than %g s", most, bucket.GetUpperBound())
		}
	}
}

// TestP99OfTurns: of all loops' turns, not the mean of the loops' own.
func TestP99OfTurns(t *testing.T) {
	for _, c := range []struct {
		name        string
		short, long int           // turns of the first loop and of the second
		length      time.Duration // of the long ones
		want        float64
	}{
		{"none", 0, 0, 0, 0},
		{"one", 1, 0, 0, 4e-6},
		{"one of a hundred is longer", 99, 1, time.Second, 4e-6},
		{"two of a hundred are longer", 98, 2, 5 * time.Millisecond, 8192e-6},
		{"all are longer", 0, 3, 5 * time.Millisecond, 8192e-6},
		{"beyond the last bound", 0, 1, time.Hour, math.Inf(1)},
	} {
		sources, _ := newSources(2)
		for range c.short {
			sources.Loops[0].Poller.Turns.Observe(int64(3 * time.Microsecond))
		}
		for range c.long {
			sources.Loops[1].Poller.Turns.Observe(int64(c.length))
		}
		if got := series(t, gather(t, sources), "c10m_loop_turn_p99_seconds", "").Gauge.GetValue(); got != c.want {
			t.Errorf("%s: %g s, want %g s", c.name, got, c.want)
		}
	}
}
