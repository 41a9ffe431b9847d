package conn

import (
	"c10m/access"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/conn/wire"
)

// judgeToken has a newcomer's token judged for s.shake.channel, and leaves what it
// grants in s.shake.grant. It does so on the loop's thread: that is arithmetic
// and blocks nobody, but it is the most that a stranger can make the loop do.
func (s *gate) judgeToken(h *wire.Head) reasons.Reason {
	tokens := s.shared.Config.Tokens
	if tokens == nil {
		return reasons.None
	}
	started := s.loop.Clock()
	c := s.credentials(h)
	grant, err := tokens.Judge(&c, s.shake.channel)
	s.shake.grant = grant
	s.spentOnTokens(started)
	return reasons.OfToken(err)
}

// judgePublisher is judgeToken for a message that is published over HTTP.
func (s *gate) judgePublisher(h *wire.Head) reasons.Reason {
	tokens := s.shared.Config.Tokens
	if tokens == nil {
		return reasons.None
	}
	started := s.loop.Clock()
	c := s.credentials(h)
	err := tokens.JudgePublisher(&c, s.shake.channel)
	s.spentOnTokens(started)
	return reasons.OfToken(err)
}

// credentials are where a request may have a token. They are lent.
func (s *gate) credentials(h *wire.Head) access.Credentials {
	return access.Credentials{
		Authorization: h.Value(wire.Authorization), Authorizations: h.Count(wire.Authorization),
		Protocols: s.protocolLines(h), Query: h.Query(),
	}
}

// spentOnTokens notes the time that a token took.
func (s *gate) spentOnTokens(started int64) {
	s.tokenNanos += s.loop.Clock() - started
	if s.tokenNanos >= tokenNanosPerTurnMax {
		s.stats.TokenPauses.Add(1)
		s.loop.LeaveNewcomers()
	}
}

// tokensWait reports whether this turn has verified enough. Requests are then
// left in their sockets: nothing is kept for them, and epoll tells them again in
// the next turn, in turns with everybody else's events.
func (s *gate) tokensWait() bool { return s.tokenNanos >= tokenNanosPerTurnMax }

// grant keeps what a token allows beside the subscription.
func (s *gate) grant(fd uint32, grant access.Grant) {
	if grant.Publish {
		s.loop.Record(fd).Marks |= markPublish
	}
	if grant.Lifetime > 0 {
		s.expiries.Add(timers.Expiry{
			At: timers.SecondAfter(s.loop.Now(), int64(grant.Lifetime)), FD: fd, Generation: s.loop.Generation(fd),
		}, s.holdsToken)
	}
}

// holdsToken reports whether e is about a connection that is still open.
func (s *gate) holdsToken(e timers.Expiry) bool {
	return s.isHere(e.FD, e.Generation) && s.loop.Record(e.FD).Phase == phaseOpen
}

// expireTokens ends connections whose token is over and returns when to look
// again.
func (s *gate) expireTokens() (next int64) {
	return s.expiries.Expire(s.loop.Now(), s.holdsToken, func(fd uint32) { s.dismiss(fd, reasons.TokenExpired) })
}
