package tuning

import (
	"sync/atomic"
	"time"
)

// A Pacer finds how fast sweeps may write so that the way to the clients carries
// it: the device's queue, the network, and the clients themselves.
// doc.go has the idea, docs/internals/tuning.md what is a queue and what is a loss. What is under way is read from the kernel: the pages that all TCP
// sockets hold (/proc/net/sockstat), at least one for each with unacknowledged bytes; and
// what is lost: packets that a device drops (/proc/net/dev) or TCP sends again
// (/proc/net/snmp). The rate is that at which the window drains, a little more while it is
// not full.
type Pacer struct {
	// Fixed after construction.
	config PacerConfig

	// Owned by Watch's goroutine.
	network networkCounts
	control pacing
	seen    pacerCounts

	stats PacerStats
}

// PacerStats is what a Pacer does, for the metrics. All are atomic.
type PacerStats struct {
	// Gauges: the writes a second that are allowed now, pages of unacknowledged bytes that
	// there may be, and those that there are.
	Rate, Window, UnderWay atomic.Int64
	// Cuts is how often the window shrank.
	Cuts atomic.Uint64
}

// PacerConfig is what a Pacer works on.
type PacerConfig struct {
	Writes  func() uint64           // made by sweeps up to now
	Bytes   func() uint64           // that they wrote
	SetRate func(perSecond float64) // of writes
	SetMost func(writes uint64)     // that there may be until the next look
	// Await sleeps until Writes is no longer that, or Interrupt was called.
	Await     func(writes uint64)
	Interrupt func()
}

// NewPacer sets the rate at which sweeps begin.
func NewPacer(host Host, config PacerConfig) *Pacer {
	p := &Pacer{config: config, network: newNetworkCounts(host), control: newPacing()}
	p.seen = p.count()
	p.apply()
	return p
}

// Stats is what the pacer goes on to write.
func (p *Pacer) Stats() *PacerStats { return &p.stats }

// Watch adapts the rate until stop is called. While nobody sweeps, mostly, it sleeps.
func (p *Pacer) Watch() (stop func()) {
	var isOver atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(pacePeriod)
		defer ticker.Stop()
		last, idle := time.Now(), 0
		for !isOver.Load() {
			now := <-ticker.C
			switch {
			case p.config.Writes() != p.seen.writes:
				idle = 0
				p.look(now.Sub(last).Seconds())
			case idle < pacerIdlePeriods:
				idle++
				continue
			default:
				ticker.Stop()
				p.rest(now.Sub(last).Seconds())
				last = now
				p.config.Await(p.seen.writes)
				now = time.Now()
				p.rest(now.Sub(last).Seconds())
				ticker.Reset(pacePeriod)
				idle = 0
			}
			last = now
		}
	}()
	return func() {
		isOver.Store(true)
		for {
			p.config.Interrupt() // it may be about to sleep
			select {
			case <-ended:
				return
			case <-time.After(pacePeriod):
			}
		}
	}
}

// rest notes so many seconds without a sweep: what is held now is slow readers', or
// somebody else's on this host.
func (p *Pacer) rest(seconds float64) {
	p.seen = p.count()
	p.control.step(pacerSample{seconds: seconds, pages: float64(p.seen.pages)})
	p.apply()
}

// pacerCounts are sums since the start of the host, and pages of now.
type pacerCounts struct {
	writes, bytes, dropped, sent, again uint64
	pages                               int64
}

// look reads all and sets the rate.
func (p *Pacer) look(seconds float64) {
	now := p.count()
	p.control.step(pacerSample{
		seconds: max(seconds, 1e-3),
		writes:  float64(now.writes - p.seen.writes),
		bytes:   float64(now.bytes - p.seen.bytes),
		pages:   float64(now.pages),
		dropped: float64(now.dropped - min(now.dropped, p.seen.dropped)),
		sent:    float64(now.sent - min(now.sent, p.seen.sent)),
		again:   float64(now.again - min(now.again, p.seen.again)),
	})
	p.seen = now
	p.apply()
}

func (p *Pacer) apply() {
	c := &p.control
	p.config.SetRate(c.rate)
	p.config.SetMost(p.seen.writes + uint64(c.budget))
	p.stats.Rate.Store(int64(c.rate))
	p.stats.Window.Store(int64(c.window))
	p.stats.UnderWay.Store(int64(c.underWay))
	p.stats.Cuts.Store(uint64(c.cuts))
}

func (p *Pacer) count() (c pacerCounts) {
	c.writes, c.bytes = p.config.Writes(), p.config.Bytes()
	bytes, _ := p.network.tcpBytes()
	c.pages, c.dropped = bytes/pageBytes, p.network.deviceDrops()
	c.sent, c.again = p.network.segments()
	return c
}

