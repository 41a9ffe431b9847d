package poller

import (
	"math/bits"
	"sync/atomic"
)

// Stats are a loop's counters. The loop writes them, anybody may read them.
type Stats struct {
	Connections      atomic.Int64  // open now
	Accepted         atomic.Uint64 // connections taken from the listeners
	AcceptRetries    atomic.Uint64 // accept errors of one connection only (ECONNABORTED and its like)
	LanesPassedOn    atomic.Uint64 // times that another loop went on accepting, as the table was full
	AcceptPauses     atomic.Uint64 // times that descriptors or memory were used up
	AcceptRateWaits  atomic.Uint64 // times that newcomers had to wait for the accept rate
	AcceptRefused    atomic.Uint64 // closed unserved: epoll or the record table is full
	AcceptUnexpected atomic.Uint64 // accept errors that no class foresees
	WriteStalls      atomic.Uint64 // times that a socket with room took nothing: the kernel is short of memory
	StaleEvents      atomic.Uint64 // events for a former owner of the descriptor
	SteeringsEnded   atomic.Uint64 // 1 if connections no longer come by processor, since they all came here
	Wakeups          atomic.Uint64 // eventfd writes by posters
	Passes           atomic.Uint64 // times that a poster let the loop past those that wait for a processor
	PostsRefused     atomic.Uint64 // posts that found the mailbox full
	Letters          atomic.Uint64 // letters handled
	Turns            Histogram     // busy time of a turn, without the wait
}

// histogramBuckets covers 1 us (and less) to 34 s in powers of two.
const histogramBuckets = 26

// A Histogram counts durations in buckets of powers of two. One goroutine
// writes it; anybody may read it.
type Histogram struct {
	buckets [histogramBuckets]atomic.Uint64
	nanos   atomic.Uint64
}

// Observe adds one duration in nanoseconds.
func (h *Histogram) Observe(nanos int64) {
	bucket := bits.Len64(uint64(max(nanos, 0)) / 1000)
	h.buckets[min(bucket, histogramBuckets-1)].Add(1)
	h.nanos.Add(uint64(max(nanos, 0)))
}

// Read returns the upper bounds in seconds with the number of durations in
// each bucket, and the sum in seconds.
func (h *Histogram) Read() (seconds []float64, counts []uint64, sum float64) {
	seconds, counts = make([]float64, 0, histogramBuckets), make([]uint64, 0, histogramBuckets)
	for i := range h.buckets {
		seconds = append(seconds, float64(uint64(1)<<i)*1e-6)
		counts = append(counts, h.buckets[i].Load())
	}
	return seconds, counts, float64(h.nanos.Load()) * 1e-9
}
