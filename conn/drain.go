package conn

import (
	"sync"
	"time"

	"c10m/poller"
)

// Drain closes all connections with 1012 (service restart), evenly over a
// time, so that their clients do not all come back at once, and returns when
// they are gone, lingerTimeout after that time at the latest. The listeners
// must be closed before. Any goroutine may call it, once.
func Drain(servers []*Server, over time.Duration) {
	d := &drainer{over: over}
	for _, s := range servers {
		d.loops.Add(1)
		s.loop.Run(func(*poller.Loop) { s.startDrain(d) })
	}
	d.loops.Wait()
}

// A drainer is what the loops of one drain have in common.
type drainer struct {
	over  time.Duration
	loops sync.WaitGroup // that still have connections
}

// drainState is a loop's part of a drain.
type drainState struct {
	*drainer
	cursor uint32
	last   int64 // time of the last step
	until  int64
	credit float64 // connections that are due
}

func (s *Server) startDrain(d *drainer) {
	now := s.loop.Now()
	s.drain = &drainState{drainer: d, last: now, until: now + int64(d.over)}
	s.loop.TickNow()
}

// drainSome closes what is due and returns when the next step is.
func (s *Server) drainSome() (next int64) {
	d, now := s.drain, s.loop.Now()
	if s.loop.Connections() == 0 {
		s.drain = nil
		d.loops.Done()
		return now + int64(time.Second)
	}
	if now > d.until+int64(s.shared.lingerTimeout) {
		d.cursor = s.loop.Walk(d.cursor, drainPerTickMax, func(fd uint32) { s.end(fd, Draining) })
		return now + int64(walkTickMin)
	}
	// What is left, over the time that is left.
	rate := float64(s.stats.Open.Load()+s.stats.Unfinished.Load()) / float64(max(d.until-now, int64(walkTickMin)))
	d.credit = min(d.credit+rate*float64(now-d.last), drainPerTickMax)
	d.last = now
	due := int(d.credit)
	d.credit -= float64(due)
	if due > 0 {
		d.cursor = s.loop.Walk(d.cursor, due, s.drainOne)
	}
	return now + int64(drainTick)
}

func (s *Server) drainOne(fd uint32) {
	switch s.loop.Record(fd).Phase {
	case phaseRequest:
		s.end(fd, Draining)
	case phaseOpen:
		s.finishCode(fd, Draining)
	}
}
