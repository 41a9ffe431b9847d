package conn

import (
	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/internal/fifo"
	"c10m/poller"
)

// publishing is what clients say to channels, and who is not read from meanwhile.
type publishing struct {
	*Server // whose part it is

	paused  fifo.Queue[uint64]      // identities of those who are not read from, the oldest first
	room    bool                    // the oldest may be read from again
	prompt  channel.PromptPublisher // nil if the publisher is none
	awaited int                     // answers that Published has still to give
}

func (s *publishing) mayPublish(fd uint32) bool {
	return s.publisher != nil && s.loop.Record(fd).Marks&markPublish != 0
}

// publishOwn publishes what a client says to its own channel, or refuses it: this server
// only pushes.
func (s *publishing) publishOwn(fd uint32, payload []byte) reasons.Reason {
	if !s.mayPublish(fd) {
		return reasons.DataRefused
	}
	if !s.publisher.Publish(s.identityOf(fd), s.registry.Name(fd), payload) {
		return reasons.PublishFull
	}
	s.stats.Published.Add(1)
	return reasons.None
}

// publishNow publishes a message of a connection of which none is under way, and returns
// the answer, if that can be done at once.
func (s *publishing) publishNow(name, key, payload []byte) (o channel.Outcome, ok bool) {
	if s.prompt == nil {
		return o, false
	}
	return s.prompt.PublishNow(name, key, payload)
}

// isQuiet reports whether no client's message is under way, and no answer to one.
func (s *publishing) isQuiet() bool { return s.prompt != nil && s.awaited == 0 && s.prompt.IsQuiet() }

// isFull reports whether clients that do not wait for answers are not to be read from.
func (s *publishing) isFull() bool {
	return s.publisher.Full() || s.prompt != nil && s.prompt.IsBacklogged()
}

// publishAnswered has the answer come with Published.
func (s *publishing) publishAnswered(fd uint32, name, key, payload []byte) (taken bool) {
	if taken = s.publisher.PublishAnswered(s.identityOf(fd), name, key, payload); taken {
		s.awaited++
	}
	return taken
}

// PublishFailed implements Feedback: a client whose message is lost is told.
func (s *Server) PublishFailed(failed []channel.Outcome) {
	s.loop.Run(func(l *poller.Loop) {
		s.stats.PublishesFailed.Add(uint64(len(failed)))
		for i := range failed {
			if fd, isHere := s.ConnectionOf(failed[i].From); isHere && l.Record(fd).Phase == phaseOpen {
				s.protocolOf(fd).unpublished(s, fd, &failed[i])
			}
		}
	})
}

// Room implements Feedback.
func (s *Server) Room() {
	s.loop.Run(func(*poller.Loop) { s.publishing.room = true })
}

// holdBack reports whether fd is not to be read from now, and sees to it that
// the loop hears no more of it until there is room.
func (s *publishing) holdBack(fd uint32) bool {
	record := s.loop.Record(fd)
	if !s.mayPublish(fd) || record.Phase != phaseOpen {
		return false
	}
	if record.Marks&markPaused != 0 {
		s.brokeOff(fd)
		return true
	}
	if !s.isFull() {
		return false
	}
	record.Marks |= markPaused
	s.stats.PublishPauses.Add(1)
	s.stats.PublishPaused.Add(1)
	s.loop.ArmRead(fd, false)
	if live := int(s.stats.PublishPaused.Load()); s.paused.Len() > 2*live+pausedStaleMax {
		s.paused.Keep(s.isPaused)
	}
	s.paused.Push(s.identityOf(fd))
	return true
}

// doNotRead has fd not read from until readAgain, which each change of its phase calls.
// Who is heard of all the same broke off.
func (s *Server) doNotRead(fd uint32, c *cold) {
	if c.held {
		s.publishing.brokeOff(fd)
		return
	}
	c.held = true
	s.loop.ArmRead(fd, false)
}

func (s *Server) readAgain(fd uint32) {
	if s.loop.Record(fd).Marks&markCold == 0 {
		return
	}
	if c := s.cold[fd]; c.held {
		c.held = false
		s.loop.ArmRead(fd, true)
	}
}

// brokeOff looks at a connection that is not read from and was heard of all the
// same: a reset or a time-out. What it had sent before is lost with it; to take
// it would let clients pass the limit by breaking off.
func (s *publishing) brokeOff(fd uint32) {
	_, status := s.loop.Recv(fd, s.scratch[:])
	switch {
	case status == poller.OK:
		s.end(fd, reasons.ClientReset)
	case status.IsEnd():
		s.end(fd, reasonOf(status))
	}
}

// resumeSome reads again from those who waited longest, and reports whether more
// of them wait for nothing but their turn.
func (s *publishing) resumeSome() (more bool) {
	for n := 0; s.room && n < resumesPerTurnMax; n++ {
		if s.paused.Len() == 0 || s.isFull() {
			s.room = false
		} else if next := s.paused.Pop(); s.isPaused(next) {
			s.readOn(uint32(next))
		}
	}
	return s.room
}

func (s *publishing) readOn(fd uint32) {
	s.loop.Record(fd).Marks &^= markPaused
	s.stats.PublishPaused.Add(-1)
	s.loop.ArmRead(fd, true)
}

func (s *publishing) isPaused(identity uint64) bool {
	fd, isHere := s.ConnectionOf(identity)
	return isHere && s.loop.Record(fd).Marks&markPaused != 0
}
