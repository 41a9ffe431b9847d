package epoll

import (
	"sync/atomic"
	"time"

	"c10m/internal/rate"
)

// An acceptRate bounds how many connections a second all loops accept together. A loop
// reserves several at once and waits for their time, so the loops are served in the order
// in which they asked and none starves, whichever of them the newcomers come to.
type acceptRate struct {
	// Fixed after construction.
	limit rate.Limit
	share int // accepts that a loop reserves at once
	// Shared: atomic.
	rest atomic.Int64 // when the rate is at rest again
}

// newAcceptRate returns nil, which is no limit, for 0.
func newAcceptRate(perSecond, lanes int) *acceptRate {
	if perSecond <= 0 {
		return nil
	}
	share := perSecond * int(acceptShareNanos/int64(time.Millisecond)) / 1000 / max(lanes, 1)
	return &acceptRate{
		limit: rate.Limit{Interval: int64(time.Second) / int64(perSecond), Slack: acceptBurstNanos},
		share: min(max(share, 1), acceptsPerTurnMax),
	}
}

// reserve returns from when on share further accepts may be made.
func (r *acceptRate) reserve(now int64) (from int64) {
	for {
		rest := r.rest.Load()
		from, after := r.limit.Reserve(rest, now, r.share)
		if r.rest.CompareAndSwap(rest, after) {
			return from
		}
	}
}

// giveBack returns accepts that were reserved and not made.
func (r *acceptRate) giveBack(accepts int) {
	if accepts > 0 {
		r.rest.Add(-int64(accepts) * r.limit.Interval)
	}
}

// afford reports whether the rate allows an accept now, and has the loop wait
// until it does if not. The newcomers wait in the kernel's queue.
func (a *acceptor) afford(e *Engine) bool {
	if e.rate == nil || a.credit > 0 || a.stop.last {
		return true
	}
	at := e.rate.reserve(e.loop.Now())
	a.credit = e.rate.share
	if at <= e.loop.Now() {
		return true
	}
	if !a.holds {
		a.refund(e) // a visitor does not wait
		return false
	}
	e.loop.Stats().AcceptRateWaits.Add(1)
	a.pauseTo(e, at)
	return false
}

// spent counts an accept that was made.
func (a *acceptor) spent(e *Engine) {
	if e.rate != nil && !a.stop.last {
		a.credit--
	}
}

// refund gives back what the loop has reserved and does not need, since nobody
// waits at its listeners.
func (a *acceptor) refund(e *Engine) {
	if e.rate != nil {
		e.rate.giveBack(a.credit)
		a.credit = 0
	}
}