// queue is how long a write waits in queues, about, as a part of how long it may:
// the time from a write to its acknowledgement, by Little's law, less the shortest
// that it took of late. The law is of means, so they are over long.
func (c *pacing) queue(drained, seconds float64) float64 {
	c.meanDrain += (drained - c.meanDrain) * paceTripSmoothing
	c.meanUnderWay += (c.underWay - c.meanUnderWay) * paceTripSmoothing
	if c.meanUnderWay < paceWindowMin || c.meanDrain <= 0 {
		return 0 // too little to tell
	}
	now := c.meanUnderWay / c.meanDrain
	if c.trip == 0 || now <= c.trip {
		c.trip, c.tripAge = now, 0
	} else if c.tripAge += seconds; c.tripAge > paceTripSeconds {
		// It may have become longer, or there was a queue all the time: with half
		// of the window it shows.
		c.trip, c.tripAge = now, 0
		c.window = max(paceWindowMin, c.window/2)
	}
	return (now - c.trip) / max(paceQueueSeconds, c.trip*paceQueueShare)
}

// A pacerSample is what happened in a period.
type pacerSample struct {
	seconds              float64
	writes, bytes        float64
	pages                float64 // held by all TCP sockets now
	dropped, sent, again float64 // packets, segments, segments sent again
}

// pacing is the controller: no clock and no files, so a test can be its network.
type pacing struct {
	rate                    float64 // writes a second
	budget                  float64 // writes until the next step
	window                  float64 // pages
	underWay                float64 // pages
	lostAt                  float64 // the window at the last loss; 0: there was none
	base                    float64 // pages that are held while nobody sweeps
	drain                   float64 // pages a second
	rest                    float64 // seconds until the window may shrink again
	quiet                   float64 // seconds without a sweep
	over                    float64 // seconds in which more was under way than the window
	meanDrain, meanUnderWay float64
	trip                    float64 // seconds from a write to its acknowledgement, the least of late
	tripAge                 float64 // seconds since it was that short
	cuts                    int
}

func newPacing() pacing {
	return pacing{rate: paceRateMax, window: paceWindowFirst, budget: paceWindowFirst}
}

func (c *pacing) step(s pacerSample) {
	before := c.underWay
	if c.rest -= s.seconds; s.writes == 0 {
		// What is held though nobody writes is slow readers', or somebody
		// else's on this host. It counts as no sweep's.
		if c.quiet += s.seconds; c.quiet >= paceQuietSeconds || s.pages < c.base {
			c.base = s.pages
		}
		c.underWay = max(0, s.pages-c.base)
		c.budget = max(c.window-c.underWay, paceBudgetMin)
		return
	}
	c.quiet = 0
	c.base = min(c.base, s.pages)
	if c.over += s.seconds; s.pages-c.base <= c.window {
		c.over = 0
	} else if c.over >= paceOverSeconds {
		// Little is written then, so what is held all the same is stuck.
		c.base, c.over = s.pages, 0
	}
	c.underWay = s.pages - c.base
	// A socket with anything to send holds a page, and more for what is larger.
	perWrite := max(1, s.bytes/s.writes/pageBytes)
	drained := max(0, s.writes*perWrite-(c.underWay-before)) / s.seconds
	c.drain += (drained - c.drain) * paceSmoothing

	lost := s.dropped > s.writes*paceDropShare ||
		s.again > s.sent*paceAgainShare && s.again > paceAgainMin && c.rest < -paceAgainRestSeconds
	queued := c.queue(drained, s.seconds)
	switch {
	case lost && c.rest <= 0:
		c.lostAt = max(paceWindowMin, min(c.window, c.underWay))
		c.window = max(paceWindowMin, c.lostAt*paceCut)
		c.rest = paceRestSeconds
		c.cuts++
	case lost:
	case queued > 2:
		c.window = max(paceWindowMin, c.window*(1-paceGrowth))
	case c.underWay > c.window/2 && queued < 1:
		growth := paceGrowth
		if c.lostAt > 0 && c.window > c.lostAt*paceNear {
			growth = paceProbe
		}
		c.window = min(paceWindowMax, c.window*(1+growth))
	}
	c.budget = max((c.window-c.underWay)/perWrite, paceBudgetMin)
	if c.underWay <= c.window/2 {
		// Nothing holds the sweep up, so the rate is not to do it either.
		c.rate = min(c.rate*(1+paceSmoothing), paceRateMax)
		c.budget += paceAhead * c.drain / perWrite
		return
	}
	room := 2 - c.underWay/c.window
	c.rate = max(c.drain/perWrite*max(room, paceRoomMin), paceRateMin)
}
