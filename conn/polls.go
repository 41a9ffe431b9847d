package conn

import (
	"sync/atomic"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/conn/wire"
)

type longPolls struct {
	*Server // whose part it is

	polls timers.Expiries // of polls that wait
}

// longPoll is the protocol of a poll that waits; with its answer, the connection speaks
// HTTP again.
var longPoll = &protocol{
	answers: func(h *wire.Head) bool {
		_, isPoll := h.Parameter("wait")
		return isPoll
	},
	begin: func(s *Server, p *protocol, fd uint32, h *wire.Head, bytes []byte) verdict {
		return s.longPolls.poll(p, fd, h, bytes)
	},
	shapes:   []func(wire.FrameMode) channel.Shape{responses(false), responses(true)},
	channels: oneChannel{},
	gauges:   []func(*Stats) *atomic.Int64{func(s *Stats) *atomic.Int64 { return &s.OpenPolls }},

	mayRead:      func(s *Server, fd uint32) bool { return s.longPolls.mayReadBehindPoll(fd) },
	readBytesMax: wholeRead,
	received:     func(s *Server, fd uint32, p []byte) { s.longPolls.keepBehindPoll(fd, p) },
	hungUp:       hungUp,

	notice:   func(s *Server, fd uint32) { s.longPolls.drainPoll(fd) },
	finish:   func(s *Server, fd uint32, reason reasons.Reason) { s.longPolls.finishPoll(fd, reason) },
	answered: func(s *Server, fd uint32, c *cold, a *channel.Answer) { s.longPolls.pollAnswered(fd, c, a) },
}

// finishPoll ends a poll with a status, since it knows no close codes.
func (s *longPolls) finishPoll(fd uint32, reason reasons.Reason) {
	switch reason {
	case reasons.MissedMessages:
		s.missedPoll(fd)
	case reasons.Draining:
		s.drainPoll(fd)
	case reasons.Disconnected:
		s.refuse(fd, reasons.RequestDisconnected)
	case reasons.StateMemory:
		s.refuse(fd, reasons.RequestMemory)
	default:
		panic("BUG: a poll does not end with " + reason.String())
	}
}

// mayReadBehindPoll is protocol.mayRead: no more than one read is kept.
func (s *longPolls) mayReadBehindPoll(fd uint32) bool {
	c := s.cold[fd]
	if c == nil || !c.held {
		return true
	}
	s.doNotRead(fd, c)
	return false
}

func joinResponses(messages []*channel.Message, isLast bool) []byte {
	list := make([]wire.PollMessage, len(messages))
	ids := make([]byte, 0, len(messages)*wire.IDBytesMax)
	for i, m := range messages {
		from := len(ids)
		ids = m.AppendID(ids)
		list[i] = wire.PollMessage{ID: ids[from:], Payload: m.Payload()}
	}
	return wire.AppendPollResponse(nil, list, isLast)
}

// responses are the shape of polls' answers. isLast: the connection ends with it.
func responses(isLast bool) func(wire.FrameMode) channel.Shape {
	return func(wire.FrameMode) channel.Shape {
		join := func(messages []*channel.Message) []byte { return wire.Dated(joinResponses(messages, isLast)) }
		return channel.Shape{Encode: func(m *channel.Message) []byte { return join([]*channel.Message{m}) }, Join: join}
	}
}

// poll answers a request with ?wait=, now or later. rest is what came behind it.
func (s *longPolls) poll(p *protocol, fd uint32, h *wire.Head, rest []byte) verdict {
	reason := s.gate.judge.Reader(h, h.Path())
	wait, isTime := pollWait(h)
	switch {
	case reason != reasons.None:
	case !isTime:
		reason = reasons.RequestWait
	case s.draining.IsOn():
		reason = reasons.RequestDraining
	default:
		reason = s.gate.admit(fd)
	}
	if reason != reasons.None {
		return s.refuseHead(fd, h, reason)
	}
	format := p.format
	if h.IsLast() {
		format++
	}
	if err := s.registry.SubscribeOnce(fd, s.gate.judge.Channel, format); err != nil {
		panic("BUG: a bad channel was let through")
	}
	s.stats.Polls.Add(1)
	s.speak(fd, p)
	s.setPhase(fd, phaseOpen)
	if len(s.exchange.asking) > 0 || h.IsHead() || h.IsLast() { // its answer has to differ
		c := s.coldOrRefuse(fd)
		if c == nil {
			return verdictOver
		}
		s.exchange.keepAsker(c)
		c.isHead, c.isLast = h.IsHead(), h.IsLast()
	}
	if len(rest) > 0 && !s.keepBehindPoll(fd, rest) {
		return verdictOver
	}
	since, _ := h.Parameter("since")
	switch {
	case len(since) > 0 && s.shared.Config.History == nil:
		s.gonePoll(fd, nil)
	case len(since) > 0:
		s.resumer.ask(fd, since, &resume{waiting: true, isOver: wait == 0})
	case wait == 0:
		s.overPoll(fd)
	}
	if !s.loop.Closing(fd) && s.isWaiting(fd) {
		at := timers.SecondAfter(s.loop.Now(), int64(wait))
		s.loop.Record(fd).Stamp = uint8(at) // tells its entry from those of earlier polls: none waits for 256 s
		s.polls.Add(timers.Expiry{At: at, FD: fd, Generation: s.loop.Generation(fd)}, s.isPoll)
		s.thaw(fd)
	}
	return verdictOver // what is behind it goes on when it is answered
}

func pollWait(h *wire.Head) (wait time.Duration, isTime bool) {
	text, _ := h.Parameter("wait")
	seconds := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		seconds = min(10*seconds+int(c-'0'), pollSecondsMax)
	}
	return time.Duration(seconds) * time.Second, len(text) > 0
}

