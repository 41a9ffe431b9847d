package admin

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"c10m/conn/reasons"
	"c10m/internal/patience"
)

// A sample is what happened since the last one, whatever happened before, and
// what is now.
func TestHistorySamplesDifferences(t *testing.T) {
	sources, _ := newSources(2)
	sources.Hub.Messages.Add(1000)
	sources.Loops[0].Channel.Deliveries.Add(5000)
	sources.Loops[0].Channel.Lag.Observe(int64(time.Second))
	sources.Loops[1].Poller.Turns.Observe(int64(time.Second))
	begin := time.Unix(1000, 0)
	h := newHistory(&sources, begin)

	sources.Hub.Messages.Add(10)
	for i, loop := range sources.Loops {
		loop.Conn.Open.Store(int64(100 * (i + 1)))
		loop.Poller.Connections.Store(int64(101 * (i + 1)))
		loop.Channel.Deliveries.Add(300)
		loop.Channel.Bytes.Add(7000)
		loop.Channel.Blocked.Add(2)
		loop.Conn.Handshakes.Add(4)
		loop.Conn.Closes[reasons.ClientGone].Add(2)
		loop.Conn.Closes[reasons.SlowAge].Add(1)
		for range 100 {
			loop.Channel.Lag.Observe(int64(3 * time.Microsecond))
		}
		for range 10 {
			loop.Poller.Turns.Observe(int64(50 * time.Millisecond))
		}
	}
	for range 10 {
		sources.Loops[1].Channel.Lag.Observe(int64(time.Millisecond))
	}
	h.take(begin.Add(2 * time.Second))
	samples, count, loops, _ := h.after(0)
	if len(samples) != 1 || count != 1 || len(loops) != 2 {
		t.Fatalf("%d samples of %d, %d loops", len(samples), count, len(loops))
	}
	s := samples[0]
	for column, want := range map[int]float64{
		columnTime: 1002, columnConnections: 300, columnMessages: 5, columnDeliveries: 300, columnBytes: 7000,
		columnLagP50: 4e-6, columnLagP99: 1024e-6, columnTurnP99: 65536e-6, columnBusyMax: 0.25,
		columnOpened: 4, columnClosed: 3, columnBlocked: 4,
	} {
		if math.Abs(s[column]-want) > 1e-9*want {
			t.Errorf("%s is %v, want %v", columnNames[column], s[column], want)
		}
	}
	if s[columnResident] < 1<<20 {
		t.Errorf("this process has %v bytes", s[columnResident])
	}
	if l := loops[1]; l.Connections != 202 || math.Abs(l.Busy-0.25) > 1e-9 || *l.LagP99 != 1024e-6 || *loops[0].LagP99 != 4e-6 || l.Blocked != 2 {
		t.Errorf("loop 1 is %+v", l)
	}

	// Nothing since: no latency, rather than the one before.
	h.take(begin.Add(3 * time.Second))
	samples, _, loops, _ = h.after(1)
	if s = samples[0]; len(samples) != 1 || s[columnMessages] != 0 || !math.IsNaN(s[columnLagP99]) || s[columnConnections] != 300 || loops[0].LagP99 != nil {
		t.Errorf("nothing happened, and it shows %v, %+v", s, loops[0])
	}
	if text, err := json.Marshal(s); err != nil || !json.Valid(text) {
		t.Errorf("%s, %v", text, err)
	}
	// A clock that was set back, or a tick that comes twice, is no sample.
	h.take(begin.Add(3 * time.Second))
	if _, count, _, _ := h.after(0); count != 2 {
		t.Errorf("%d samples", count)
	}
}

// Ten minutes are kept, and given out from any sample on; a number of another
// server gets all.
func TestHistoryKeepsTenMinutes(t *testing.T) {
	sources, _ := newSources(1)
	begin := time.Unix(1000, 0)
	h := newHistory(&sources, begin)
	const more = historySecondsMax + 250
	for i := 1; i <= more; i++ {
		if i == 300 {
			sources.Loops[0].Conn.Closes[reasons.ClientGone].Add(7)
		}
		h.take(begin.Add(time.Duration(i) * time.Second))
	}
	for since, want := range map[uint64]int{0: historySecondsMax, 250: historySecondsMax, 251: historySecondsMax - 1, more - 1: 1, more: 0, more + 5: historySecondsMax} {
		samples, count, _, _ := h.after(since)
		if len(samples) != want || count != more {
			t.Errorf("after %d: %d samples of %d, want %d", since, len(samples), count, want)
		}
		for i, s := range samples {
			if s[columnTime] != float64(1000+more-len(samples)+i+1) {
				t.Fatalf("after %d: number %d is of %v", since, i, s[columnTime])
			}
		}
	}
	_, _, _, mark := h.after(0)
	if at := mark.at.Sub(begin); at != (more-historySecondsMax)*time.Second || mark.closes[reasons.ClientGone] != 0 {
		t.Errorf("the oldest mark is %v after the begin, with %v", at, mark.closes)
	}
	if h.closes()[reasons.ClientGone] != 7 {
		t.Error("closes are not counted")
	}
}

// What a second of history costs, with as many loops as a million connections
// take under a small limit, and more.
func BenchmarkSample(b *testing.B) {
	for _, loops := range []int{2, 54, 300} {
		b.Run(itoa(loops), func(b *testing.B) {
			sources, _ := newSources(loops)
			now := time.Unix(1000, 0)
			h := newHistory(&sources, now)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Second)
				h.take(now)
			}
		})
	}
}

// Samples begin when somebody looks, are of the time from then on, and end when nobody does.
func TestHistoryBeginsWithALook(t *testing.T) {
	begin := time.Now().Add(-time.Hour)
	sources, _ := newSources(1)
	h := newHistory(&sources, begin)
	sources.Loops[0].Channel.Deliveries.Add(3600)
	stop := make(chan struct{})
	over := make(chan struct{})
	go func() { h.run(stop); close(over) }()
	h.look(time.Now())
	patience.Eventually(t, "there is a sample", func() bool { _, count, _, _ := h.after(0); return count > 0 })
	if samples, _, _, mark := h.after(0); samples[0][columnDeliveries] != 0 || !mark.at.Equal(begin) {
		t.Errorf("a sample has what was before it: %v, and closes are counted from %v", samples[0][columnDeliveries], mark.at)
	}
	h.look(time.Now().Add(-historySecondsMax * time.Second))
	patience.Eventually(t, "the samples end", func() bool { return !h.isLookedAt(time.Now()) })
	close(stop)
	<-over
}
