package conn

import (
	"bytes"
	"slices"
	"strconv"

	"c10m/channel"
	"c10m/conn/backlog"
	"c10m/conn/wire"
)

// Each SUB is a question to the history, even without a position, since the client is told
// where the channel stands. Answers come in the order of the questions
// (channel.History.Ask), so each is for the oldest resume of its connection that waits; who
// leaves before leaves his resume there without a member.

// mayAsk reports whether a connection may have one more question under way.
func (s *twoWays) mayAsk(fd uint32) bool {
	if s.shared.Config.History == nil {
		return true
	}
	c := s.coldOf(fd)
	if c == nil {
		return false
	}
	return len(c.resumes) < membershipsMax
}

// confirm answers for a new membership of the connection at hand, at once or when
// the history has said where since (empty: none was given) stands. mayAsk was true.
func (s *twoWays) confirm(fd, n uint32, since []byte) {
	name := s.registry.Name(n)
	if s.shared.Config.History == nil {
		if len(since) > 0 {
			s.replyGap(name, nil)
		}
		s.replyPosition(wire.ReplySub, name, nil)
		return
	}
	s.registry.Hold(n)
	r := &resume{member: n, waiting: true, since: bytes.Clone(since)}
	c := s.coldOf(fd)
	c.resumes = append(c.resumes, r)
	s.shared.Config.History.Ask(channel.Question{
		Door: s.Server, ID: s.identityOf(fd), Name: bytes.Clone(name), Since: r.since,
	})
}

// confirmed takes the answer to the oldest question of a connection.
func (s *twoWays) confirmed(fd uint32, c *cold, a *channel.Answer) {
	i := slices.IndexFunc(c.resumes, func(r *resume) bool { return r.waiting })
	if i < 0 {
		panic("BUG: an answer to a membership that did not ask")
	}
	r := c.resumes[i]
	r.waiting = false
	if r.member == 0 { // it left meanwhile
		c.resumes = slices.Delete(c.resumes, i, i+1)
		s.thaw(fd)
		return
	}
	s.registry.CatchUp(r.member)
	s.registry.Told(r.member)
	var room [wire.IDBytesMax]byte
	name, position := s.registry.Name(r.member), a.AppendPosition(room[:0])
	s.current = fd
	switch {
	case a.Gone:
		s.replyGap(name, position)
	case len(r.since) == 0:
	case string(r.since) == channel.SinceFirst:
		position = a.AppendStart(room[:0])
	default:
		position = r.since
	}
	s.replySubs(r, name, position)
	r.Backlog = backlog.New(a.Messages, s.protocolOf(fd).format)
	if s.outbox.sayPongs(); !s.loop.Closing(fd) {
		s.serveBacklogs(fd)
	}
}

// resumeOf is where among c.resumes that of a membership is, -1 if it has none.
func (c *cold) resumeOf(n uint32) int {
	if c == nil {
		return -1
	}
	return slices.IndexFunc(c.resumes, func(r *resume) bool { return r.member == n })
}

// subAgain answers a SUB of a channel that the connection has. If the first is not
// answered yet, that one's answer comes first, and is this one's, too.
func (s *twoWays) subAgain(fd, n uint32) *wire.CommandError {
	c := s.cold[fd]
	if i := c.resumeOf(n); i < 0 || !c.resumes[i].waiting {
		s.replyPosition(wire.ReplySub, s.registry.Name(n), nil)
	} else if c.resumes[i].again == subsAgainMax {
		return wire.ErrOverload
	} else {
		c.resumes[i].again++
	}
	return nil
}

// replySubs answers all SUBs that wait for r. No message came between them, so all
// stand at one position.
func (s *twoWays) replySubs(r *resume, name, position []byte) {
	for range 1 + r.again {
		s.replyPosition(wire.ReplySub, name, position)
	}
}

func (s *twoWays) replyPosition(what string, name, position []byte) {
	s.outbox.reply(wire.AppendReply(s.replyScratch[:0], what, name, position))
}

// replyGap tells that the position of a SUB cannot be continued, from where it goes
// on, and how many messages of a channel the server keeps.
func (s *twoWays) replyGap(name, position []byte) {
	if len(position) == 0 {
		s.replyPosition(wire.ReplyGap, name, nil)
		return
	}
	var room [wire.IDBytesMax + 20]byte
	s.replyPosition(wire.ReplyGap, name, strconv.AppendInt(append(append(room[:0], position...), ' '), int64(s.resumer.kept()), 10))
}

// unconfirm forgets the question or the backlog of a membership that leaves.
func (s *twoWays) unconfirm(fd, n uint32) {
	c := s.cold[fd]
	i := c.resumeOf(n)
	if i < 0 {
		return
	}
	if r := c.resumes[i]; r.waiting {
		s.replySubs(r, s.registry.Name(n), nil)
		r.member = 0
	} else {
		r.Drop()
		c.resumes = slices.Delete(c.resumes, i, i+1)
	}
}

// serveBacklogs makes at most one write of what memberships lack, and has those go on
// with their logs that lack nothing. stuck: the socket took not all of it, or cannot
// be written to now. more: it is to be called again.
func (s *twoWays) serveBacklogs(fd uint32) (stuck, more bool) {
	c := s.cold[fd]
	if !c.continues() {
		return false, false
	}
	if c.owes() {
		return true, true // and no channel's frame is unfinished: who calls has seen to that
	}
	written := false
	for i := 0; i < len(c.resumes); i++ {
		r := c.resumes[i]
		switch {
		case r.waiting:
		case written && r.Len() > 0:
			more = true
		case r.Len() > 0:
			written = true
			if stuck = s.resumer.write(fd, c, r); s.loop.Closing(fd) {
				return true, false
			}
			more = more || r.Len() > 0
		}
		if !r.waiting && r.Len() == 0 && !c.owes() {
			c.resumes = slices.Delete(c.resumes, i, i+1)
			i--
			stuck = !s.members.Release(r.member) || stuck
			if s.loop.Closing(fd) {
				return true, false
			}
		}
		if stuck || c.owes() {
			more = len(c.resumes) > 0
			break
		}
	}
	if more || c.owes() {
		s.members.Wait(fd)
	}
	s.thaw(fd)
	return stuck, more
}
