package conn

import (
	"c10m/access"
	"c10m/channel"
)

// A connection of many channels: joining, leaving, and going on when its socket
// has room. What it says is in commands.go.

// admitTwoWay makes fd, whose request was found good and chose c10m.v1, a connection
// of many channels, and a member of the first if it named one, and answers it.
func (s *Server) admitTwoWay(fd uint32, name []byte, grant access.Grant, response, since []byte) {
	record := s.loop.Record(fd)
	s.setPhase(fd, phaseOpen)
	record.Marks |= markTwoWay
	*twoWayOf(record) = twoWay{}
	s.stats.TwoWay.Add(1)
	if s.shared.Config.Tokens != nil {
		s.packed = grant.Patterns.Pack(s.packed[:0])
		if len(s.packed) > 0 {
			twoWayOf(record).grant = s.grants.keep(s.packed)
		}
		grant.Publish = s.publisher != nil && len(grant.Patterns.Publish) > 0
	}
	s.grant(fd, grant)
	if len(name) > 0 {
		s.join(fd, name)
	}
	if s.say(fd, response); !s.loop.Closing(fd) && len(name) > 0 {
		s.confirmFirst(fd, since)
	}
	if s.drain != nil && !s.loop.Closing(fd) {
		s.tellOne(fd) // the walk may have passed it
	}
}

// confirmFirst confirms the channel of the URL, as if it had been asked for with SUB;
// but without a position the history is not asked, since what is published after the
// client saw the answer to its request is to reach it.
func (s *Server) confirmFirst(fd uint32, since []byte) {
	n := twoWayOf(s.loop.Record(fd)).first
	s.current = fd
	switch {
	case len(since) == 0:
		s.replyPosition("OK SUB ", s.registry.Name(n), nil)
	case !s.mayAsk(fd):
		s.finishCode(fd, StateMemory)
		return
	default:
		s.confirm(fd, n, since)
	}
	s.sayPongs()
}

// formatOf is in which format fd gets its messages.
func (s *Server) formatOf(fd uint32) channel.Format {
	if s.isTwoWay(fd) {
		return channel.Named
	}
	return s.registry.Format(fd)
}

// isTwoWay reports whether fd has many channels.
func (s *Server) isTwoWay(fd uint32) bool { return s.loop.Record(fd).Marks&markTwoWay != 0 }

// find returns the membership of fd in a channel, 0 if there is none.
func (s *Server) find(fd uint32, name []byte) (n uint32) {
	for n = twoWayOf(s.loop.Record(fd)).first; n != 0; n = s.members.at(n).next {
		if string(s.registry.Name(n)) == string(name) {
			return n
		}
	}
	return 0
}

// join makes fd a member of one more channel. It is not one yet, the name is
// valid, and there is room.
func (s *Server) join(fd uint32, name []byte) (n uint32) {
	w := twoWayOf(s.loop.Record(fd))
	n = s.members.take()
	m := s.members.at(n)
	m.fd, m.next = fd, w.first
	if err := s.registry.SubscribeAs(n, name, channel.Named); err != nil {
		panic("BUG: a bad channel was let through")
	}
	w.first = n
	w.count++
	s.stats.Memberships.Add(1)
	s.joined(fd, n, name)
	return n
}

// leave ends one membership of fd. If its frame is partly in the socket, the rest
// is owed before anything else.
func (s *Server) leave(fd, n uint32) {
	w := twoWayOf(s.loop.Record(fd))
	if w.busy == n && s.registry.MidFrame(n) {
		c := s.coldOf(fd)
		if c == nil {
			s.end(fd, StateMemory)
			return
		}
		s.owe(fd, c, s.registry.Hold(n))
		s.loop.ArmWrite(fd, true)
	}
	for link := &w.first; ; link = &s.members.at(*link).next {
		if *link == n {
			*link = s.members.at(n).next
			break
		}
	}
	s.part(w, n)
}

// part takes a membership, which is in no list any more, out of its channel.
func (s *Server) part(w *twoWay, n uint32) {
	s.registry.Unsubscribe(n)
	s.members.give(n)
	w.count--
	if w.busy == n {
		w.busy = 0
	}
	if w.turn == n {
		w.turn = 0
	}
	s.stats.Memberships.Add(-1)
}

