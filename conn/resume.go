package conn

import (
	"bytes"
	"math"
	"slices"

	"c10m/channel"
	"c10m/conn/backlog"
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

// A client that continues is a member at once, and held (channel/resume.go has the
// picture): until the history's answer is written it gets pongs and pings, and no messages.

// A resume is what a connection that continues has in its cold state.
type resume struct {
	waiting         bool // for the answer
	isAhead         bool // it continues nothing, and asks only for its position
	isFirst         bool // it begins with what is kept, and has no position
	isOver          bool // of a poll: its time is over
	isGone          bool // of a poll: messages were missed meanwhile
	backlog.Backlog      // still to be written

	// Of a two-way connection:
	member uint32 // the membership; 0 if it left before the answer
	again  uint32 // how often the client asked for it again meanwhile
	since  []byte // the position that was asked for
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

// ask asks the history what follows since. If r isAhead, the member keeps what it is owed,
// and gets it after the answer.
func (s *resumer) ask(fd uint32, since []byte, r *resume) {
	c := s.coldOf(fd)
	if c == nil {
		s.dismiss(fd, reasons.StateMemory)
		return
	}
	s.registry.Hold(fd)
	c.resumes = append(c.resumes, r)
	most := 0
	if !s.protocolOf(fd).isStream {
		most = channel.ResponseMessagesMax // the next poll asks for the rest
	}
	s.shared.Config.History.Ask(channel.Question{
		Door: s.Server, ID: s.identityOf(fd), Max: most,
		Name: bytes.Clone(s.registry.Name(fd)), Since: bytes.Clone(since),
	})
}

func (s *resumer) answered(a *channel.Answer) {
	fd, isHere := s.ConnectionOf(a.ID)
	if !isHere || s.loop.Record(fd).Phase != phaseOpen {
		s.stats.AnswersStale.Add(1)
		return
	}
	c := s.cold[fd]
	if !c.continues() {
		panic("BUG: an answer to a connection that did not ask")
	}
	s.protocolOf(fd).answered(s.Server, fd, c, a)
}

// resumed is protocol.answered of a stream of one channel.
func (s *resumer) resumed(fd uint32, c *cold, a *channel.Answer) {
	p, r := s.protocolOf(fd), c.resumes[0]
	if r.isAhead {
		if !s.registry.Behind(fd) && !s.registry.Untold(fd) { // else it is owed what has an id, or is told first
			s.sayID(fd, a.AppendPosition)
		}
	} else {
		s.registry.CatchUp(fd)
		s.registry.Told(fd)
		switch {
		case a.Gone:
			p.gone(s.Server, fd, a)
		case r.isFirst && p.started != nil:
			p.started(s.Server, fd, a)
		}
	}
	if s.loop.Closing(fd) || s.loop.Record(fd).Phase != phaseOpen {
		return
	}
	r.waiting, r.Backlog = false, backlog.New(a.Messages, s.registry.Format(fd))
	if !c.owes() { // else writable goes on with it
		s.writeBacklog(fd, c)
	}
}

// kept is how many messages of a channel the server keeps for those who come back.
func (s *resumer) kept() int { return s.shared.Config.History.Kept() }

// writeBacklog makes one write of what a member lacks, if that is known. When all of it is
// written the member goes on with its log; else EPOLLOUT goes on.
func (s *resumer) writeBacklog(fd uint32, c *cold) {
	r := c.resumes[0]
	if r.waiting {
		s.loop.ArmWrite(fd, false)
		return
	}
	if r.Len() > 0 {
		if s.write(fd, c, r); s.loop.Closing(fd) {
			return
		}
	}
	if r.Len() > 0 || c.owes() {
		s.loop.ArmWrite(fd, true)
		return
	}
	c.resumes = nil
	s.thaw(fd)
	s.registry.Release(fd)
}

// write makes one write of a backlog and reports whether the socket took less.
func (s *resumer) write(fd uint32, c *cold, r *resume) (isStuck bool) {
	pieces := r.Pieces(s.pieces[:])
	bytes := poller.BytesOf(pieces)
	n, status := s.loop.Sendv(fd, pieces)
	clear(pieces)
	if status.IsEnd() {
		s.end(fd, reasonOf(status))
		return true
	}
	messages, rest := r.Advance(n)
	s.stats.Resent.Add(uint64(messages))
	s.outbox.owe(fd, c, rest)
	if (r.Len() > 0 || c.owes()) && !r.IsPinned() && !s.loop.Closing(fd) {
		age := s.shared.Config.Channel.LogAge
		r.Pin(&s.outbox.pins, s.loop.Now()+int64(age))
		s.expireAfter(&s.backlogs, fd, age)
		s.outbox.boundPins(fd)
	}
	return n < bytes
}

// dropResume forgets what a connection was still to get of the history.
func (s *resumer) dropResume(c *cold) {
	for _, r := range c.resumes {
		r.Drop()
	}
	c.resumes = nil
}

// expireBacklogs ends those who have not taken their backlog within the age of a
// log and returns when to look again.
func (s *resumer) expireBacklogs() (next int64) {
	if s.shared.Config.Channel.LogAge == 0 {
		return math.MaxInt64
	}
	return s.expire(&s.backlogs, isOpen, func(fd uint32) {
		if c := s.cold[fd]; c != nil && slices.ContainsFunc(c.resumes, func(r *resume) bool { return r.IsLate(s.loop.Now()) }) {
			s.end(fd, reasons.SlowAge)
		}
	})
}
