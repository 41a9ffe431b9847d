package poller

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A turnstile lets only so many loops work at a time as there are processors. It is there when private descriptor tables
// make more loops than processors; otherwise it is nil, and nothing waits.
//
// Without it, all loops that have something to do share the processors by the
// kernel's slices of some milliseconds. A message to a client of one loop then
// waits for the slices of all the others, and the garbage collector, which can
// stop a thread only while it runs, waits as long (doc.go has the figures). A
// loop that waits here sleeps in a system call, where the collector needs
// nothing of it.
//
// It is a semaphore on which nobody spins and nobody holds a lock. A free seat
// goes to whoever comes first, and a loop keeps its seat from turn to turn until
// it has had it for its part of roundNanos and others wait. To hand each seat to
// the one that waits longest was tried: a seat then belongs to a thread that the
// kernel has yet to find a processor for, and stays empty for as long (doc.go).
type turnstile struct {
	// Fixed after construction.
	seats int32

	// Shared: atomic. A cache line each, since all loops write them.
	_       [64]byte
	free    atomic.Int32 // seats
	_       [60]byte
	waiting atomic.Int32 // loops that wait for one
	_       [60]byte
	left    atomic.Uint32 // how often a seat was given back: the futex
	_       [60]byte
}

func newTurnstile(seats int) *turnstile {
	t := &turnstile{seats: int32(seats)}
	t.free.Store(t.seats)
	return t
}

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

// enter waits for a seat.
func (t *turnstile) enter() {
	if t == nil || t.take() {
		return
	}
	t.waiting.Add(1)
	for {
		// Read the futex first and look for a seat second: who leaves does it
		// the other way round, so one of us sees the other.
		left := t.left.Load()
		if t.take() {
			break
		}
		futexWait(&t.left, left, 0)
	}
	t.waiting.Add(-1)
}

// leave gives the seat back.
func (t *turnstile) leave() {
	if t == nil {
		return
	}
	t.free.Add(1)
	t.left.Add(1)
	if t.waiting.Load() > 0 {
		futexWake(&t.left)
	}
}

// yield gives the seat to one of those who wait, if any do, and asks for
// another behind them. The nap ends by itself, for the case that whoever waited
// has found a seat meanwhile and nobody is left to leave one.
func (t *turnstile) yield() {
	if t.waiting.Load() == 0 {
		return
	}
	t.leave()
	t.waiting.Add(1)
	futexWait(&t.left, t.left.Load(), yieldNanosMax)
	t.waiting.Add(-1)
	t.enter()
}

// pressure is how many loops there are to a seat that work or want to, 1 at
// least.
func (t *turnstile) pressure() int {
	if t == nil {
		return 1
	}
	return int((t.seats + t.waiting.Load() + t.seats - 1) / t.seats)
}

// quantum is for how long a loop keeps its seat while others wait.
func (t *turnstile) quantum() int64 { return roundNanos / int64(t.pressure()) }

// FUTEX_PRIVATE_FLAG with FUTEX_WAIT and FUTEX_WAKE (futex(2)).
const (
	futexWaitPrivate = 0 | 128
	futexWakePrivate = 1 | 128
)

// futexWait sleeps while the word is value, for at most so many nanoseconds if
// they are not 0. It may return early, for a signal. It tells the runtime that
// the thread blocks, so that nobody waits for it.
func futexWait(word *atomic.Uint32, value uint32, nanos int64) {
	var timeout *unix.Timespec
	if nanos > 0 {
		t := unix.NsecToTimespec(nanos)
		timeout = &t
	}
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWaitPrivate, uintptr(value),
		uintptr(unsafe.Pointer(timeout)), 0, 0)
}

// futexWake wakes one who sleeps, the one that slept longest.
func futexWake(word *atomic.Uint32) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWakePrivate, 1, 0, 0, 0)
}
