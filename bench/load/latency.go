package load

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"c10m/bench/report"
)

// Latencies counts durations of one kind: an HDR histogram in microseconds,
// from 1 us to 1 h with two significant figures (a percentile is at most 0.8 %
// too high), and beside it the exact sum and maximum. One goroutine owns it.
// The zero value is empty and costs nothing until the first duration.
type Latencies struct {
	histogram *hdrhistogram.Histogram // 26,692 bytes; nil while it is empty
	sum       int64                   // nanoseconds
	longest   int64                   // nanoseconds
}

// Observe adds one duration in nanoseconds. Negative ones (clocks) count as 0,
// and what is longer than an hour as an hour.
func (l *Latencies) Observe(nanos int64) {
	nanos = max(nanos, 0)
	if l.histogram == nil {
		l.histogram = hdrhistogram.New(1, latencyMicrosMax, latencyFigures)
	}
	// Cannot fail: the value is in the histogram's range.
	l.histogram.RecordValue(min(nanos/1000, latencyMicrosMax))
	l.sum += nanos
	l.longest = max(l.longest, nanos)
}

// Merge adds what other counted; other stays as it is.
func (l *Latencies) Merge(other *Latencies) {
	if other.histogram == nil {
		return
	}
	if l.histogram == nil {
		l.histogram = hdrhistogram.New(1, latencyMicrosMax, latencyFigures)
	}
	l.histogram.Merge(other.histogram)
	l.sum += other.sum
	l.longest = max(l.longest, other.longest)
}

// clone is a copy that shares nothing.
func (l *Latencies) clone() (copied Latencies) {
	copied.Merge(l)
	return copied
}

// Since is what was counted after earlier, a copy of then. Its maximum is that of all,
// or else up to 0.8 % too high.
func (l *Latencies) Since(earlier *Latencies) (later Latencies) {
	if l.histogram == nil {
		return later
	}
	counts := l.histogram.Export()
	if earlier.histogram != nil {
		for i, n := range earlier.histogram.Export().Counts {
			counts.Counts[i] -= n
		}
	}
	if later.histogram = hdrhistogram.Import(counts); later.Count() == 0 {
		return Latencies{}
	}
	later.sum = l.sum - earlier.sum
	later.longest = min(l.longest, (later.histogram.Max()+1)*1000)
	return later
}

// Count is how many durations there are.
func (l *Latencies) Count() uint64 {
	if l.histogram == nil {
		return 0
	}
	return uint64(l.histogram.TotalCount())
}

// Mean is exact, not from the histogram.
func (l *Latencies) Mean() time.Duration {
	return time.Duration(l.sum / max(int64(l.Count()), 1))
}

// Max is exact.
func (l *Latencies) Max() time.Duration { return time.Duration(l.longest) }

// Quantile returns the duration that a share of q (0 to 1) does not exceed.
func (l *Latencies) Quantile(q float64) time.Duration {
	if l.histogram == nil {
		return 0
	}
	micros := l.histogram.ValueAtQuantile(min(q*100, 100))
	return min(time.Duration(micros)*time.Microsecond+time.Microsecond, l.Max())
}

// Latency is a histogram in a few numbers.
type Latency = report.Quantiles

// Summary returns the usual quantiles.
func (l *Latencies) Summary() Latency {
	return Latency{
		Count:      l.Count(),
		MeanMillis: millis(l.Mean()),
		P50Millis:  millis(l.Quantile(0.50)),
		P90Millis:  millis(l.Quantile(0.90)),
		P99Millis:  millis(l.Quantile(0.99)),
		P999Millis: millis(l.Quantile(0.999)),
		MaxMillis:  millis(l.Max()),
	}
}

func millis(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }
