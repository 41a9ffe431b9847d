package conn

import (
	"math"
	"time"

	"c10m/poller"
)

// CodeMissedMessages is the close code that says: messages may have been
// published to your channel while you were connected, and did not reach you. It
// is of our own, as no code of IANA's registry says that: 1012 (service restart)
// and 1013 (try again later) are about the connection, and a client that comes
// back after them has no reason to doubt what it got before. What a client does
// after this one is the application's business, and the range from 4000 to 4999
// is the application's (RFC 6455, 7.4.2).
const CodeMissedMessages = 4001

// CloseMissed closes with CodeMissedMessages the connections that are open now,
// evenly over a time, so that their clients do not all come back at once. Who
// connects from now on stays. It returns at once; any goroutine may call it.
// Called again before it is done, it goes on as it is, and then round once more for
// those who came between: were it to begin anew, a Redis that comes and goes more
// often than over would have the last of them wait for ever. A drain takes
// precedence.
func CloseMissed(servers []*Server, over time.Duration) {
	for _, s := range servers {
		s.loop.Run(func(*poller.Loop) { s.startMissed(over) })
	}
}

// missedState is a loop's walk over the connections that are to be told.
type missedState struct {
	latest uint32 // generation: who came after it is left alone
	cursor uint32
	again  *missedAgain // nil: this round is the last
	last   int64        // time of the last step
	until  int64
	left   int64   // how many may still have to be told
	credit float64 // connections that are due
}

// missedAgain is the round after the one at hand.
type missedAgain struct {
	latest uint32
	over   time.Duration
}

func (s *Server) startMissed(over time.Duration) {
	if s.missed != nil {
		s.missed.again = &missedAgain{s.loop.Latest(), over}
		return
	}
	s.roundOfMissed(missedAgain{s.loop.Latest(), over})
	s.loop.TickNow()
}

func (s *Server) roundOfMissed(round missedAgain) {
	now := s.loop.Now()
	s.missed = &missedState{latest: round.latest, last: now, until: now + int64(round.over), left: s.stats.Open.Load() + s.stats.OpenPolls.Load()}
}

// closeMissed closes what is due and returns when the next step is.
func (s *Server) closeMissed() (next int64) {
	m, now := s.missed, s.loop.Now()
	// What is left, over the time that is left. Newcomers on the way use up
	// credit too, so the last are up to a second late for each 50,000 of them.
	rate := float64(m.left) / float64(max(m.until-now, int64(walkTickMin)))
	m.credit = min(m.credit+rate*float64(now-m.last), drainPerTickMax)
	m.last = now
	if due := int(m.credit); due > 0 {
		m.credit -= float64(due)
		m.cursor = s.loop.Walk(m.cursor, due, s.missedOne)
	} else if m.left > 0 {
		return now + int64(drainTick)
	}
	if m.cursor == 0 || m.left == 0 {
		if s.missed = nil; m.again == nil {
			return math.MaxInt64
		}
		s.roundOfMissed(*m.again)
	}
	return now + int64(drainTick)
}

func (s *Server) missedOne(fd uint32) {
	phase := s.loop.Record(fd).Phase
	if phase != phaseOpen && phase != phasePoll || s.loop.CameAfter(fd, s.missed.latest) {
		return
	}
	s.missed.left--
	if phase == phasePoll {
		s.missedPoll(fd)
		return
	}
	s.finishCode(fd, MissedMessages)
}