// keepBehindPoll keeps what a client sends while its poll waits: the next request.
// No more is read until the poll is answered.
func (s *longPolls) keepBehindPoll(fd uint32, p []byte) (kept bool) {
	c := s.exchange.keepBounded(fd, p, 0)
	if c == nil {
		s.refuse(fd, reasons.RequestMemory)
		return false
	}
	s.doNotRead(fd, c)
	return true
}

func (s *longPolls) isPoll(e timers.Expiry) bool {
	return s.isHere(e.FD, e.Generation) && s.isWaiting(e.FD) && s.loop.Record(e.FD).Stamp == uint8(e.At)
}

func (s *longPolls) isWaiting(fd uint32) bool {
	record := s.loop.Record(fd)
	return record.Phase == phaseOpen && !protocolOf(record).isStream
}

func (s *longPolls) expirePolls() (next int64) {
	return s.polls.Expire(s.loop.Now(), s.isPoll, s.overPoll)
}

// overPoll answers a poll whose time is over, if positions can be continued with the
// channel's.
func (s *longPolls) overPoll(fd uint32) {
	c := s.cold[fd]
	switch {
	case c.continues():
		c.resumes[0].isOver = true
	case s.shared.Config.History.Keeps():
		s.resumer.ask(fd, nil, &resume{waiting: true, isAhead: true, isOver: true})
	case s.registry.Behind(fd):
		// A message came in time, and the sweep is on its way with it.
	default:
		s.emptyPoll(fd, nil)
	}
}

func (s *longPolls) pollAnswered(fd uint32, c *cold, a *channel.Answer) {
	r := c.resumes[0]
	c.resumes = nil
	// A question without a position says nothing of what was missed.
	isGone := a.Gone || r.isGone || r.isAhead && s.registry.Untold(fd)
	switch {
	case r.isAhead && !isGone && s.registry.Behind(fd):
		s.registry.Release(fd) // what came while it asked is its answer
	case isGone:
		s.gonePoll(fd, a.AppendPosition(nil))
	case len(a.Messages) > 0:
		first := channel.FirstOf(a.Messages)
		s.stats.Resent.Add(uint64(len(first)))
		s.answerPoll(fd, joinResponses(first, s.isLastPoll(fd)))
	case r.isOver:
		s.emptyPoll(fd, a.AppendPosition(nil))
	default:
		s.registry.CatchUp(fd)
		s.registry.Told(fd)
		s.registry.Release(fd)
		s.thaw(fd)
	}
}

func (s *longPolls) emptyPoll(fd uint32, position []byte) {
	s.stats.PollsEmpty.Add(1)
	s.answerPoll(fd, wire.AppendPollEmpty(nil, position, s.isLastPoll(fd)))
}

// gonePoll answers a poll that messages may have been missed, and where to go on if
// that is known.
func (s *longPolls) gonePoll(fd uint32, position []byte) {
	s.answerPoll(fd, wire.AppendPollGone(nil, position, s.resumer.kept(), s.isLastPoll(fd)))
}

func (s *longPolls) isLastPoll(fd uint32) bool {
	c := s.cold[fd]
	return c != nil && c.isLast
}

func (s *longPolls) answerPoll(fd uint32, answer []byte) {
	s.leavePoll(fd)
	if s.exchange.respond(fd, s.isLastPoll(fd), answer) == verdictNext {
		s.goOn(fd)
	}
}

// missedPoll tells a poll that messages may have been missed, and where to go on, if
// that is known: with the answer that it has asked for, or asks for now. An answer
// that comes for a poll that is over would be taken for the next one's.
func (s *longPolls) missedPoll(fd uint32) {
	c := s.cold[fd]
	switch {
	case c.continues():
		c.resumes[0].isGone = true
	case s.shared.Config.History.Keeps():
		s.resumer.ask(fd, nil, &resume{waiting: true, isGone: true})
	default:
		s.gonePoll(fd, nil)
	}
}

func (s *longPolls) leavePoll(fd uint32) {
	s.registry.Unsubscribe(fd)
	s.registry.Release(fd)
}

// drainPoll answers a poll since the server restarts: the next one goes to
// another connection.
func (s *longPolls) drainPoll(fd uint32) {
	answer := wire.AppendPollEmpty(nil, nil, true)
	if s.registry.Untold(fd) {
		answer = wire.AppendPollGone(nil, nil, s.resumer.kept(), true)
	}
	s.leavePoll(fd)
	s.finish(fd, reasons.Draining, s.exchange.dress(fd, answer))
}

// Served implements channel.Owner: a poll got its answer from the sweep, but for
// rest. The registry must not be called from here, so requests that came behind
// the poll wait for their turn.
func (s *Server) Served(fd uint32, rest []byte) {
	if s.loop.Closing(fd) {
		return // its client left in this very turn
	}
	s.stats.Requests.Add(1)
	switch {
	case len(rest) > 0:
		if c := s.coldOrEnd(fd); c != nil {
			s.exchange.enter(fd, phaseAnswer)
			s.loop.ArmWrite(fd, true)
			s.outbox.owe(fd, c, rest)
		}
	case s.longPolls.isLastPoll(fd):
		s.exchange.awaitTurn(fd)
	default:
		s.exchange.enterKept(fd)
		s.longPolls.goOn(fd)
	}
}

// goOn has the requests that came behind a poll answered.
func (s *longPolls) goOn(fd uint32) {
	if c := s.cold[fd]; c != nil && len(c.request) > 0 && !s.loop.Closing(fd) {
		s.exchange.awaitTurn(fd)
	}
}
