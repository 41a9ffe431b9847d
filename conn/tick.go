package conn

import (
	"math"
	"time"

	"c10m/poller"
)

// Tick does what depends on time. Nothing here is kept per connection but
// queues of deadlines, which hold only connections that are in a hurry, and when tokens
// and polls end.
func (s *Server) Tick() (next int64) {
	now := s.loop.Now()
	next = min(
		onBeat(now, int64(time.Second), s.loop.ID()),
		s.handshakes.expire(s.loop, phaseRequest, func(fd uint32) { s.refuse(fd, RequestTimeout) }),
		s.expireExchanges(),
		s.expireLingers(),
		s.expireTokens(),
		s.expirePolls(),
		s.expireBacklogs(),
		s.tellPresence(),
	)
	s.registry.Tick()
	if interval := s.shared.Config.PingInterval; interval > 0 {
		before := s.stats.Pings.Load()
		walk := s.pings.walk(s.loop, s.shared.Open(), interval, s.pingOne)
		next = min(next, walk)
		if s.stats.Pings.Load() > before {
			// The pongs come one by one in the next moment: each would wake
			// this loop if it slept.
			s.loop.Nap(int(min(napMax, time.Duration(walk-now)/napShare) / time.Millisecond))
		}
	}
	if s.drain != nil {
		return min(next, s.drainSome())
	}
	if s.missed != nil {
		next = min(next, s.tellMissed())
	}
	return min(next, s.disconnectSome())
}

func (s *Server) pingOne(fd uint32) {
	record := s.loop.Record(fd)
	p := protocolOf(record)
	if record.Phase != phaseOpen || p.ping == nil {
		return
	}
	if s.isStuck(fd) {
		s.stats.PingsSkipped.Add(1)
		return
	}
	s.stats.Pings.Add(1)
	p.ping(s, fd)
}

// isStuck reports whether the socket of fd is full, or what is to be said to it waits.
func (s *Server) isStuck(fd uint32) bool {
	record := s.loop.Record(fd)
	return record.Marks&markCold != 0 && s.cold[fd].owes() || protocolOf(record).channels.isBlocked(s, fd)
}

// A pacer walks over a loop's connections again and again, each round in one
// interval: a batch at each beat, in slices, so that letters and events come in
// between.
type pacer struct {
	cursor uint32
	last   int64   // time of the last beat
	next   int64   // time of the next
	credit float64 // connections that are due then
	due    int     // of the batch at hand
}

func (p *pacer) start(now int64) { p.last = now }

// walk visits what is due, a slice at most, and returns when it wants to be
// called again: at once if more is due. all is how many connections all loops have.
func (p *pacer) walk(loop *poller.Loop, all int64, interval time.Duration, visit func(fd uint32)) (next int64) {
	now, connections := loop.Now(), float64(loop.Connections())
	rate := connections / float64(interval) // connections per nanosecond
	if p.due == 0 && now >= p.next {
		// A loop that was late does not catch up in one burst: it goes round a
		// little slower. Nobody is visited twice in one batch.
		p.credit = min(p.credit+rate*float64(now-p.last), pingBatchMax, connections)
		p.last = now
		p.due = int(p.credit)
		p.credit -= float64(p.due)
		p.next = onBeat(now, beatOf(rate, float64(all)/float64(interval), interval), loop.ID())
	}
	if slice := min(p.due, walkPerTickMax); slice > 0 {
		p.due -= slice
		visited := 0
		p.cursor = loop.Walk(p.cursor, slice, func(fd uint32) { visited++; visit(fd) })
		if p.cursor == 0 && visited < slice {
			p.cursor = loop.Walk(0, slice-visited, visit)
		}
	}
	if p.due > 0 {
		return now
	}
	if rate == 0 {
		return math.MaxInt64
	}
	return p.next
}

// beatOf is the time between two batches: the longest of walkTickMax and the half,
// a quarter and so on of it that is a small part of the interval, so that pings
// stay even, and with which a batch at this rate (connections per nanosecond) is
// at most half of the largest, so that credit is seldom lost to its cap. For
// short intervals it is a second, as that is when loops tick anyway. The loops of a
// group beat together, so the rate of all of them counts, too.
func beatOf(rate, allRate float64, interval time.Duration) (nanos int64) {
	nanos = int64(walkTickMax)
	for nanos > int64(time.Second) && nanos > int64(interval)/beatsPerIntervalMin {
		nanos /= 2
	}
	for (rate*float64(nanos) > pingBatchMax/2 || allRate*float64(nanos) > beatGroups*pingBurstMax) && nanos > int64(walkTickMin) {
		nanos /= 2
	}
	return nanos
}

// onBeat is the next time after now at which a loop beats. All loops share the
// clock, and so most of their beats: those that wake in one moment cost the Go
// runtime's watchdog one look, and have the packets of a batch handled together.
// But not all: a quarter of the loops at a time, so that the processors are
// busy for a short while only.
func onBeat(now, beat int64, loop int) int64 {
	phase := beat / beatGroups * int64(loop%beatGroups)
	return ((now-phase)/beat+1)*beat + phase
}
