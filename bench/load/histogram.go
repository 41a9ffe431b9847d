package load

import (
	"math"
	"math/bits"
	"time"
)

// A Histogram counts durations in buckets of 1/32 of a power of two, so that a
// percentile is at most 3.2 % too high. It is fixed in size (9 KiB), up to 18
// minutes, and one goroutine owns it.
type Histogram struct {
	counts [histogramBuckets]uint64
	Count  uint64
	Max    time.Duration
}

const (
	histogramSubBits = 5
	histogramSubs    = 1 << histogramSubBits
	histogramBitsMax = 40
	histogramBuckets = (histogramBitsMax - histogramSubBits + 1) * histogramSubs
)

// Observe adds one duration; negative ones (clocks) count as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.Count++
	h.Max = max(h.Max, d)
}

func bucketOf(nanos uint64) int {
	if nanos < histogramSubs {
		return int(nanos)
	}
	shift := bits.Len64(nanos) - 1 - histogramSubBits
	return min((shift+1)<<histogramSubBits+int(nanos>>shift)-histogramSubs, histogramBuckets-1)
}

// bucketEnd is the largest value of a bucket.
func bucketEnd(bucket int) uint64 {
	if bucket < histogramSubs {
		return uint64(bucket)
	}
	shift := bucket>>histogramSubBits - 1
	return uint64(histogramSubs+bucket&(histogramSubs-1)+1)<<shift - 1
}

// Merge adds what other counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.Count += other.Count
	h.Max = max(h.Max, other.Max)
}

// Quantile returns the duration that a share of q (0 to 1) does not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Count)))
	seen := uint64(0)
	for i, n := range h.counts {
		seen += n
		if n > 0 && seen >= rank {
			return min(time.Duration(bucketEnd(i)), h.Max)
		}
	}
	return h.Max
}

// Latency is a histogram in a few numbers, in milliseconds.
type Latency struct {
	Count        uint64  `json:"count"`
	P50Millis    float64 `json:"p50_ms"`
	P90Millis    float64 `json:"p90_ms"`
	P99Millis    float64 `json:"p99_ms"`
	P999Millis   float64 `json:"p999_ms"`
	LongestMilli float64 `json:"max_ms"`
}

// Summary returns the usual quantiles.
func (h *Histogram) Summary() Latency {
	millis := func(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }
	return Latency{
		Count:        h.Count,
		P50Millis:    millis(h.Quantile(0.50)),
		P90Millis:    millis(h.Quantile(0.90)),
		P99Millis:    millis(h.Quantile(0.99)),
		P999Millis:   millis(h.Quantile(0.999)),
		LongestMilli: millis(h.Max),
	}
}
