package conn

import (
	"time"

	"c10m/conn/reasons"
	"c10m/conn/timers"
)

// Tick does what depends on time.
func (s *Server) Tick() (next int64) {
	now := s.loop.Now()
	next = min(
		timers.OnBeat(now, int64(time.Second), s.loop.ID()),
		s.expire(&s.handshakes, isRequest, func(fd uint32) { s.refuse(fd, reasons.RequestTimeout) }),
		s.exchange.expireExchanges(),
		s.expire(&s.lingers, isLeaving, func(fd uint32) { s.end(fd, reasons.None) }),
		s.gate.expireTokens(),
		s.longPolls.expirePolls(),
		s.resumer.expireBacklogs(),
		s.presence.Tell(),
	)
	s.registry.Tick()
	if s.loop.Worked() {
		s.shared.Activity.Add(1)
	}
	if interval := s.shared.Config.PingInterval; interval > 0 {
		before := s.stats.Pings.Load()
		slice, walk := s.pings.Slice(now, interval, timers.Loop{ID: s.loop.ID(), Connections: s.loop.Connections(), All: s.shared.Open()})
		next = min(next, walk)
		s.pingSome(slice)
		if s.stats.Pings.Load() > before {
			// The pongs come one by one in the next moment: each would wake
			// this loop if it slept.
			s.loop.Nap(int(min(napMax, time.Duration(walk-now)/napShare) / time.Millisecond))
		}
	}
	if s.draining.IsOn() {
		return min(next, s.draining.Step())
	}
	return min(next, s.gaps.Step(), s.operator.Step())
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

// pingSome pings the next n connections, none of them twice.
func (s *Server) pingSome(n int) {
	if n == 0 {
		return
	}
	visited := 0
	s.pingCursor = s.loop.Walk(s.pingCursor, n, func(fd uint32) { visited++; s.pingOne(fd) })
	if s.pingCursor == 0 && visited < n {
		s.pingCursor = s.loop.Walk(0, n-visited, s.pingOne)
	}
}
