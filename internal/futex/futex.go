// Package futex puts threads to sleep until a word in memory changes (futex(2)): for those
// who are woken by the thread of a loop, which takes no lock and sends on no channel.
package futex

import (
	"math"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Anybody are the bits of a call to whoever sleeps (FUTEX_BITSET_MATCH_ANY).
const Anybody = math.MaxUint32

// FUTEX_WAIT_BITSET and FUTEX_WAKE_BITSET with FUTEX_PRIVATE_FLAG (futex(2)), and
// CLOCK_MONOTONIC (clock_gettime(2)).
const (
	waitBitset     = 9 | 128
	wakeBitset     = 10 | 128
	clockMonotonic = 1
)

// Wait sleeps while the word is value and nobody calls one of bits, for at most so many
// nanoseconds if they are not 0. It may return early, for a signal. It tells the runtime
// that the thread blocks, so that nobody waits for it.
func Wait(word *atomic.Uint32, value uint32, nanos int64, bits uint32) {
	var until *syscall.Timespec // this call takes a time, not a duration
	if nanos > 0 {
		var now syscall.Timespec
		syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
		t := syscall.NsecToTimespec(now.Nano() + nanos)
		until = &t
	}
	syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), waitBitset, uintptr(value),
		uintptr(unsafe.Pointer(until)), 0, uintptr(bits))
}

// Wake wakes at most so many who sleep for one of bits, the one that slept longest first.
// It does not block.
func Wake(word *atomic.Uint32, most int, bits uint32) {
	syscall.RawSyscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), wakeBitset, uintptr(most), 0, 0, uintptr(bits))
}

// A Signal counts what threads of loops do, for one goroutine that sleeps while they do
// nothing. The zero value is ready. Any goroutine may call its methods.
type Signal struct {
	count   atomic.Uint64
	awaited atomic.Uint32
}

// Add counts n more, or less, and wakes who awaits that. It does not block.
func (s *Signal) Add(n uint64) (count uint64) {
	count = s.count.Add(n)
	if s.awaited.Load() != 0 {
		s.Interrupt()
	}
	return count
}

// Count is the sum of Add.
func (s *Signal) Count() uint64 { return s.count.Load() }

// Await sleeps until Count is no longer what it was, or Interrupt was called, or for so many
// nanoseconds if they are not 0. One goroutine at a time may call it, and keeps its thread.
func (s *Signal) Await(count uint64, nanos int64) {
	// Announce it first and look second; who counts does it the other way round.
	s.awaited.Store(1)
	if s.Count() != count {
		s.awaited.Store(0)
	}
	for s.awaited.Load() != 0 {
		if Wait(&s.awaited, 1, nanos, Anybody); nanos != 0 {
			s.awaited.Store(0)
		}
	}
}

// Interrupt ends an Await.
func (s *Signal) Interrupt() {
	if s.awaited.CompareAndSwap(1, 0) {
		Wake(&s.awaited, 1, Anybody)
	}
}
