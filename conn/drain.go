package conn

import (
	"math"
	"sync"
	"time"

	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/internal/fifo"
	"c10m/poller"
)

// draining is the loop's part of a drain.
type draining struct {
	*Server // whose part it is

	drain *drainState
}

// DrainNotice is the payload of the ping that a connection gets some seconds
// before a drain closes it. A client that looks for it (RFC 6455, 5.5.2: a ping
// may carry up to 125 bytes, and every client answers it) opens another
// connection then, and misses nothing if it keeps both until this one is closed.
const DrainNotice = "drain"

// Drain tells all connections that they will be closed and closes each with
// 1012 (service restart) a notice later, both at an even rate, so that their
// clients do not all come back at once. The notice is drainNotice, or half of
// the time over which all is done if that is less. It returns when all are
// gone, lingerTimeout after the last was closed at the latest. The listeners must
// be closed before. Any goroutine may call it, once.
func Drain(servers []*Server, over time.Duration) {
	d := &drainer{over: over}
	for _, s := range servers {
		d.loops.Add(1)
		s.loop.Run(func(*poller.Loop) { s.draining.startDrain(d) })
	}
	d.loops.Wait()
}

// A drainer is what the loops of one drain have in common.
type drainer struct {
	over  time.Duration
	loops sync.WaitGroup // that still have connections
}

// drainState is a loop's part of a drain. The telling walks over the loop's
// connections once, and the closing walks behind it: it has no pace of its own,
// but goes at any time as far as the telling had come a notice ago. So all have
// the same time to move, however many of those before them have left.
type drainState struct {
	*drainer
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

func (s *draining) startDrain(d *drainer) {
	now, notice := s.loop.Now(), int64(min(drainNotice, d.over/2))
	until := now + int64(d.over)
	s.drain = &drainState{
		drainer: d, notice: notice, until: until, telling: timers.BeginWalk(now, until-notice, s.loop.Connections()),
	}
	s.loop.TickNow()
}

// drainSome does what is due and returns when the next step is.
func (s *draining) drainSome() (next int64) {
	d, now := s.drain, s.loop.Now()
	next = now + int64(timers.EvenTick)
	switch {
	case s.loop.Connections() == 0:
		s.drain = nil
		d.loops.Done()
		return now + int64(time.Second)
	case d.ended != 0 && now > d.ended+int64(s.shared.lingerTimeout):
		d.cursor = s.loop.Walk(d.cursor, timers.EvenPerTickMax, func(fd uint32) { s.end(fd, reasons.Draining) })
		return now + int64(timers.TickMin)
	case now >= d.until:
		// Whoever the walks have passed over or not come to: requests that were
		// not complete, upgrades that came late.
		// A loop that is late tells all of them, too, before it waits no longer.
		d.cursor = s.loop.Walk(d.cursor, timers.EvenPerTickMax, s.drainLast)
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
func (s *draining) tell(d *drainState, now int64) {
	w := &d.telling
	if w.Cursor == math.MaxUint32 {
		return
	}
	due := w.Earn(now)
	if w.Spend(due); due > 0 {
		w.Cursor = s.loop.Walk(w.Cursor, due, func(fd uint32) { w.Left--; s.tellOne(fd) })
	}
	// Nobody comes any more, so all are told when so many are.
	if due > 0 && w.Cursor == 0 || w.Left <= 0 {
		w.Cursor = math.MaxUint32
	}
	d.steps.Push(tellingsStep{now, w.Cursor})
}

// tellOne tells an open connection.
func (s *draining) tellOne(fd uint32) {
	if record := s.loop.Record(fd); record.Phase == phaseOpen {
		protocolOf(record).notice(s.Server, fd)
	}
}

// giveNotice says a notice to a stream. A socket that is full may have so much in it that
// the close would come first: its client learns of the drain by that.
func (s *draining) giveNotice(fd uint32, notice []byte) {
	if s.isStuck(fd) {
		s.stats.NoticesSkipped.Add(1)
		return
	}
	s.stats.Notices.Add(1)
	s.outbox.say(fd, notice)
}

// closeTold closes those who have had the notice for long enough.
func (s *draining) closeTold(d *drainState, now int64) {
	for d.steps.Len() > 0 && d.steps.Front().at <= now-d.notice {
		d.due = d.steps.Pop().told
	}
	if d.closed == d.due {
		return
	}
	next := s.loop.Walk(d.closed, timers.EvenPerTickMax, func(fd uint32) {
		if fd < d.due {
			s.drainOne(fd)
		}
	})
	if next == 0 || next > d.due {
		next = d.due
	}
	d.closed = next
}

// drainOne ends a connection whose time has come. Requests that are not complete have
// until the end; the answers from here on are the last on their connections.
func (s *draining) drainOne(fd uint32) {
	switch s.loop.Record(fd).Phase {
	case phaseOpen:
		s.dismiss(fd, reasons.Draining)
	case phaseKept:
		if s.cold[fd] == nil {
			s.end(fd, reasons.Draining)
		}
	}
}

// drainLast ends a connection whatever it is at, unless its answer is to come, for
// which it has as long as those who linger.
func (s *draining) drainLast(fd uint32) {
	switch s.loop.Record(fd).Phase {
	case phaseRequest, phaseBody:
		s.refuse(fd, reasons.RequestDraining)
	case phaseKept:
		if s.cold[fd] != nil {
			s.refuse(fd, reasons.RequestDraining)
			return
		}
		s.end(fd, reasons.Draining)
	case phaseOpen:
		s.dismiss(fd, reasons.Draining)
	}
}
