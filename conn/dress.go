package conn

import (
	"bytes"
	"syscall"
	"time"

	"c10m/conn/wire"
	"c10m/poller"

	"golang.org/x/sys/unix"
)

// Answers are made once, for everybody; what differs is put in when one is said: its
// Date, and with a list of origins the page that may read it. A page that sends
// cookies along must be named, and * is not its name (Fetch, 3.3.4).

var (
	allMayRead = []byte("Access-Control-Allow-Origin: *\r\n")
	endOfHead  = []byte("\r\n\r\n")
)

// dressed returns an answer with its Date, and for the page of origin if that is not
// empty. It is lent until the next call.
func (s *Server) dressed(answer, origin []byte) []byte {
	status := bytes.IndexByte(answer, '\n') + 1
	out := append(append(s.dressing[:0], answer[:status]...), s.date()...)
	s.dressing = appendForOrigin(out, answer[status:], origin)
	return s.dressing
}

// appendForOrigin appends an answer, or what follows its first line, for the page of
// origin.
func appendForOrigin(out, answer, origin []byte) []byte {
	if len(origin) > 0 {
		if before, after, isThere := bytes.Cut(answer, allMayRead); isThere {
			out = append(append(out, before...), "Access-Control-Allow-Origin: "...)
			out = append(append(out, origin...), "\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n"...)
			answer = after
		}
	}
	return append(out, answer...)
}

// date is the line of this second.
func (s *Server) date() []byte {
	if second := s.loop.Now() / int64(time.Second); second != s.dateSecond || len(s.dateLine) == 0 {
		s.dateSecond = second
		s.dateLine = wire.AppendDate(s.dateLine[:0], time.Now())
	}
	return s.dateLine
}

// datedNow is an answer that all loops share, with the Date of when it was made.
func datedNow(answer []byte) []byte {
	status := bytes.IndexByte(answer, '\n') + 1
	out := append(make([]byte, 0, len(answer)+len("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")), answer[:status]...)
	return append(wire.AppendDate(out, time.Now()), answer[status:]...)
}

// originOf is the page that may read the answer to a request, if it is to be named.
func (s *Server) originOf(h *wire.Head) []byte {
	if h.Count(wire.Origin) != 1 || !s.shared.Config.Access.Origins.Restrict() {
		return nil
	}
	return h.Value(wire.Origin)
}

// asker is the page to name in an answer to fd: that of the request at hand, or of the
// one whose answer is to come.
func (s *Server) asker(fd uint32) []byte {
	if len(s.asking) > 0 {
		return s.asking
	}
	if c := s.cold[fd]; c != nil {
		return c.origin
	}
	return nil
}

// keepAsker notes the page with a connection whose answer comes later.
func (s *Server) keepAsker(c *cold) {
	if len(s.asking) > 0 {
		c.origin = bytes.Clone(s.asking)
	}
}

// dress is dressed for whoever fd waits for, with HEAD perhaps.
func (s *Server) dress(fd uint32, answer []byte) []byte {
	c := s.cold[fd]
	return s.dressed(answerTo(c != nil && c.isHead, answer), s.asker(fd))
}

// Respond writes an answer that polls share to one of them, and returns how much of it
// went. Where it has to differ, a copy goes, and what is left of that is owed.
func (t *memberships) Respond(fd uint32, answer []byte) (int, syscall.Errno) {
	s := t.server
	c := s.cold[fd]
	if c == nil || len(c.origin) == 0 && !c.isHead {
		return t.Loop.Send(fd, answer)
	}
	s.dressing = appendForOrigin(s.dressing[:0], answerTo(c.isHead, answer), c.origin)
	n, errno := t.Loop.Send(fd, s.dressing)
	switch {
	case errno == 0:
	case poller.WouldBlock(errno):
		n = 0
	default:
		return 0, errno
	}
	if rest := s.dressing[n:]; len(rest) > 0 {
		c.owed = append(c.owed, rest...)
		s.owedBytes += len(rest)
		t.Loop.ArmWrite(fd, true)
	}
	return len(answer), unix.Errno(0)
}
