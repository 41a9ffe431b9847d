package tuning

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"c10m/internal/patience"
)

// A fakeNetwork is a device with a queue that drains at a rate; what finds it
// full is dropped and sent again later. stuck are readers that never acknowledge.
type fakeNetwork struct {
	queueMax, drain float64 // packets; a second
	queue, stuck    float64
	retries         [100]float64 // what is sent again, by periods from now

	dropped float64
	longest float64 // queue
}

// run has a sweep of so many writes, as fast as the server can and the pacing
// allows, and returns the seconds that it took to deliver all.
func (n *fakeNetwork) run(c *pacing, writes, serverRate, periodSeconds float64) (seconds float64) {
	written, delivered := 0.0, 0.0
	for delivered < writes-1 && seconds < 600 {
		allowed := min(serverRate*periodSeconds, c.rate*periodSeconds, c.budget, writes-written)
		written += allowed
		again := n.retries[0]
		copy(n.retries[:], n.retries[1:])
		n.retries[len(n.retries)-1] = 0
		// What a period brings does not come at once.
		n.queue += allowed + again
		gone := min(n.queue, n.drain*periodSeconds)
		n.queue -= gone
		delivered += gone
		lost := max(0, n.queue-n.queueMax)
		n.queue -= lost
		n.retries[20] += lost // 0.2 s
		n.dropped += lost
		if seconds > 1 {
			n.longest = max(n.longest, n.queue)
		}
		seconds += periodSeconds
		waiting := 0.0
		for _, r := range n.retries {
			waiting += r
		}
		c.step(pacerSample{seconds: periodSeconds, writes: allowed, bytes: allowed * 260, pages: n.queue + waiting + n.stuck,
			dropped: lost, sent: allowed + again, again: again})
	}
	return seconds
}

const testPeriod = 0.01

// Over a device with a short queue hardly anything is lost, and the device is
// busy nearly all the time.
func TestPacingFollowsTheDevice(t *testing.T) {
	for _, n := range []fakeNetwork{
		{queueMax: 16_384, drain: 150_000},
		{queueMax: 10_000, drain: 80_000},
		{queueMax: 2_000, drain: 100_000},
		{queueMax: 100_000, drain: 500_000},
	} {
		c := newPacing()
		const writes = 2_000_000
		seconds := n.run(&c, writes, 600_000, testPeriod)
		if n.dropped > writes/100 {
			t.Errorf("queue of %v: %.0f of %d were dropped", n.queueMax, n.dropped, writes)
		}
		if best := writes / n.drain; seconds > best*1.25 {
			t.Errorf("queue of %v: %.1f s, and %.1f are possible", n.queueMax, seconds, best)
		}
		// Others use the device, too.
		if n.longest > n.drain*0.1 {
			t.Errorf("queue of %v: %.0f packets were in it, %.2f s", n.queueMax, n.longest, n.longest/n.drain)
		}
	}
}

// Where nothing holds a sweep up, pacing does not either, from the first message
// on, however small the messages before it were.
func TestPacingIsNoLimitWhereThereIsNone(t *testing.T) {
	c := newPacing()
	n := fakeNetwork{queueMax: math.Inf(1), drain: 50e6}
	for range 100 {
		n.run(&c, 100, 200_000, testPeriod)
	}
	for _, rate := range []float64{200_000, 5e6} {
		const writes = 1_000_000
		best := writes / rate
		if seconds := n.run(&c, writes, rate, testPeriod); seconds > best*1.1+0.1 {
			t.Errorf("%.0f writes a second: %.3f s, and %.3f are possible", rate, seconds, best)
		}
	}
}

// Readers that never acknowledge anything, and buffers of others on this host,
// do not hold sweeps up for long.
func TestPacingWithStuckReaders(t *testing.T) {
	c := newPacing()
	n := fakeNetwork{queueMax: 16_384, drain: 150_000, stuck: 200_000}
	c.step(pacerSample{seconds: 1})
	if seconds := n.run(&c, 500_000, 400_000, testPeriod); seconds > 5 {
		t.Errorf("%.1f s for what takes 3.3 s", seconds)
	}
	// While nobody sweeps for a while, they are found out.
	for range 100 {
		c.step(pacerSample{seconds: testPeriod, pages: n.stuck})
	}
	if c.underWay != 0 || c.base != n.stuck {
		t.Errorf("%.0f pages are under way, %.0f nobody's", c.underWay, c.base)
	}
}

// Segments that TCP sends again for seconds after one loss are one loss.
func TestPacingCountsALossOnce(t *testing.T) {
	c := newPacing()
	for range 10 {
		c.step(pacerSample{seconds: testPeriod, writes: 1000, sent: 1000, pages: 3000})
	}
	c.step(pacerSample{seconds: testPeriod, writes: 1000, sent: 1000, pages: 5000, dropped: 500})
	if c.cuts != 1 || c.window >= paceWindowFirst {
		t.Fatalf("%d cuts, window %.0f", c.cuts, c.window)
	}
	for range 250 {
		c.step(pacerSample{seconds: testPeriod, writes: 1000, sent: 1000, pages: 1000, again: 200})
	}
	if c.cuts != 1 {
		t.Errorf("%d cuts for one loss", c.cuts)
	}
	for range 200 {
		c.step(pacerSample{seconds: testPeriod, writes: 1000, sent: 1000, pages: 1000, again: 200})
	}
	if c.cuts < 2 {
		t.Error("what is lost all the time is no loss any more")
	}
}

