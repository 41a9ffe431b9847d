package conn

import (
	"math"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/poller"
)

// A resumer brings connections from their positions to their logs.
type resumer struct {
	*Server // whose part it is

	pieces   [poller.PiecesMax]poller.Piece
	backlogs timers.Deadlines
}

// How a client continues at its position (channel/resume.go has the picture). It
// is a member at once, and held; until the history's answer has come and is
// written, it gets no messages of its log, but pongs and pings as ever.

// A resume is what a connection that continues has in its cold state.
type resume struct {
	waiting bool               // for the answer
	isAhead bool               // it continues nothing, and asks only for its position
	isFirst bool               // it begins with what is kept, and has no position
	isOver  bool               // of a poll: its time is over
	isGone  bool               // of a poll: messages were missed meanwhile
	backlog []*channel.Message // still to be written
	pinned  bool               // they count in outbox.pinned
	due     int64              // when they have to be written, once they are pinned

	// Of a two-way connection, which has one for each SUB, the oldest first:
	member uint32 // the membership; 0 if it left before the answer
	again  uint32 // how often the client asked for it again meanwhile
	since  []byte // the position that was asked for
	next   *resume
}

// resumeAt holds a new member until the history has said what follows since,
// which is copied. Empty asks only where the channel stands: then it is a member
// from the answer on, and is to hear of its subscription only then.
func (s *resumer) resumeAt(fd uint32, since []byte) {
	if s.shared.Config.History == nil {
		s.protocolOf(fd).gone(s.Server, fd, nil)
		return
	}
	s.ask(fd, since, &resume{waiting: true, isFirst: string(since) == channel.SinceFirst})
}

// askPosition asks where the channel stands. The member keeps what it is owed, and
// gets it after the answer.
func (s *resumer) askPosition(fd uint32) { s.ask(fd, nil, &resume{waiting: true, isAhead: true}) }

func (s *resumer) ask(fd uint32, since []byte, r *resume) {
	c := s.coldOf(fd)
	if c == nil {
		s.dismiss(fd, reasons.StateMemory)
		return
	}
	s.registry.Hold(fd)
	c.resume = r
	most := 0
	if !s.protocolOf(fd).isStream {
		most = channel.ResponseMessagesMax // the next poll asks for the rest
	}
	s.shared.Config.History.Ask(channel.Question{
		Door: s.Server, ID: s.identityOf(fd), Max: most,
		Name: append([]byte(nil), s.registry.Name(fd)...), Since: append([]byte(nil), since...),
	})
}

// answered continues a connection that asked.
func (s *resumer) answered(a *channel.Answer) {
	fd, isHere := s.connectionOf(a.ID)
	if !isHere || s.loop.Record(fd).Phase != phaseOpen {
		s.stats.AnswersStale.Add(1)
		return
	}
	c := s.cold[fd]
	if c == nil || c.resume == nil {
		panic("BUG: an answer to a connection that did not ask")
	}
	s.protocolOf(fd).answered(s.Server, fd, c, a)
}

// resumed is protocol.answered of a stream of one channel.
func (s *resumer) resumed(fd uint32, c *cold, a *channel.Answer) {
	p := s.protocolOf(fd)
	switch {
	case c.resume.isAhead:
		s.sayPosition(fd, a)
	default:
		s.registry.CatchUp(fd)
		s.registry.Told(fd)
		switch {
		case a.Gone:
			p.gone(s.Server, fd, a)
		case c.resume.isFirst && p.started != nil:
			p.started(s.Server, fd, a)
		}
	}
	if s.loop.Closing(fd) || s.loop.Record(fd).Phase != phaseOpen {
		return
	}
	c.resume.waiting, c.resume.backlog = false, a.Messages
	if c.owes() {
		return // writable goes on with it
	}
	s.writeBacklog(fd, c)
}

// kept is how many messages of a channel the server keeps for those who come back.
func (s *resumer) kept() int { return s.shared.Config.History.Kept() }

