package conn

import (
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/conn/wire"
	"c10m/poller"
)

// end counts why fd ends and has the reaper close it.
func (s *Server) end(fd uint32, reason reasons.Reason) {
	s.count(fd, reason)
	s.setPhase(fd, phaseEnded)
	s.loop.Close(fd)
}

// finish says lastWords (an HTTP answer or a close frame), ends our side of the stream,
// and waits for the client to end its own, for lingerTimeout at most.
func (s *Server) finish(fd uint32, reason reasons.Reason, lastWords []byte) {
	if s.sayLast(fd, phaseLingering, reason, lastWords) {
		s.stopListening(fd)
	}
}

// dismiss ends a connection that is open in the words of its protocol. What a stream is
// owed by its channels comes first, if one write takes it. After 1012 a client that had its
// next connection in time takes it that it missed nothing: who does not get all then, or is
// untold of an interruption, is told that.
func (s *Server) dismiss(fd uint32, reason reasons.Reason) {
	p := s.protocolOf(fd)
	if p.isStream && reason != reasons.MissedMessages && !s.flush(fd) && reason == reasons.Draining {
		reason = reasons.MissedMessages
	}
	if !s.loop.Closing(fd) {
		p.finish(s, fd, reason)
	}
}

// lastWords are made once for each reason of which an open connection is told.
func lastWords(write func(code uint16, text string) []byte) (all [reasons.Count][]byte) {
	for _, r := range reasons.All() {
		if _, code, text := r.Told(); code != 0 {
			all[r] = write(code, text)
		}
	}
	return all
}

// flush writes what fd is owed by its channels, as far as one write for each takes it,
// and reports whether that was all. Its sweep may be far behind, or paced.
func (s *Server) flush(fd uint32) (isWhole bool) {
	isWhole = !s.cold[fd].continues()
	return s.protocolOf(fd).channels.flush(s, fd) && isWhole
}

// sayLast writes the last words, gives the client lingerTimeout from here on, and
// reports whether they are in the socket.
func (s *Server) sayLast(fd uint32, phase uint8, reason reasons.Reason, lastWords []byte) (said bool) {
	s.count(fd, reason)
	s.setPhase(fd, phase)
	s.outbox.say(fd, lastWords)
	if c := s.cold[fd]; c != nil {
		s.resumer.dropResume(c)
	}
	s.protocolOf(fd).channels.leave(s, fd)
	if s.loop.Closing(fd) {
		return false
	}
	s.expireAfter(&s.lingers, fd, s.shared.lingerTimeout)
	return !s.cold[fd].owes()
}

// stopListening ends our side of the stream of a connection that is owed nothing. What
// comes of it is dropped.
func (s *Server) stopListening(fd uint32) {
	s.dropCold(fd)
	s.loop.Shutdown(fd)
}

// readClosing looks for the client's close frame in what it says after ours.
func (s *frames) readClosing(fd uint32, p []byte) {
	s.current = fd
	c, in := s.cold[fd], s.parserOf(fd)
	_, fault := in.Feed(p, sink{s.Server})
	isBye := in.IsClosed()
	isKept := s.keepParser(fd, in)
	switch {
	case isBye && c.owes(): // writable ends it
	case isBye:
		s.end(fd, reasons.None)
	case fault != wire.FaultNone || !isKept:
		s.setPhase(fd, phaseLingering)
		if !c.owes() {
			s.stopListening(fd)
		}
	default:
		s.thaw(fd)
	}
}

// count adds one to the counter of reason, unless fd has had its reason.
func (s *Server) count(fd uint32, reason reasons.Reason) {
	record := s.loop.Record(fd)
	if record.Phase > phaseOpen {
		return
	}
	if record.Phase == phaseOpen && protocolOf(record).isStream {
		s.operator.Recent.Add(s.loop.Now(), reason, s.registry.Name(fd))
	}
	s.stats.Closes[reason].Add(1)
}

// setPhase moves fd to another phase and keeps the numbers of connections in
// each.
func (s *Server) setPhase(fd uint32, phase uint8) {
	record := s.loop.Record(fd)
	if record.Marks&markPaused != 0 {
		s.publishing.readOn(fd)
	}
	s.readAgain(fd)
	p := protocolOf(record)
	s.gauge(p, record.Phase, -1)
	s.gauge(p, phase, 1)
	if record.Phase == phaseOpen && inExchange(phase) { // it was given what it waited for
		s.speak(fd, protocols[0])
	}
	if had, has := holdsPlace(record.Phase), holdsPlace(phase); had != has {
		if has {
			s.shared.open.Add(1)
		} else {
			s.shared.open.Add(-1)
		}
	}
	record.Phase = phase
}

func (s *Server) gauge(p *protocol, phase uint8, change int64) {
	switch {
	case phase == phaseRequest:
		s.stats.Unfinished.Add(change)
	case inExchange(phase):
		s.stats.HTTP.Add(change)
	case phase == phaseOpen:
		for _, of := range p.gauges {
			of(&s.stats).Add(change)
		}
	case isLeaving(phase):
		s.stats.Lingering.Add(change)
	}
}

// Overrun, Failed and Owe make Server the registry's channel.Owner.

// Overrun ends a slow consumer. Nothing can be said to it: its socket is full.
func (s *Server) Overrun(member uint32, cause channel.Cause) {
	s.end(s.members.Owner(member), [...]reasons.Reason{
		channel.OverBytes: reasons.SlowBytes, channel.OverAge: reasons.SlowAge, channel.OverTotal: reasons.SlowTotal,
	}[cause])
}

// Failed ends a connection whose socket is broken.
func (s *Server) Failed(member uint32, status poller.Status) {
	s.end(s.members.Owner(member), reasonOf(status))
}

// Owe keeps the rest of a frame whose member was moved forward.
func (s *Server) Owe(member uint32, rest []byte) {
	fd := s.members.Owner(member)
	if c := s.coldOrEnd(fd); c != nil {
		s.outbox.owe(fd, c, rest)
	}
}

// expireAfter gives fd a time in which to get somewhere, which all in d have.
func (s *Server) expireAfter(d *timers.Deadlines, fd uint32, timeout time.Duration) {
	d.Add(s.loop.Now()+int64(timeout), fd, s.loop.Generation(fd))
}

// expire calls late for connections in a phase whose time is over, as visit does.
func (s *Server) expire(d *timers.Deadlines, isIn func(phase uint8) bool, late func(fd uint32)) (next int64) {
	return s.visit(d, func(fd uint32) bool {
		isLate := isIn(s.loop.Record(fd).Phase)
		if isLate {
			late(fd)
		}
		return isLate
	})
}

// visit is timers.Deadlines.Visit, for connections that are still there.
func (s *Server) visit(d *timers.Deadlines, look func(fd uint32) (isLate bool)) (next int64) {
	return d.Visit(s.loop.Now(), func(fd, generation uint32) bool { return s.isHere(fd, generation) && look(fd) })
}
