package timers

import (
	"math"
	"time"
)

// A credit is how many visits are due. It grows with the time; a loop that was late does
// not catch up in one burst.
type credit struct {
	last int64 // time of the last earn
	due  float64
}

// earn adds what became due since the last time, at so many visits a nanosecond.
func (c *credit) earn(now int64, rate, most float64) {
	c.due = min(c.due+rate*float64(now-c.last), most)
	c.last = now
}

// An EvenWalk is a walk over a loop's connections that meets all it is for evenly over
// a time: at what is left of them, over what is left of it. BeginWalk makes one.
type EvenWalk struct {
	// Cursor is where it is (poller.Loop.Walk), Left how many it may still have to meet:
	// both are the caller's to move.
	Cursor uint32
	Left   int

	until int64
	credit
}

// BeginWalk begins one that is over at until.
func BeginWalk(now, until int64, left int) EvenWalk {
	return EvenWalk{Left: left, until: until, credit: credit{last: now}}
}

// Earn adds what became due since the last call, up to EvenPerTickMax in all, and returns
// it; Spend takes from that.
func (w *EvenWalk) Earn(now int64) (visits int) {
	w.earn(now, float64(w.Left)/float64(max(w.until-now, int64(TickMin))), EvenPerTickMax)
	return int(w.due)
}

// Spend takes visits from what is due.
func (w *EvenWalk) Spend(visits int) { w.due -= float64(visits) }

// Elapsed is the time since Earn was called last.
func (w *EvenWalk) Elapsed(now int64) int64 { return now - w.last }

// Hurry has as much due as a tick may do.
func (w *EvenWalk) Hurry() { w.due = EvenPerTickMax }

// Rounds walk over a loop's connections again and again, each round in one
// interval: a batch at each beat, in slices, so that letters and events come in
// between. Begin comes first.
type Rounds struct {
	next  int64 // time of the next beat
	batch int   // visits of the batch at hand that are due
	credit
}

// Begin begins the first.
func (r *Rounds) Begin(now int64) { r.last = now }

// A Loop is the loop that goes round, at a moment.
type Loop struct {
	ID          int
	Connections int
	// All is how many connections all loops have.
	All int64
}

// Slice returns how many connections to visit now, and when it wants to be called
// again: at once if more is due.
func (r *Rounds) Slice(now int64, interval time.Duration, loop Loop) (visits int, next int64) {
	rate := float64(loop.Connections) / float64(interval) // connections per nanosecond
	if r.batch == 0 && now >= r.next {
		// A loop that was late goes round a little slower. Nobody is visited twice in
		// one batch.
		r.earn(now, rate, min(batchMax, float64(loop.Connections)))
		r.batch = int(r.due)
		r.due -= float64(r.batch)
		r.next = OnBeat(now, beatOf(rate, float64(loop.All)/float64(interval), interval), loop.ID)
	}
	visits = min(r.batch, slicePerTickMax)
	r.batch -= visits
	switch {
	case r.batch > 0:
		return visits, now
	case rate == 0:
		return visits, math.MaxInt64
	}
	return visits, r.next
}

// beatOf is the time between two batches: the longest of beatMax and the half, a quarter
// and so on of it that is a small part of the interval, so that pings stay even, and with
// which a batch at this rate (connections per nanosecond) is at most half of the largest, so
// that credit is seldom lost to its cap. The loops of a group beat together, so the rate of
// all of them counts, too.
func beatOf(rate, allRate float64, interval time.Duration) (nanos int64) {
	nanos = int64(beatMax)
	for nanos > int64(time.Second) && nanos > int64(interval)/beatsPerIntervalMin {
		nanos /= 2
	}
	for (rate*float64(nanos) > batchMax/2 || allRate*float64(nanos) > beatGroups*burstMax) && nanos > int64(TickMin) {
		nanos /= 2
	}
	return nanos
}

// OnBeat is the next time after now at which a loop beats: together with a quarter of the
// loops, as those that wake in one moment cost least, and not with all, so that the
// processors are busy for a short while only (docs/internals/conn.md).
func OnBeat(now, beat int64, loop int) int64 {
	phase := beat / beatGroups * int64(loop%beatGroups)
	return ((now-phase)/beat+1)*beat + phase
}