// The signals are read from /proc, and what cannot be read is none.
func TestPacerReads(t *testing.T) {
	h := files{
		"/proc/net/sockstat": "sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 42\n",
		"/proc/net/dev":      "Inter-| Receive | Transmit\n face |bytes\n lo: 1 2 3 4 5 6 7 8 9 10 11 30 13 14 15 16\nc10m0:1 2 3 4 5 6 7 8 9 10 11 4 13 14 15 16\n",
		"/proc/net/snmp":     "Ip: OutSegs\nIp: 1\nTcp: InSegs OutSegs RetransSegs\nTcp: 1 22 3\n",
	}.host(2)
	var writes, most atomic.Uint64
	writes.Store(7)
	rate := 0.0
	p := NewPacer(h, PacerConfig{Writes: writes.Load, Bytes: func() uint64 { return 8 },
		SetRate: func(r float64) { rate = r }, SetMost: most.Store})
	if want := (pacerCounts{writes: 7, bytes: 8, dropped: 34, sent: 22, again: 3, pages: 42}); p.count() != want {
		t.Errorf("read %+v, not %+v", p.count(), want)
	}
	if rate != paceRateMax || most.Load() != 7+paceWindowFirst || p.stats.Rate.Load() != paceRateMax || p.stats.Window.Load() != paceWindowFirst {
		t.Errorf("rate %v, %d writes at most", rate, most.Load())
	}
	writes.Store(1007)
	p.look(testPeriod)
	if most.Load() <= 1007 || p.stats.UnderWay.Load() != 42 || p.stats.Cuts.Load() != 0 {
		t.Errorf("%d writes at most, %d under way, %d cuts", most.Load(), p.stats.UnderWay.Load(), p.stats.Cuts.Load())
	}
	if got := NewPacer(Host{}, p.config).count(); got.pages != 0 || got.dropped != 0 || got.sent != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

// A pacer sleeps while nobody sweeps, is there again with the first write, and ends also
// while it sleeps.
func TestPacerSleepsWhileNobodySweeps(t *testing.T) {
	h := files{"/proc/net/sockstat": "sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 42\n"}.host(2)
	var writes atomic.Uint64
	var looks, naps atomic.Int64
	p := NewPacer(h, PacerConfig{
		Writes: writes.Load, Bytes: func() uint64 { return 8 }, SetRate: func(float64) {},
		SetMost: func(uint64) { looks.Add(1) },
		Await: func(seen uint64) {
			naps.Add(1)
			for writes.Load() == seen && naps.Load() > 0 {
				time.Sleep(time.Millisecond)
			}
		},
		Interrupt: func() { naps.Store(0) },
	})
	stop := p.Watch()
	patience.Eventually(t, "it sleeps", func() bool { return naps.Load() == 1 })
	before := looks.Load()
	writes.Store(100)
	patience.Eventually(t, "it wakes", func() bool { return looks.Load() > before })
	patience.Eventually(t, "it sleeps again", func() bool { return naps.Load() == 2 })
	if n := p.stats.UnderWay.Load(); n != 0 {
		t.Errorf("%d pages are under way while nobody sweeps", n)
	}
	stop()
}

// Clients far away acknowledge late, and that is no queue: a long sweep comes to
// the speed of the server all the same.
func TestPacingOverALongDistance(t *testing.T) {
	const serverRate, trip = 200_000.0, 30 // periods
	c := newPacing()
	var sent [trip]float64
	total := 0.0
	periods := 0
	for ; periods < 3000; periods++ {
		allowed := min(serverRate*testPeriod, c.rate*testPeriod, c.budget)
		copy(sent[1:], sent[:trip-1])
		sent[0] = allowed
		pages := 0.0
		for _, n := range sent {
			pages += n
		}
		if periods >= 500 {
			total += allowed
		}
		c.step(pacerSample{seconds: testPeriod, writes: allowed, bytes: allowed * 260, pages: pages, sent: allowed, again: allowed * 0.02})
	}
	if mean := total / testPeriod / float64(periods-500); mean < 0.8*serverRate {
		t.Errorf("%.0f writes a second of %.0f; window %.0f", mean, serverRate, c.window)
	}
}

// When a device becomes slow in the middle of it all, the queue before it becomes
// short again.
func TestPacingShortensQueues(t *testing.T) {
	c := newPacing()
	n := fakeNetwork{queueMax: 1e6, drain: 1e6}
	n.run(&c, 5_000_000, 3e6, testPeriod)
	n.drain = 100_000
	n.run(&c, 500_000, 3e6, testPeriod)
	n.longest = 0
	n.run(&c, 1_000_000, 3e6, testPeriod)
	if n.longest > n.drain*0.1 {
		t.Errorf("%.0f packets stand in the queue, %.2f s; window %.0f", n.longest, n.longest/n.drain, c.window)
	}
	if n.dropped > 0 {
		t.Errorf("%.0f were dropped", n.dropped)
	}
}
