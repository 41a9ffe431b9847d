package scenario

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"

	"golang.org/x/sys/unix"

	"c10m/bench/load"
)

// A timetable says when messages are due: message n, from 0, at begin + n/rate.
type timetable struct {
	begin int64   // CLOCK_MONOTONIC
	rate  float64 // messages a second
}

func (t timetable) due(n uint64) int64 { return t.begin + int64(float64(n)*1e9/t.rate) }

// A publisher publishes to one party by a timetable. One goroutine runs it.
type publisher struct {
	// Fixed after construction.
	name   string
	to     *party
	bus    *load.Bus
	rate   float64
	bytes  int
	target func() int // the number of whom a message is for

	// Test seams: load.Nanos and sleepUntil.
	now   func() int64
	sleep func(until int64)

	// Owned by run, to be read after it.
	published uint64
	late      uint64
	begun     int64 // when the first was due
}

// newPublisher connects to the bus.
func (r *run) newPublisher(name string, to *party, rate float64) (*publisher, error) {
	bus, err := load.DialBus(r.options.Bus, r.options.BusPassword)
	if err != nil {
		return nil, err
	}
	p := &publisher{name: name, to: to, bus: bus, rate: rate, bytes: r.options.Bytes,
		now: load.Nanos, sleep: sleepUntil, target: func() int { return 0 }}
	if to.OwnChannels() {
		p.target = func() int { return rand.IntN(to.Connections()) }
	}
	return p, nil
}

// run publishes until duration (nanoseconds) is over or ctx ends, which is no
// error.
func (p *publisher) run(ctx context.Context, duration int64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.begun = p.now()
	times := timetable{begin: p.begun, rate: p.rate}
	end := p.begun + duration
	for ctx.Err() == nil {
		now := p.now()
		first := p.published
		for p.published-first < publishBatchMax {
			due := times.due(p.published)
			if due > now || due >= end {
				break
			}
			// The ledger knows the number before the bus has it (load.ledger).
			p.to.Append(p.bus, p.to.Next(p.target()), due, p.bytes)
			p.published++
		}
		if p.published > first {
			p.countLate(times, first, now)
			if err := p.bus.Flush(); err != nil {
				return err
			}
		}
		next := times.due(p.published)
		if next >= end {
			return nil
		}
		if now = p.now(); next > now {
			p.sleep(min(next, now+publishSleepMax))
		}
	}
	return nil
}

// countLate looks at the messages from first on, which leave now. A bus that
// makes one of them wait makes those behind it late; the time after the write
// says little, since it wakes up the server, perhaps on this very core.
func (p *publisher) countLate(times timetable, first uint64, now int64) {
	for n := first; n < p.published && now-times.due(n) > lateNanos; n++ {
		p.late++
	}
}

// sleepUntil sleeps on the calling thread, to about 60 us exact.
func sleepUntil(nanos int64) {
	until := unix.NsecToTimespec(nanos)
	for errors.Is(unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil), unix.EINTR) {
	}
}
