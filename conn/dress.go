package conn

import (
	"bytes"
	"time"

	"c10m/conn/members"
	"c10m/conn/wire"
	"c10m/poller"
)

// Answers are made once, for everybody; what differs is put in when one is said: its
// Date, and with a list of origins the page that may read it.

// dressed returns an answer with its Date, and for the page of origin if that is not
// empty. It is lent until the next call.
func (s *exchange) dressed(answer, origin []byte) []byte {
	s.dressing = wire.AppendDressed(s.dressing[:0], answer, s.date(), origin)
	return s.dressing
}

func (s *exchange) date() []byte {
	if second := s.loop.Now() / int64(time.Second); second != s.dateSecond || len(s.dateLine) == 0 {
		s.dateSecond = second
		s.dateLine = wire.AppendDate(s.dateLine[:0], time.Now())
	}
	return s.dateLine
}

func (s *exchange) originOf(h *wire.Head) []byte {
	if h.Count(wire.Origin) != 1 || !s.shared.Config.Access.Origins.Restrict() {
		return nil
	}
	return h.Value(wire.Origin)
}

// asker is the page to name in an answer to fd: that of the request at hand, or of the
// one whose answer is to come.
func (s *exchange) asker(fd uint32) []byte {
	if len(s.asking) > 0 {
		return s.asking
	}
	if c := s.cold[fd]; c != nil {
		return c.origin
	}
	return nil
}

// keepAsker notes the page with a connection whose answer comes later.
func (s *exchange) keepAsker(c *cold) {
	if len(s.asking) > 0 {
		c.origin = bytes.Clone(s.asking)
	}
}

// dress is dressed for whoever fd waits for, with HEAD perhaps.
func (s *exchange) dress(fd uint32, answer []byte) []byte {
	c := s.cold[fd]
	return s.dressed(wire.AnswerTo(c != nil && c.isHead, answer), s.asker(fd))
}

// A socket is the registry's channel.Socket.
type socket struct {
	members.Table
	server *Server
}

func (s *Server) isFree(fd uint32) bool {
	record := s.loop.Record(fd)
	return record.Phase == phaseOpen && (record.Marks&markCold == 0 || !s.cold[fd].owes())
}

// Respond writes an answer that polls share to one of them, and returns how much of it
// went. Where it has to differ, a copy goes, and what is left of that is owed.
func (t *socket) Respond(fd uint32, answer []byte) (int, poller.Status) {
	s := t.server
	c := s.cold[fd]
	if c == nil || len(c.origin) == 0 && !c.isHead {
		return t.Loop.Send(fd, poller.Piece{Frame: answer, IsShared: true})
	}
	s.exchange.dressing = wire.AppendDressed(s.exchange.dressing[:0], wire.AnswerTo(c.isHead, answer), nil, c.origin)
	n, status := t.Loop.Send(fd, poller.Words(s.exchange.dressing))
	if status.IsEnd() {
		return 0, status
	}
	if rest := s.exchange.dressing[n:]; len(rest) > 0 {
		c.owed = append(c.owed, rest...)
		s.outbox.owedBytes += len(rest)
		t.Loop.ArmWrite(fd, true)
	}
	return len(answer), poller.OK
}
