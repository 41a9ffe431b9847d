package admin

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"c10m/conn/reasons"
	"c10m/poller"
)

// The history of the operator's page: once a second, and whether or not anybody
// looks, the counters that a scrape reads are read and the differences kept for
// historySecondsMax, so that who opens the page after something happened sees it.
// That is all of the page that runs by itself; BenchmarkSample has what it costs.

// The columns of a sample.
const (
	columnTime        = iota // Unix, in seconds
	columnConnections        // open WebSockets
	columnMessages           // taken from publishers, per second
	columnDeliveries         // per second
	columnBytes              // written, per second
	columnLagP50             // seconds from publishing to the last write; NaN: there was none
	columnLagP99
	columnTurnP99  // seconds that a turn of a loop was busy
	columnBusyMax  // part of its time for which the busiest loop did not wait
	columnOpened   // upgrades, per second
	columnClosed   // ends of connections that were open or asked to be, per second
	columnBlocked  // slow readers now
	columnResident // bytes of this process
	columns
)

// columnNames are their names in JSON.
var columnNames = [columns]string{
	"time", "connections", "messages", "deliveries", "bytes", "lagP50", "lagP99", "turnP99", "busyMax",
	"opened", "closed", "blocked", "resident",
}

// A sample is one second.
type sample [columns]float64

// MarshalJSON makes an array; what there is no number for is null.
func (s sample) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for i, v := range s {
		if i > 0 {
			out = append(out, ',')
		}
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			out = append(out, "null"...)
		case i == columnTime:
			out = strconv.AppendFloat(out, v, 'f', 3, 64)
		default:
			out = strconv.AppendFloat(out, v, 'g', 6, 64) // a plot has not so many pixels
		}
	}
	return append(out, ']'), nil
}

// A loopState is one loop in the last second.
type loopState struct {
	Connections int64    `json:"connections"`
	Busy        float64  `json:"busy"`    // part of its time
	TurnP99     *float64 `json:"turnP99"` // seconds; nil: no turn
	LagP99      *float64 `json:"lagP99"`
	LogBytes    int64    `json:"logBytes"`
	Blocked     int64    `json:"blocked"`
}

// rates are the columns of what happened per second: the differences of sums.
var rates = [...]int{columnMessages, columnDeliveries, columnBytes, columnOpened, columnClosed}

// closeMark is how often each reason had occurred at a time.
type closeMark struct {
	at     time.Time
	closes []uint64
}

// A history keeps samples. Its methods may be called from any goroutine.
type history struct {
	// Fixed after construction.
	sources *Sources
	started time.Time

	looks chan struct{} // somebody looked

	// Guarded by mu.
	mu      sync.Mutex
	lookAt  time.Time   // when somebody last did
	at      time.Time   // of the last sample
	last    sample      // with sums in place of rates
	turns   []histogram // of each loop, as they were then
	lags    []histogram
	samples []sample // a ring
	count   uint64   // samples so far
	loops   []loopState
	marks   []closeMark // one for each closeMarkSeconds, oldest first
}

func newHistory(sources *Sources, now time.Time) *history {
	h := &history{
		sources: sources, started: now, at: now, looks: make(chan struct{}, 1),
		turns: make([]histogram, len(sources.Loops)), lags: make([]histogram, len(sources.Loops)),
		loops: make([]loopState, len(sources.Loops)),
	}
	for i, loop := range sources.Loops {
		h.turns[i], h.lags[i] = readHistogram(&loop.Poller.Turns), readHistogram(&loop.Channel.Lag)
	}
	h.last = h.read()
	h.marks = []closeMark{{now, h.closes()}}
	return h
}

// run takes a sample a second until stop is closed, while somebody looks.
func (h *history) run(stop <-chan struct{}) {
	for {
		select {
		case <-h.looks:
			h.begin(time.Now())
			h.runWhileLookedAt(stop)
		case <-stop:
			return
		}
	}
}

// runWhileLookedAt returns when nobody has looked for as long as samples are kept.
func (h *history) runWhileLookedAt(stop <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for h.isLookedAt(time.Now()) {
		select {
		case now := <-ticker.C:
			h.take(now)
		case <-stop:
			return
		}
	}
}

// look notes that somebody looks.
func (h *history) look(now time.Time) {
	h.mu.Lock()
	h.lookAt = now
	h.mu.Unlock()
	select {
	case h.looks <- struct{}{}:
	default: // it is known
	}
}

func (h *history) isLookedAt(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.lookAt) < historySecondsMax*time.Second
}

// begin has the next sample be of the time from now on. Of the marks the latest stays: it
// says when it was made.
func (h *history) begin(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.last = now, h.read()
	for i, loop := range h.sources.Loops {
		h.turns[i], h.lags[i] = readHistogram(&loop.Poller.Turns), readHistogram(&loop.Channel.Lag)
	}
	h.marks = h.marks[len(h.marks)-1:]
}

