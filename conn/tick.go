package conn

import (
	"math"
	"time"

	"c10m/poller"
)

// Tick does what depends on time. Nothing here is kept per connection but the
// two queues of deadlines, which hold only connections that are in a hurry.
func (s *Server) Tick() (next int64) {
	next = min(
		s.loop.Now()+int64(time.Second),
		s.handshakes.expire(s.loop, phaseRequest, func(fd uint32) { s.refuse(fd, RequestTimeout) }),
		s.lingers.expire(s.loop, phaseLingering, func(fd uint32) { s.end(fd, reasonNone) }),
	)
	s.registry.Tick()
	if interval := s.shared.Config.PingInterval; interval > 0 {
		next = min(next, s.pings.walk(s.loop, interval, s.pingOne))
	}
	if s.drain != nil {
		next = min(next, s.drainSome())
	}
	return next
}

// pingFrame is an empty ping. The kernel tells a dead peer by the missing
// acknowledgement (TCP_USER_TIMEOUT), so nobody waits for the pong.
var pingFrame = []byte{0x89, 0}

func (s *Server) pingOne(fd uint32) {
	record := s.loop.Record(fd)
	if record.Phase != phaseOpen {
		return
	}
	if record.Marks&markCold != 0 && s.cold[fd].owes() || s.registry.Blocked(fd) {
		s.stats.PingsSkipped.Add(1)
		return
	}
	s.stats.Pings.Add(1)
	s.say(fd, pingFrame)
}

// A pacer walks over a loop's connections again and again, each round in one
// interval, a few connections at a time.
type pacer struct {
	cursor uint32
	last   int64   // time of the last step
	credit float64 // connections that are due
}

func (p *pacer) start(now int64) { p.last = now }

// walk visits what is due and returns when the next step is.
func (p *pacer) walk(loop *poller.Loop, interval time.Duration, visit func(fd uint32)) (next int64) {
	now := loop.Now()
	rate := float64(loop.Connections()) / float64(interval) // connections per nanosecond
	// A loop that was late does not catch up in one burst: it goes round a
	// little slower. Nobody is visited twice in one step.
	p.credit = min(p.credit+rate*float64(now-p.last), walkPerTickMax, float64(loop.Connections()))
	p.last = now
	if due := int(p.credit); due > 0 {
		p.credit -= float64(due)
		visited := 0
		p.cursor = loop.Walk(p.cursor, due, func(fd uint32) { visited++; visit(fd) })
		if p.cursor == 0 && visited < due {
			p.cursor = loop.Walk(0, due-visited, visit)
		}
	}
	if rate == 0 {
		return math.MaxInt64
	}
	// Half the largest step, so that credit is seldom lost to its cap.
	step := min(float64(walkPerTickMax), float64(loop.Connections())) / 2
	return now + max(int64(step/rate), int64(walkTickMin))
}
