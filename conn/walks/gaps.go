package walks

import (
	"math"
	"time"

	"c10m/channel"
	"c10m/conn/timers"
)

// A walk tells all who were there of an interruption (channel/interruption.go), evenly over a time, so that their clients do not all come back at
// once. To whom a message is due before the walk has come to him, the sweep does not
// give it: he is told out of turn, but at a pace, too (duePerSecondMax), and else
// has to wait for the walk. So a message to a million that are untold brings no
// stampede; what they would have got is part of what they are told to have missed.

// Gaps are what a loop tells of interruptions of the bus. They belong to the loop.
type Gaps struct {
	// Fixed after construction.
	Loop     Loop
	Registry Registry
	Told     Told

	walk   *gapWalk
	due    []uint64 // identities of those to be told of an interruption at the end of the turn
	budget float64  // how many may be, out of turn
}

// A Registry is of a loop's members (channel.Registry).
type Registry interface {
	BeginRound() channel.Round
	EndRound(channel.Round)
}

// Told are the connections of a loop.
type Told interface {
	// Members is how many may have to be told.
	Members() int
	// TellMissed tells one, if it is untold, and reports whether it was.
	TellMissed(fd uint32) (isTold bool)
	// ConnectionOf returns the connection that had an identity, if it is still there.
	ConnectionOf(identity uint64) (fd uint32, isHere bool)
}

// A gapWalk is a loop's walk over the connections that are to be told.
type gapWalk struct {
	round channel.Round
	timers.EvenWalk
	again  time.Duration // of the round after this one, if isLast is false
	isLast bool
}

// Begin begins to tell who is there. During a walk, that goes on as it is, and then round
// once more for those who came between: the last would else wait for ever on a Redis that
// comes and goes.
func (s *Gaps) Begin(over time.Duration) {
	s.budget = max(s.budget, dueMax)
	if s.walk != nil {
		s.walk.again, s.walk.isLast = over, false
		return
	}
	s.beginRound(over)
	s.Loop.TickNow()
}

func (s *Gaps) beginRound(over time.Duration) {
	now := s.Loop.Now()
	s.walk = &gapWalk{
		round: s.Registry.BeginRound(), isLast: true,
		EvenWalk: timers.BeginWalk(now, now+int64(over), s.Told.Members()),
	}
}

// Step tells those whose turn it is and returns when the next step is.
func (s *Gaps) Step() (next int64) {
	m, now := s.walk, s.Loop.Now()
	if m == nil {
		return math.MaxInt64
	}
	s.budget = min(s.budget+float64(m.Elapsed(now))*duePerSecondMax/float64(time.Second), dueMax)
	// Newcomers on the way use up visits, too, so the last are up to a second late for
	// each 50,000 of them.
	if due := m.Earn(now); due > 0 {
		m.Spend(due)
		m.Cursor = s.Loop.Walk(m.Cursor, due, s.tell)
	} else if m.Left > 0 {
		return now + int64(timers.EvenTick)
	}
	// Left is below 0 if newcomers were told, of an interruption during this round.
	if m.Cursor == 0 || m.Left <= 0 {
		s.Registry.EndRound(m.round)
		if s.walk = nil; m.isLast {
			return math.MaxInt64
		}
		s.beginRound(m.again)
	}
	return now + int64(timers.EvenTick)
}

func (s *Gaps) tell(fd uint32) {
	if s.Told.TellMissed(fd) && s.walk != nil {
		s.walk.Left--
	}
}

// Due has a connection told at the end of the turn, as a message is due to it; if isPaced,
// only if there were not too many in this time, since the walk comes to it in any case.
func (s *Gaps) Due(identity uint64, isPaced bool) {
	if isPaced {
		if s.budget < 1 {
			return
		}
		s.budget--
	}
	s.due = append(s.due, identity)
}

// TellDue tells those to whom a message was due in this turn.
func (s *Gaps) TellDue() {
	for _, identity := range s.due {
		if fd, isHere := s.Told.ConnectionOf(identity); isHere {
			s.tell(fd)
		}
	}
	s.due = s.due[:0]
}
