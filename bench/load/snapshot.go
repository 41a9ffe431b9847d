package load

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"c10m/poller"
)

// A Snapshot is what all loops have seen up to now.
type Snapshot struct {
	Counters
	Wanted  int       `json:"wanted"`
	Loops   int       `json:"loops"`
	Printed []Printed `json:"messages,omitempty"`

	// LatencySum is over all stamped messages, LatencyMax over
	// those since Moment was last called.
	LatencySum time.Duration `json:"-"`
	LatencyMax time.Duration `json:"-"`

	// Only from Client.Snapshot.
	Latencies  Latencies `json:"-"` // from the stamp to the read
	Connects   Latencies `json:"-"` // from the first connect(2) to the 101
	Reconnects Latencies `json:"-"` // the same of those that came back
	ReadDelay  Latencies `json:"-"` // from a loop's wake-up to a read
	// Turns counts the loops' turns by how long they took: bucket i is up to
	// 2^i microseconds.
	Turns []uint64 `json:"-"`
}

// Printed is one distinct unstamped message.
type Printed struct {
	Head        string `json:"head"` // its first 128 bytes
	Bytes       uint64 `json:"bytes"`
	Binary      bool   `json:"binary"`
	Connections uint64 `json:"connections"` // deliveries of it

	firstAtNanos int64 // when the first was read
	place        int   // among those of its loop
}

// sortPrinted sorts messages as they came: those that were read at once as they stood.
func sortPrinted(messages []Printed) {
	slices.SortFunc(messages, func(a, b Printed) int {
		return cmp.Or(cmp.Compare(a.firstAtNanos, b.firstAtNanos), cmp.Compare(a.place, b.place))
	})
}

// Decided reports whether no connection is still to be made.
func (s *Snapshot) Decided() bool {
	return s.Opened-s.Returned+s.GaveUp-s.NotBack >= s.Wanted
}

// AllBack reports whether nobody is still to come back.
func (s *Snapshot) AllBack() bool { return s.Returned+s.NotBack >= s.Left }

// Snapshot asks every loop and adds up their answers, histograms included: 25
// KB of each kind from each loop.
func (c *Client) Snapshot() Snapshot { return c.snapshot(true, false) }

// Glance is a Snapshot without histograms.
func (c *Client) Glance() Snapshot { return c.snapshot(false, false) }

// Moment is a Glance. It begins a new LatencyMax, so one
// goroutine is to call it.
func (c *Client) Moment() Snapshot { return c.snapshot(false, true) }

func (c *Client) snapshot(histograms, moment bool) Snapshot {
	total := Snapshot{Wanted: c.config.Spread.Connections, Loops: c.Loops()}
	printed := map[messageKey]Printed{}
	c.each(func(h *handler) func() {
		mine := h.report(histograms)
		seen := make(map[messageKey]Printed, len(h.printed))
		for key, p := range h.printed {
			seen[key] = *p
		}
		if moment {
			h.arrivals.longest = 0
		}
		return func() {
			total.Merge(&mine)
			for key, p := range seen {
				if other, ok := printed[key]; ok {
					p.Connections += other.Connections
					if other.firstAtNanos <= p.firstAtNanos {
						p.firstAtNanos, p.place = other.firstAtNanos, other.place
					}
				}
				printed[key] = p
			}
		}
	})
	for _, p := range printed {
		total.Printed = append(total.Printed, p)
	}
	sortPrinted(total.Printed)
	return total
}

// report copies what a loop has counted, on its thread.
func (h *handler) report(histograms bool) (s Snapshot) {
	h.counters.UnderWay = len(h.dialer.slots) - len(h.dialer.free)
	h.counters.Waiting = len(h.dialer.retries)
	h.counters.Lost, h.counters.Duplicated = h.sequence.Lost, h.sequence.Duplicated
	h.counters.OutOfOrder, h.counters.Forgotten = h.sequence.OutOfOrder, h.sequence.Forgotten
	s.Counters = h.counters.clone()
	s.LatencySum, s.LatencyMax = time.Duration(h.arrivals.nanos), time.Duration(h.arrivals.longest)
	if histograms {
		s.Latencies = h.latency.clone()
		s.Connects, s.Reconnects, s.ReadDelay = h.connects.clone(), h.reconnects.clone(), h.delays.clone()
		_, s.Turns, _ = h.ends.turns().Read()
	}
	return s
}

// Merge adds what another client has seen, to nothing at first. A message that both
// printed is there twice. It keeps nothing of o.
func (s *Snapshot) Merge(o *Snapshot) {
	if s.Failures == nil {
		s.Counters = newCounters()
	}
	s.add(&o.Counters)
	s.Wanted += o.Wanted
	s.Loops += o.Loops
	s.Printed = append(s.Printed, o.Printed...)
	sortPrinted(s.Printed)
	s.LatencySum += o.LatencySum
	s.LatencyMax = max(s.LatencyMax, o.LatencyMax)
	s.Latencies.Merge(&o.Latencies)
	s.Connects.Merge(&o.Connects)
	s.Reconnects.Merge(&o.Reconnects)
	s.ReadDelay.Merge(&o.ReadDelay)
	if s.Turns == nil {
		s.Turns = make([]uint64, len(o.Turns))
	}
	for i, n := range o.Turns {
		s.Turns[i] += n
	}
}

// each runs ask on every loop's thread, then the functions that it returned,
// one after the other, on the caller's.
func (c *Client) each(ask func(*handler) func()) {
	answers := make(chan func(), len(c.handlers))
	for _, h := range c.handlers {
		h.loop.Run(func(*poller.Loop) { answers <- ask(h) })
	}
	late := time.After(snapshotSecondsMax * time.Second)
	for range c.handlers {
		select {
		case answer := <-answers:
			answer()
		case <-late:
			panic("BUG: a loop of the client does not answer")
		}
	}
}

// Await looks at snapshots without histograms until one is as wanted or ctx
// ends.
func (c *Client) Await(ctx context.Context, wanted func(*Snapshot) bool) (Snapshot, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		s := c.Glance()
		if wanted(&s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// AwaitConnected waits until all connections are open; it fails when some
// cannot be made.
func (c *Client) AwaitConnected(ctx context.Context) (Snapshot, error) {
	s, err := c.Await(ctx, (*Snapshot).Decided)
	if err == nil && s.Open < s.Wanted {
		err = fmt.Errorf("%d of %d connections are open: %s", s.Open, s.Wanted, describe(&s.Counters))
	}
	return s, err
}

func describe(c *Counters) string {
	text := fmt.Sprint("failures ", c.Failures)
	if c.Problem != "" {
		text += ": " + c.Problem
	}
	if fault := c.Fault(); fault != "" {
		text += "; " + fault
	}
	return text
}
