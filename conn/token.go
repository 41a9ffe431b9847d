package conn

import "c10m/access"

// judge has a newcomer's token judged, on the loop's thread: that is arithmetic
// and blocks nobody, but it is the most that a stranger can make the loop do.
func (s *Server) judge(request, channel []byte) (access.Grant, error) {
	started := s.loop.Clock()
	grant, err := s.shared.Config.Tokens.Judge(request, channel)
	s.spentOnTokens(started)
	return grant, err
}

// judgePublisher is judge for a message that is published over HTTP.
func (s *Server) judgePublisher(request, channel []byte) error {
	started := s.loop.Clock()
	err := s.shared.Config.Tokens.JudgePublisher(request, channel)
	s.spentOnTokens(started)
	return err
}

// spentOnTokens notes the time that a token took.
func (s *Server) spentOnTokens(started int64) {
	s.tokenNanos += s.loop.Clock() - started
	if s.tokenNanos >= tokenNanosPerTurnMax {
		s.stats.TokenPauses.Add(1)
		s.loop.LeaveNewcomers()
	}
}

// tokensWait reports whether this turn has verified enough. Requests are then
// left in their sockets: nothing is kept for them, and epoll tells them again in
// the next turn, in turns with everybody else's events.
func (s *Server) tokensWait() bool { return s.tokenNanos >= tokenNanosPerTurnMax }

// grant keeps what a token allows beside the subscription.
func (s *Server) grant(fd uint32, grant access.Grant) {
	if grant.Publish {
		s.loop.Record(fd).Marks |= markPublish
	}
	if grant.Lifetime > 0 {
		s.expiries.add(expiry{
			at: secondAfter(s.loop.Now(), int64(grant.Lifetime)), fd: fd, generation: s.loop.Generation(fd),
		}, s.holdsToken)
	}
}

// holdsToken reports whether e is about a connection that is still open.
func (s *Server) holdsToken(e expiry) bool {
	return s.loop.Generation(e.fd) == e.generation && !s.loop.Closing(e.fd) && s.loop.Record(e.fd).Phase == phaseOpen
}

// expireTokens ends connections whose token is over and returns when to look
// again.
func (s *Server) expireTokens() (next int64) {
	return s.expiries.expire(s.loop.Now(), s.holdsToken, func(fd uint32) { s.finishCode(fd, TokenExpired) })
}