// writeBacklog makes one write of what a member lacks, if that is known. When all of it is written
// the member goes on with its log; else EPOLLOUT goes on.
func (s *resumer) writeBacklog(fd uint32, c *cold) {
	r, format := c.resume, s.registry.Format(fd)
	if r.waiting {
		s.loop.ArmWrite(fd, false)
		return
	}
	if len(r.backlog) > 0 {
		n, status := s.loop.Sendv(fd, s.gatherBacklog(r.backlog, format))
		if status.IsEnd() {
			s.end(fd, reasonOf(status))
			return
		}
		s.stats.Resent.Add(uint64(s.advanceBacklog(fd, c, r, n, format)))
		if s.loop.Closing(fd) {
			return
		}
	}
	if len(r.backlog) == 0 && !c.owes() {
		c.resume = nil
		s.thaw(fd)
		s.registry.Release(fd)
		return
	}
	s.loop.ArmWrite(fd, true)
	if !r.pinned {
		s.pinBacklog(fd, r, format)
	}
}

func (s *resumer) gatherBacklog(backlog []*channel.Message, format channel.Format) []poller.Piece {
	frames, bytes := 0, 0
	for _, message := range backlog {
		frame := message.As(format)
		s.pieces[frames] = poller.Piece{Frame: frame, IsShared: true}
		frames++
		bytes += len(frame)
		if frames == len(s.pieces) || bytes >= backlogBytesPerWriteMax {
			break
		}
	}
	return s.pieces[:frames]
}

// advanceBacklog drops what n bytes of a write have brought and returns how many
// messages that were. The rest of one that is partly written becomes owed.
func (s *resumer) advanceBacklog(fd uint32, c *cold, r *resume, n int, format channel.Format) (messages int) {
	clear(s.pieces[:])
	for n > 0 {
		frame := r.backlog[0].As(format)
		if r.pinned {
			s.outbox.pinned.remove(frame)
		}
		r.backlog[0] = nil
		r.backlog = r.backlog[1:]
		messages++
		if n < len(frame) {
			s.outbox.owe(fd, c, frame[n:])
			break
		}
		n -= len(frame)
	}
	if r.pinned {
		s.stats.Pinned.Store(int64(s.outbox.pinned.bytes))
	}
	return messages
}

// pinBacklog counts what a client did not take at once, since nothing else
// bounds it: the history may drop it meanwhile.
func (s *resumer) pinBacklog(fd uint32, r *resume, format channel.Format) {
	r.pinned = true
	r.due = s.loop.Now() + int64(s.shared.Config.Channel.LogAge)
	for _, message := range r.backlog {
		s.outbox.pinned.add(message.As(format))
	}
	s.stats.Pinned.Store(int64(s.outbox.pinned.bytes))
	s.expireAfter(&s.backlogs, fd, s.shared.Config.Channel.LogAge)
	if s.outbox.pinned.bytes > s.shared.Config.Channel.LogBytesTotal {
		s.end(fd, reasons.SlowTotal)
	}
}

// dropResume forgets what a connection was still to get of the history.
func (s *resumer) dropResume(fd uint32, c *cold) {
	if c.resume == nil {
		return
	}
	format := s.protocolOf(fd).channels.format(s.Server, fd)
	for r := c.resume; r != nil; r = r.next {
		s.unpinBacklog(r, format)
	}
	c.resume = nil
}

func (s *resumer) unpinBacklog(r *resume, format channel.Format) {
	if !r.pinned {
		return
	}
	for _, message := range r.backlog {
		s.outbox.pinned.remove(message.As(format))
	}
	s.stats.Pinned.Store(int64(s.outbox.pinned.bytes))
}

// expireBacklogs ends those who have not taken their backlog within the age of a
// log and returns when to look again.
func (s *resumer) expireBacklogs() (next int64) {
	if s.shared.Config.Channel.LogAge == 0 {
		return math.MaxInt64
	}
	return s.expire(&s.backlogs, phaseOpen, func(fd uint32) {
		if c := s.cold[fd]; c != nil {
			for r := c.resume; r != nil; r = r.next {
				if r.pinned && s.loop.Now() >= r.due {
					s.end(fd, reasons.SlowAge)
					return
				}
			}
		}
	})
}