// leaveAll ends all memberships of a connection: nothing more is due to it but
// what it is owed.
func (s *Server) leaveAll(fd uint32) {
	if !s.isTwoWay(fd) {
		s.registry.Unsubscribe(fd)
		return
	}
	w := twoWayOf(s.loop.Record(fd))
	for w.first != 0 {
		n := w.first
		w.first = s.members.at(n).next
		s.part(w, n)
	}
	s.grants.drop(w.grant)
	w.grant = 0
}

// midFrame reports whether a channel's frame is partly in fd's socket.
func (s *Server) midFrame(fd uint32) bool {
	if !s.isTwoWay(fd) {
		return s.registry.MidFrame(fd)
	}
	w := twoWayOf(s.loop.Record(fd))
	return w.busy != 0 && s.registry.MidFrame(w.busy)
}

// holdFrame keeps fd from being given another frame and returns the rest of the one
// that is partly in its socket (channel.Registry.Hold). The memberships of a
// two-way connection are kept back by what it owes, in memberships.mayWrite.
func (s *Server) holdFrame(fd uint32) (rest []byte) {
	if !s.isTwoWay(fd) {
		return s.registry.Hold(fd)
	}
	if s.midFrame(fd) {
		return s.registry.Hold(twoWayOf(s.loop.Record(fd)).busy)
	}
	return nil
}

// blocked reports whether fd is behind because its socket was full.
func (s *Server) blocked(fd uint32) bool {
	if s.isTwoWay(fd) {
		return twoWayOf(s.loop.Record(fd)).marks&twoWayFull != 0
	}
	return s.registry.Blocked(fd)
}

// release goes on with fd's channels when all that it owed is said.
func (s *Server) release(fd uint32) {
	if !s.isTwoWay(fd) {
		s.registry.Release(fd)
		return
	}
	s.listen(fd)
	w := twoWayOf(s.loop.Record(fd))
	if n := w.busy; n != 0 {
		w.busy = 0
		s.registry.Release(n)
	}
	if !s.loop.Closing(fd) {
		s.serveMembers(fd)
	}
}

// serveMembers goes on with the channels of a connection whose socket has room:
// first with the one whose frame is unfinished, then with those that are on their way
// from a position to their log, then with the others in turn, for at most
// memberWritesPerEventMax writes. epoll tells again that there is room.
func (s *Server) serveMembers(fd uint32) {
	w := twoWayOf(s.loop.Record(fd))
	if s.midFrame(fd) && !s.serveMember(fd, w.busy) {
		return
	}
	stuck, behind := s.serveBacklogs(fd)
	if stuck {
		return
	}
	writes, n := 0, w.turn
	for range w.count {
		if n == 0 {
			n = w.first
		}
		next := s.members.at(n).next
		if s.registry.Blocked(n) {
			if writes == memberWritesPerEventMax {
				w.turn = n
				return
			}
			writes++
			if !s.serveMember(fd, n) {
				w.turn = next
				return
			}
			behind = behind || s.registry.Blocked(n)
		}
		n = next
	}
	w.turn = n
	if !behind {
		w.marks &^= twoWayFull
		s.loop.ArmWrite(fd, false)
	}
}

// serveMember makes one write to a member that is blocked, and reports whether the
// socket took all of it.
func (s *Server) serveMember(fd, n uint32) (more bool) {
	s.members.stuck = false
	s.registry.Writable(n)
	return !s.members.stuck && !s.loop.Closing(fd)
}

// isDeaf reports whether a two-way connection is not to be read from, since it
// does not read what it is answered, and sees to it that epoll tells no more of
// it until it does.
func (s *Server) isDeaf(fd uint32) bool {
	record := s.loop.Record(fd)
	if record.Marks&(markTwoWay|markCold|markPaused) != markTwoWay|markCold || record.Phase != phaseOpen {
		return false // who is paused is not to be deaf, too: holdBack's
	}
	w := twoWayOf(record)
	if w.marks&twoWayDeaf != 0 {
		s.brokeOff(fd)
		return true
	}
	if !s.cold[fd].owes() {
		return false
	}
	w.marks |= twoWayDeaf
	s.loop.ArmRead(fd, false)
	return true
}

// listen ends what isDeaf began.
func (s *Server) listen(fd uint32) {
	if w := twoWayOf(s.loop.Record(fd)); w.marks&twoWayDeaf != 0 {
		w.marks &^= twoWayDeaf
		s.loop.ArmRead(fd, true)
	}
}
