package poller

import (
	"math"
	"sync/atomic"

	"c10m/internal/futex"
)

// A turnstile lets only so many loops work at a time as there are processors,
// for as long as some messages are urgent. It is there when private descriptor
// tables make more loops than processors; otherwise it is nil.
//
// Mostly it stands open, and the loops share the processors by the kernel's slices
// of some milliseconds: nothing delivers more. But a message to a channel of
// one then waits for the slices of all loops that sweep over many, or have a crowd
// of events. So whoever has such a message then closes the turnstile for a while (close):
// loops work by turns, in quanta so short that all have had theirs soon, and a
// loop that is posted to gets a pass: one turn without a seat, at once, in which
// it does what is urgent and leaves its sweep to a turn with a seat. docs/internals/poller.md
// has the figures.
//
// It is a semaphore on which nobody spins and nobody holds a lock. A free seat
// goes to whoever comes first: to hand it to the one that waits longest leaves
// it empty for as long as the kernel takes to find that one a processor.
type turnstile struct {
	// Fixed after construction.
	seats int32

	// Shared: atomic. A cache line each, since all loops write them.
	_       [64]byte
	free    atomic.Int32 // seats
	_       [60]byte
	waiting atomic.Int32 // loops that wait for one
	_       [60]byte
	calls   atomic.Uint32 // seats given back and passes given: the futex
	_       [60]byte
	until   atomic.Int64 // closed until then, nanoseconds of Kernel.Now
	crowdAt atomic.Int64 // when a loop last had many events, about
}

func newTurnstile(seats int) *turnstile {
	t := &turnstile{seats: int32(seats)}
	t.free.Store(t.seats)
	t.crowdAt.Store(-crowdedNanos) // the clock starts at 0
	return t
}

// close has loops take turns for a while from now on.
func (t *turnstile) close(now int64) {
	// Not at every message, since all loops read it.
	if until := now + closedNanos; until-t.until.Load() > closedNanos/4 {
		t.until.Store(until)
	}
}

// crowd notes that a loop had many events (crowdedEventsMin).
func (t *turnstile) crowd(now int64) {
	if now-t.crowdAt.Load() > crowdedNanos/4 { // not at every turn, as above
		t.crowdAt.Store(now)
	}
}

// crowded reports whether a loop had, of late.
func (t *turnstile) crowded(now int64) bool {
	return now-t.crowdAt.Load() < crowdedNanos
}

// open reports whether loops need no seat now.
func (t *turnstile) open(now int64) bool { return now >= t.until.Load() }

// take takes a free seat, if there is one.
func (t *turnstile) take() bool {
	for {
		free := t.free.Load()
		if free == 0 {
			return false
		}
		if t.free.CompareAndSwap(free, free-1) {
			return true
		}
	}
}

// enter waits for a seat or a pass, and reports whether it is a seat. id is the
// number of the loop. pass is true from when somebody gave the loop a pass.
func (t *turnstile) enter(id int, pass *atomic.Bool) (seated bool) {
	if t.take() {
		return true
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	for {
		// Read the futex first and look for a seat second: who leaves does it
		// the other way round, so one of us sees the other.
		calls := t.calls.Load()
		if t.take() {
			return true
		}
		if pass.Load() {
			return false
		}
		futex.Wait(&t.calls, calls, 0, 1<<(id%32))
	}
}

// leave gives a seat back.
func (t *turnstile) leave() {
	t.free.Add(1)
	t.calls.Add(1)
	if t.waiting.Load() > 0 {
		futex.Wake(&t.calls, 1, futex.Anybody)
	}
}

// yield gives the seat to one of those who wait, if any do, and asks for
// another behind them. The nap ends by itself, for the case that whoever waited
// has found a seat meanwhile and nobody is left to leave one.
func (t *turnstile) yield(id int, pass *atomic.Bool) (seated bool) {
	if t.waiting.Load() == 0 {
		return true
	}
	t.leave()
	t.waiting.Add(1)
	futex.Wait(&t.calls, t.calls.Load(), yieldNanosMax, 1<<(id%32))
	t.waiting.Add(-1)
	return t.enter(id, pass)
}

// wake calls a loop that may be waiting and whose pass was just set. Others
// that share its bit wake and sleep again.
func (t *turnstile) wake(id int) {
	t.calls.Add(1)
	futex.Wake(&t.calls, math.MaxInt32, 1<<(id%32))
}

// quantum is for how long a loop keeps its seat while others wait.
func (t *turnstile) quantum() int64 {
	loops := (t.waiting.Load() + t.seats) / t.seats
	return min(quantumNanosMax, roundNanos/int64(loops))
}