// take adds a sample of the time since the last one.
func (h *history) take(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seconds := now.Sub(h.at).Seconds()
	if seconds <= 0 {
		return
	}
	h.at = now
	sums := h.read()
	s := sums
	for _, column := range rates {
		s[column] = (sums[column] - h.last[column]) / seconds
	}
	h.last = sums
	s[columnTime] = float64(now.UnixMilli()) / 1000
	s[columnResident] = float64(residentBytes())
	h.takeLoops(&s, seconds)
	if len(h.samples) < historySecondsMax {
		h.samples = append(h.samples, s)
	} else {
		h.samples[h.count%historySecondsMax] = s
	}
	h.count++
	if now.Sub(h.marks[len(h.marks)-1].at) >= closeMarkSeconds*time.Second {
		h.marks = append(h.marks, closeMark{now, h.closes()})
		if len(h.marks) > 1+historySecondsMax/closeMarkSeconds {
			h.marks = h.marks[1:]
		}
	}
}

func (h *history) read() (s sample) {
	s[columnMessages] = float64(h.sources.Hub.Messages.Load())
	for _, loop := range h.sources.Loops {
		s[columnDeliveries] += float64(loop.Channel.Deliveries.Load())
		s[columnBytes] += float64(loop.Channel.Bytes.Load())
		s[columnOpened] += float64(loop.Conn.Handshakes.Load())
		s[columnConnections] += float64(loop.Conn.Open.Load())
		s[columnBlocked] += float64(loop.Channel.Blocked.Load())
	}
	for _, n := range h.closes() {
		s[columnClosed] += float64(n)
	}
	return s
}

// takeLoops makes the loops' states, and what a sample says of their times.
func (h *history) takeLoops(s *sample, seconds float64) {
	var turns, lags histogram
	for i, loop := range h.sources.Loops {
		turn, lag := h.turns[i].since(&loop.Poller.Turns), h.lags[i].since(&loop.Channel.Lag)
		state := loopState{
			Connections: loop.Poller.Connections.Load(),
			Busy:        min(1, turn.sum/seconds),
			TurnP99:     turn.p99(),
			LagP99:      lag.p99(),
			LogBytes:    loop.Channel.LogBytes.Load(),
			Blocked:     loop.Channel.Blocked.Load(),
		}
		h.loops[i] = state
		s[columnBusyMax] = max(s[columnBusyMax], state.Busy)
		turns.merge(&turn)
		lags.merge(&lag)
	}
	s[columnTurnP99], s[columnLagP50], s[columnLagP99] = turns.part(0.99), lags.part(0.5), lags.part(0.99)
}

// closes is how often each reason has occurred, by reasons.Reason.
func (h *history) closes() []uint64 {
	sums := make([]uint64, reasons.Count)
	for _, loop := range h.sources.Loops {
		for reason := range loop.Conn.Closes {
			sums[reason] += loop.Conn.Closes[reason].Load()
		}
	}
	return sums
}

// after returns the samples after the first since, a copy of the loops, and when
// the oldest mark of closes was.
func (h *history) after(since uint64) (samples []sample, count uint64, loops []loopState, mark closeMark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := max(since, h.count-uint64(len(h.samples)))
	if first > h.count {
		first = h.count - uint64(len(h.samples)) // of another server, before this one
	}
	samples = []sample{} // in JSON, and not null
	for i := first; i < h.count; i++ {
		samples = append(samples, h.samples[i%historySecondsMax])
	}
	return samples, h.count, append([]loopState(nil), h.loops...), h.marks[0]
}

// since replaces h by what a loop's histogram is now, and returns the difference.
func (h *histogram) since(loop *poller.Histogram) (difference histogram) {
	before := *h
	*h = readHistogram(loop)
	difference = histogram{bounds: h.bounds, counts: make([]uint64, len(h.counts)), sum: h.sum - before.sum}
	for i := range difference.counts {
		difference.counts[i] = h.counts[i] - before.counts[i]
	}
	return difference
}

// part is quantile, but NaN if there is nothing, and the last bound, in which there
// may be longer ones, rather than infinity.
func (h *histogram) part(q float64) (seconds float64) {
	switch seconds = h.quantile(q); {
	case seconds == 0:
		return math.NaN()
	case math.IsInf(seconds, 1):
		return h.bounds[len(h.bounds)-1]
	}
	return seconds
}

// p99 is part(0.99), nil if there is nothing.
func (h *histogram) p99() *float64 {
	seconds := h.part(0.99)
	if math.IsNaN(seconds) {
		return nil
	}
	return &seconds
}

// residentBytes is what this process holds of the memory, without the kernel's part;
// 0 if the kernel does not tell (proc(5), statm).
func residentBytes() int64 {
	var all, resident int64
	text, _ := os.ReadFile("/proc/self/statm")
	_, _ = fmt.Sscan(string(text), &all, &resident)
	return resident * int64(os.Getpagesize())
}
