package conn

import (
	"time"

	"c10m/conn/operator"
	"c10m/conn/reasons"
	"c10m/conn/walks"
	"c10m/poller"
)

// NewOperator makes the operator of these loops.
func NewOperator(servers []*Server) *operator.Operator {
	loops := make([]*operator.Loop, len(servers))
	for i, s := range servers {
		loops[i] = s.operator
	}
	return operator.New(loops)
}

// Drain tells all connections that they will be closed and closes each with
// 1012 (service restart) a notice later, both at an even rate (walks.Drain). It returns
// when all are gone, lingerTimeout after the last was closed at the latest. The listeners
// must be closed before. Any goroutine may call it, once.
func Drain(servers []*Server, over time.Duration) {
	d := &walks.Drain{Over: over}
	d.Loops.Add(len(servers))
	for _, s := range servers {
		s.loop.Run(func(*poller.Loop) { s.draining.Begin(d) })
	}
	d.Loops.Wait()
}

// many has Server do to one connection what walks and the operator do to many.
type many struct{ *Server }

func (s many) Notice(fd uint32) {
	if record := s.loop.Record(fd); record.Phase == phaseOpen {
		protocolOf(record).notice(s.Server, fd)
	}
}

// giveNotice says a notice to a stream. A socket that is full may have so much in it that
// the close would come first: its client learns of the drain by that.
func (s *Server) giveNotice(fd uint32, notice []byte) {
	if s.isStuck(fd) {
		s.stats.NoticesSkipped.Add(1)
		return
	}
	s.stats.Notices.Add(1)
	s.outbox.say(fd, notice)
}

func (s many) DrainOne(fd uint32) {
	switch s.loop.Record(fd).Phase {
	case phaseOpen:
		s.dismiss(fd, reasons.Draining)
	case phaseKept:
		if s.cold[fd] == nil {
			s.end(fd, reasons.Draining)
		}
	}
}

func (s many) DrainLast(fd uint32) {
	switch phase := s.loop.Record(fd).Phase; {
	case phase == phaseRequest || phase == phaseBody || phase == phaseKept && s.cold[fd] != nil:
		s.refuse(fd, reasons.RequestDraining)
	default:
		s.DrainOne(fd)
	}
}

func (s many) DrainNow(fd uint32) { s.end(fd, reasons.Draining) }

func (s many) Members() int { return int(s.stats.Open.Load() + s.stats.OpenPolls.Load()) }

func (s many) TellMissed(fd uint32) (isTold bool) {
	isTold = s.loop.Record(fd).Phase == phaseOpen && s.protocolOf(fd).channels.isUntold(s.Server, fd)
	if isTold {
		s.dismiss(fd, reasons.MissedMessages)
	}
	return isTold
}

// Interrupted implements channel.Owner: a message is due to a member that is untold. Who
// is no stream is told at once, since its client does not connect anew for it. The
// registry must not be called from here.
func (s *Server) Interrupted(member uint32, atOnce bool) {
	fd := s.members.Owner(member)
	s.gaps.Due(s.identityOf(fd), s.protocolOf(fd).isStream && !atOnce)
}

func (s many) Owner(member uint32) (fd uint32) { return s.members.Owner(member) }

func (s many) MemberIn(fd, number uint32) (n uint32, isIn bool) {
	return s.protocolOf(fd).channels.memberIn(s.Server, fd, number)
}

func (s many) Disconnect(fd uint32) (there bool) {
	if there = s.loop.Record(fd).Phase == phaseOpen; there {
		s.dismiss(fd, reasons.Disconnected)
	}
	return there
}
