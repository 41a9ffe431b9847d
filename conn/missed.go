package conn

import (
	"math"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/timers"
)

// gaps are what is told of interruptions of the bus.
type gaps struct {
	*Server // whose part it is

	missed    *missedState
	due       []uint64 // identities of those to be told of an interruption at the end of the turn
	dueBudget float64  // how many may be, out of turn
}

// How those are told of an interruption (channel/interruption.go) who were there: a
// WebSocket and a stream of events are closed with reasons.CodeMissedMessages, and a poll is
// answered with 410. Each is told before it gets anything that was published after
// the interruption, and once.
//
// A walk tells all, evenly over a time, so that their clients do not all come back at
// once. To whom a message is due before the walk has come to him, the sweep does not
// give it: he is told out of turn, but at a pace, too (missedDuePerSecondMax), and else
// has to wait for the walk. So a message to a million that are untold brings no
// stampede; what they would have got is part of what they are told to have missed.

// missedState is a loop's walk over the connections that are to be told.
type missedState struct {
	round  channel.Round
	walk   timers.EvenWalk
	again  time.Duration // of the round after this one, if isLast is false
	isLast bool
}

// interrupted begins to tell who is there. During a walk, it goes on as it is, and
// then round once more for those who came between: were it to begin anew, a Redis that
// comes and goes more often than a walk takes would have the last of them wait for
// ever. A drain takes precedence.
func (s *gaps) interrupted(over time.Duration) {
	s.dueBudget = max(s.dueBudget, missedDueMax)
	if s.missed != nil {
		s.missed.again, s.missed.isLast = over, false
		return
	}
	s.roundOfMissed(over)
	s.loop.TickNow()
}

func (s *gaps) roundOfMissed(over time.Duration) {
	now := s.loop.Now()
	s.missed = &missedState{
		round: s.registry.BeginRound(), isLast: true,
		walk: timers.BeginWalk(now, now+int64(over), int(s.stats.Open.Load()+s.stats.OpenPolls.Load())),
	}
}

// tellMissed tells those whose turn it is and returns when the next step is.
func (s *gaps) tellMissed() (next int64) {
	m, now := s.missed, s.loop.Now()
	s.dueBudget = min(s.dueBudget+float64(m.walk.Elapsed(now))*missedDuePerSecondMax/float64(time.Second), missedDueMax)
	// Newcomers on the way use up visits, too, so the last are up to a second late for
	// each 50,000 of them.
	if due := m.walk.Earn(now); due > 0 {
		m.walk.Spend(due)
		m.walk.Cursor = s.loop.Walk(m.walk.Cursor, due, s.missedOne)
	} else if m.walk.Left > 0 {
		return now + int64(timers.EvenTick)
	}
	// Left is below 0 if newcomers were told, of an interruption during this round.
	if m.walk.Cursor == 0 || m.walk.Left <= 0 {
		s.registry.EndRound(m.round)
		if s.missed = nil; m.isLast {
			return math.MaxInt64
		}
		s.roundOfMissed(m.again)
	}
	return now + int64(timers.EvenTick)
}

// missedOne tells one connection, if it is untold.
func (s *gaps) missedOne(fd uint32) {
	if s.loop.Record(fd).Phase != phaseOpen || !s.isUntold(fd) {
		return
	}
	s.dismiss(fd, reasons.MissedMessages)
	if s.missed != nil {
		s.missed.walk.Left--
	}
}

// isUntold reports whether a connection has a member that is untold.
func (s *Server) isUntold(fd uint32) bool { return s.protocolOf(fd).channels.isUntold(s, fd) }

// Interrupted implements channel.Owner: a message is due to a member that is untold. Who
// is no stream is told at once, since its client does not connect anew for it. The
// registry must not be called from here.
func (s *Server) Interrupted(member uint32, atOnce bool) {
	fd := s.members.owner(member)
	if s.protocolOf(fd).isStream && !atOnce {
		if s.gaps.dueBudget < 1 {
			return // the walk tells it
		}
		s.gaps.dueBudget--
	}
	s.gaps.due = append(s.gaps.due, s.identityOf(fd))
}

// tellDue tells those to whom a message was due in this turn.
func (s *gaps) tellDue() {
	for _, identity := range s.due {
		if fd, isHere := s.connectionOf(identity); isHere {
			s.missedOne(fd)
		}
	}
	s.due = s.due[:0]
}
