package channel

import (
	"math"
	"sync/atomic"
	"time"

	"c10m/internal/futex"
)

// A Pace bounds how many writes a second the sweeps of all loops make together,
// so that a message to millions does not outrun the device that has to carry
// it: what finds a full queue is dropped without a word, and TCP sends it again
// a fifth of a second later. Channels of few members are not paced.
//
// Like package rate it is the generic cell rate algorithm:
// one number, the time at which the next write is due. A loop reserves a slice
// at once and sleeps until its time, so loops are served in the order in which
// they asked.
type Pace struct {
	// Shared: atomic. The rate is read for each slice and written every few
	// milliseconds; next is written for each slice.
	interval atomic.Int64  // picoseconds between two writes; 0 is no limit
	most     atomic.Uint64 // writes up to which slices may begin; 0 is no limit
	_        [44]byte
	next     atomic.Int64 // nanoseconds of Socket.Now
	writes   futex.Signal // made, or about to be made by a slice that has begun
	bytes    atomic.Uint64
	waits    atomic.Uint64
}

// SetRate sets the writes a second; 0, and what is too much to be told from no
// limit, is no limit. Any goroutine may call it.
func (p *Pace) SetRate(perSecond float64) {
	interval := int64(0)
	if perSecond > 0 {
		interval = int64(min(1e12/perSecond, math.MaxInt64/1e6))
	}
	p.interval.Store(interval)
}

// SetMost sets up to which number of Writes slices may begin, so that a rate that
// nobody adapts for a while, since processors are scarce, does not go on and on; 0
// is no limit. Any goroutine may call it.
func (p *Pace) SetMost(writes uint64) { p.most.Store(writes) }

// take begins a slice of so many writes, if that many may be made.
func (p *Pace) take(writes int) bool {
	n := p.writes.Add(uint64(writes))
	if most := p.most.Load(); most == 0 || n <= most {
		return true
	}
	p.writes.Add(-uint64(writes))
	return false
}

// Await sleeps until Writes is no longer what it was, or Interrupt was called. One
// goroutine at a time may call it, and keeps its thread.
func (p *Pace) Await(writes uint64) { p.writes.Await(writes, 0) }

// Interrupt ends an Await. Any goroutine may call it.
func (p *Pace) Interrupt() { p.writes.Interrupt() }

// Writes is how many writes were paced, Bytes what they wrote, and Waits how
// often a loop slept for its time. Any goroutine may call them.
func (p *Pace) Writes() uint64 { return p.writes.Count() }
func (p *Pace) Bytes() uint64  { return p.bytes.Load() }
func (p *Pace) Waits() uint64  { return p.waits.Load() }

// reserve returns from when on so many writes may be made.
func (p *Pace) reserve(now int64, writes int) (at int64) {
	nanos := p.interval.Load() * int64(writes) / 1000
	if nanos == 0 {
		return now
	}
	for {
		next := p.next.Load()
		// What was not used is lost but for the last paceBurstNanos, and a rate
		// that was low is no reason to wait for long when it is not any more.
		at = min(max(next, now-paceBurstNanos), now+paceWaitNanosMax)
		if p.next.CompareAndSwap(next, at+nanos) {
			return at
		}
	}
}

// made counts writes, and gives back what was reserved and not needed.
func (p *Pace) made(reserved, writes int, bytes uint64) {
	p.bytes.Add(bytes)
	p.writes.Add(uint64(writes) - uint64(reserved))
	if unused := reserved - writes; unused > 0 {
		p.next.Add(-p.interval.Load() * int64(unused) / 1000)
	}
}

const (
	// paceBurstNanos is what a loop may be late, since it sleeps in milliseconds,
	// without losing its share.
	paceBurstNanos = int64(5 * time.Millisecond)
	// paceSpinNanos is what a loop is early without sleeping.
	paceSpinNanos = int64(200 * time.Microsecond)
	// paceRetryNanos is the least time until a loop asks again that came in time
	// and found no write left.
	paceRetryNanos = int64(2 * time.Millisecond)
	// paceWaitNanosMax is the longest wait for a slice: with hundreds of loops
	// in the queue, a rate that rises is noticed within it.
	paceWaitNanosMax = int64(time.Second)
)

// affords reports whether the rate allows a slice of a sweep now; the loop
// wakes up for it if not.
func (r *Registry) affords() bool {
	if r.config.Pace == nil {
		return true
	}
	p, now := r.config.Pace, r.socket.Clock()
	if r.reserved == 0 {
		r.reserved = r.sliceWrites
		r.reservedAt = p.reserve(now, r.reserved)
		if r.reservedAt > now+paceSpinNanos {
			p.waits.Add(1)
		}
	}
	if r.reservedAt <= now+paceSpinNanos {
		if p.take(r.reserved) {
			return true
		}
		// Behind all the others, and not at once: it is not the time that is short.
		p.waits.Add(1)
		r.reservedAt = max(p.reserve(now, r.reserved), now+paceSpinNanos+paceRetryNanos)
	}
	r.socket.WorkBy(r.reservedAt)
	return false
}

// spent tells the pace what a slice has used of what was reserved for it.
func (r *Registry) spent(writes, bytes uint64) {
	if r.config.Pace != nil {
		r.config.Pace.made(r.reserved, int(writes), bytes)
		r.reserved = 0
	}
}
