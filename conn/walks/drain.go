package walks

import (
	"math"
	"sync"
	"time"

	"c10m/conn/timers"
	"c10m/internal/fifo"
)

// DrainNotice is the payload of the ping (RFC 6455, 5.5.2) that a connection gets some
// seconds before a drain closes it. A client that looks for it opens another connection
// then, and misses nothing if it keeps both until this one is closed.
const DrainNotice = "drain"

// A Loop is the loop whose connections are walked over (poller.Loop).
type Loop interface {
	Now() int64
	TickNow()
	Connections() int
	Walk(cursor uint32, limit int, visit func(fd uint32)) (next uint32)
}

// A Drain is what the loops of one drain have in common: how long it takes, and those that
// still have connections. Whoever makes one adds the loops on each of which it calls
// Draining.Begin.
type Drain struct {
	Over  time.Duration
	Loops sync.WaitGroup
}

// Drained are the connections of a loop.
type Drained interface {
	// Notice tells one that is open.
	Notice(fd uint32)
	// DrainOne ends one whose time has come. Requests that are not complete have until the
	// end: the answers from here on are to be the last on their connections.
	DrainOne(fd uint32)
	// DrainLast ends one whatever it is at, unless its answer is to come, for which it has
	// as long as those who linger. DrainNow waits no longer.
	DrainLast(fd uint32)
	DrainNow(fd uint32)
}

// Draining is a loop's part of a drain, if there is one. It belongs to the loop.
type Draining struct {
	// Fixed after construction.
	Loop        Loop
	Connections Drained
	Linger      time.Duration // that those who were told to go may take

	state *drainState
}

// IsOn reports whether a drain has begun and is not over.
func (s *Draining) IsOn() bool { return s.state != nil }

// drainState is a loop's part of a drain. The telling walks over the loop's connections
// once, and the closing behind it, at any time as far as the telling had come a notice ago.
// So all have the same time to move, however many of those before them have left.
type drainState struct {
	*Drain
	notice  int64 // between the ping and the close
	until   int64
	telling timers.EvenWalk          // its Cursor is above all descriptors when all are told
	steps   fifo.Queue[tellingsStep] // that the closing has not followed
	due     uint32                   // the closing may go on to here
	closed  uint32                   // and has come to here
	cursor  uint32                   // of the walk over who is left at the end
	ended   int64                    // when that walk had come to all; 0: not yet
}

// tellingsStep is how far the telling had come at a time: to all descriptors below told.
type tellingsStep struct {
	at   int64
	told uint32
}

// Begin begins it. The loop's listeners are closed.
func (s *Draining) Begin(d *Drain) {
	now, notice := s.Loop.Now(), int64(min(drainNotice, d.Over/2))
	until := now + int64(d.Over)
	s.state = &drainState{
		Drain: d, notice: notice, until: until, telling: timers.BeginWalk(now, until-notice, s.Loop.Connections()),
	}
	s.Loop.TickNow()
}

// Step does what is due and returns when the next step is.
func (s *Draining) Step() (next int64) {
	d, now := s.state, s.Loop.Now()
	next = now + int64(timers.EvenTick)
	switch {
	case s.Loop.Connections() == 0:
		s.state = nil
		d.Loops.Done()
		return now + int64(time.Second)
	case d.ended != 0 && now > d.ended+int64(s.Linger):
		d.cursor = s.Loop.Walk(d.cursor, timers.EvenPerTickMax, s.Connections.DrainNow)
		return now + int64(timers.TickMin)
	case now >= d.until:
		// Whoever the walks have passed over or not come to: requests that were
		// not complete, upgrades that came late.
		// A loop that is late tells all of them, too, before it waits no longer.
		d.cursor = s.Loop.Walk(d.cursor, timers.EvenPerTickMax, s.Connections.DrainLast)
		if d.cursor == 0 && d.ended == 0 {
			d.ended = now
		}
		return next
	}
	s.tell(d, now)
	s.closeTold(d, now)
	return next
}

// tell sends the notice to as many as are due: those who do not have it yet,
// over the time until the last must have it.
func (s *Draining) tell(d *drainState, now int64) {
	w := &d.telling
	if w.Cursor == math.MaxUint32 {
		return
	}
	due := w.Earn(now)
	if w.Spend(due); due > 0 {
		w.Cursor = s.Loop.Walk(w.Cursor, due, func(fd uint32) { w.Left--; s.Connections.Notice(fd) })
	}
	// Nobody comes any more, so all are told when so many are.
	if due > 0 && w.Cursor == 0 || w.Left <= 0 {
		w.Cursor = math.MaxUint32
	}
	d.steps.Push(tellingsStep{now, w.Cursor})
}

func (s *Draining) closeTold(d *drainState, now int64) {
	for d.steps.Len() > 0 && d.steps.Front().at <= now-d.notice {
		d.due = d.steps.Pop().told
	}
	if d.closed == d.due {
		return
	}
	next := s.Loop.Walk(d.closed, timers.EvenPerTickMax, func(fd uint32) {
		if fd < d.due {
			s.Connections.DrainOne(fd)
		}
	})
	if next == 0 || next > d.due {
		next = d.due
	}
	d.closed = next
}
