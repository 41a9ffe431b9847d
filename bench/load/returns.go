package load

import (
	"container/heap"
	"errors"
	"math"
	"time"

	"c10m/internal/fifo"
)

// A Storm closes connections at once and has each come back, unless they leave
// for good.
type Storm struct {
	// Drop is how many; 0 is all.
	Drop int
	// Jitter is the time over which they come back, each at a random moment
	// of it (full jitter); 0 is as fast as it goes.
	Jitter time.Duration
	// Reset ends them with a RST, which leaves no TIME_WAIT: a source port
	// that waits for 60 s may be one too few for the way back.
	Reset bool
	// ForGood is that nobody comes back.
	ForGood bool
}

// A Churn closes random connections at a steady rate and has each come back
// at once. Half of them say goodbye with 1000 and wait for the server's
// answer, the others just end, as all do that have no word for it.
type Churn struct {
	Rate  float64 // connections a second; 0 ends the churn
	Reset bool    // as in Storm, for those that say nothing
}

// ReturnCounters are what storms and churns did.
type ReturnCounters struct {
	Ended    int `json:"ended"`    // connections that the client closed for good
	Left     int `json:"left"`     // connections that the client closed, to come back
	Returned int `json:"returned"` // opened again
	NotBack  int `json:"not_back"` // given up on the way back
	Served   int `json:"served"`   // got a message after they came back
	// Times of CLOCK_MONOTONIC, of the last that came back and of the last
	// first message.
	ReturnedAtNanos int64 `json:"-"`
	ServedAtNanos   int64 `json:"-"`
}

func (r *ReturnCounters) add(o *ReturnCounters) {
	r.Ended += o.Ended
	r.Left += o.Left
	r.Returned += o.Returned
	r.NotBack += o.NotBack
	r.Served += o.Served
	r.ReturnedAtNanos = max(r.ReturnedAtNanos, o.ReturnedAtNanos)
	r.ServedAtNanos = max(r.ServedAtNanos, o.ServedAtNanos)
}

// returns is a loop's part in storms and churns.
type returns struct {
	// Owned by the loop.
	left   int    // connections that the storm is still to close
	cursor uint32 // of its walk
	storm  uint8  // its number modulo stormsToldApart, so that those that are back are left alone
	from   int64  // its begin, from which jitter counts
	jitter int64
	reset  bool
	away   bool // who leaves does not come back

	interval int64 // between two of a churn; 0: there is none
	churnAt  int64
	goodbye  bool // the next of a churn says so
	leavers  fifo.Queue[leaver]
}

// A leaver has said goodbye and waits for the server to end the stream.
type leaver struct {
	fd, generation uint32
	deadline       int64
}

// Storm begins a storm and returns; Snapshot tells how it goes on.
func (c *Client) Storm(s Storm) error {
	if s.Drop < 0 || s.Jitter < 0 {
		return errors.New("a storm drops a number of connections over a time, neither of them negative")
	}
	total := c.config.Spread.Connections
	if s.Drop == 0 || s.Drop > total {
		s.Drop = total
	}
	loops := len(c.handlers)
	c.each(func(h *handler) func() {
		r, id := &h.returns, h.loop.ID()
		r.left = s.Drop*(id+1)/loops - s.Drop*id/loops
		if s.Drop == total {
			r.left = math.MaxInt
		}
		r.storm = (r.storm + 1) % stormsToldApart
		r.cursor, r.from, r.jitter, r.reset, r.away = 0, h.loop.Now(), int64(s.Jitter), s.Reset, s.ForGood
		return func() {}
	})
	return nil
}

// Churn begins a churn, changes its rate or ends it.
func (c *Client) Churn(churn Churn) error {
	if churn.Rate < 0 {
		return errors.New("the rate of a churn must not be negative")
	}
	loops := len(c.handlers)
	c.each(func(h *handler) func() {
		r := &h.returns
		r.interval, r.reset, r.away, r.jitter = 0, churn.Reset, false, 0
		if churn.Rate > 0 {
			r.interval = int64(float64(time.Second) * float64(loops) / churn.Rate)
			// The loops take turns.
			r.churnAt = h.loop.Now() + r.interval*int64(h.loop.ID())/int64(loops)
		}
		h.loop.TickNow()
		return func() {}
	})
	return nil
}

// drop closes a slice of what a storm is to close.
func (h *handler) drop() (more bool) {
	r := &h.returns
	if r.left == 0 {
		return false
	}
	r.cursor = h.loop.Walk(r.cursor, min(dropsPerTurnMax, r.left), func(fd uint32) {
		c := h.connection(fd)
		if h.loop.Record(fd).Phase != phaseOpen || c.storm == r.storm {
			return
		}
		r.left--
		h.leave(fd, false)
	})
	if r.cursor == 0 {
		r.left = 0
	}
	return r.left > 0
}

// churn closes the connections whose time has come.
func (h *handler) churn() {
	r, now := &h.returns, h.loop.Now()
	if r.interval == 0 {
		return
	}
	r.churnAt = max(r.churnAt, now-churnBurstNanos)
	for range churnsPerTurnMax {
		if now < r.churnAt || h.counters.Open == 0 {
			return
		}
		r.churnAt += r.interval
		if fd, ok := h.anyone(); ok {
			r.goodbye = !r.goodbye
			h.leave(fd, r.goodbye)
		}
	}
}

// anyone picks an open connection at random.
func (h *handler) anyone() (fd uint32, ok bool) {
	for range 8 {
		h.loop.Walk(h.random.Uint32N(h.highest+1), 1, func(found uint32) {
			fd, ok = found, h.loop.Record(found).Phase == phaseOpen
		})
		if ok {
			return fd, true
		}
	}
	return 0, false
}

// leave closes an open connection, with a goodbye or without. It comes back, unless a
// storm took it away.
func (h *handler) leave(fd uint32, goodbye bool) {
	record := h.loop.Record(fd)
	h.left(fd, false)
	if h.returns.away {
		h.counters.Ended++
	} else {
		h.counters.Left++
		record.Marks |= markReturns
	}
	if goodbye && h.dialect.goodbye != nil && h.dialect.goodbye(h, fd) {
		h.returns.leavers.Push(leaver{fd, h.loop.Generation(fd), h.loop.Now() + h.dialer.timeout})
		return
	}
	if h.returns.reset {
		h.ends.resetOnClose(fd)
	}
	record.Phase = phaseClosing
	h.loop.Close(fd)
}

// overdue ends connections whose server did not end them after a goodbye.
func (h *handler) overdue(now int64) {
	for q := &h.returns.leavers; q.Len() > 0; q.Pop() {
		first := q.Front()
		gone := h.loop.Generation(first.fd) != first.generation
		if !gone && now < first.deadline {
			return
		}
		if !gone && !h.loop.Closing(first.fd) {
			h.counters.Broken[brokenNotEnded]++
			h.loop.Close(first.fd)
		}
	}
}

// What a server does wrong with a close frame of ours; it is to echo it (RFC
// 6455 section 5.5.1) and then to end the stream (section 7.1.1).
const (
	brokenNotEchoed = "close not answered"
	brokenNotEnded  = "not ended after a close"
)

// comeBack schedules the way back of a connection that is closed now.
func (h *handler) comeBack(number uint32) {
	r := &h.returns
	at := h.loop.Now()
	if r.jitter > 0 {
		at = max(at, r.from+h.random.Int64N(r.jitter))
	}
	heap.Push(&h.dialer.retries, retry{number: number, at: at, again: true})
	h.loop.TickNow()
}
