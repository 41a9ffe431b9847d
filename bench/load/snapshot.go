package load

import (
	"context"
	"fmt"
	"time"

	"c10m/poller"
)

// A Snapshot is what all loops have seen up to now.
type Snapshot struct {
	Counters
	Wanted  int       `json:"wanted"`
	Loops   int       `json:"loops"`
	Latency Latency   `json:"latency"` // of the main group
	Printed []Printed `json:"messages,omitempty"`

	// LatencySum is over all stamped messages of both groups, LatencyMax over
	// those since Moment was last called.
	LatencySum time.Duration `json:"-"`
	LatencyMax time.Duration `json:"-"`

	// Only from Client.Snapshot.
	Latencies  [Groups]Latencies `json:"-"`
	Connects   Latencies         `json:"-"` // from the first connect(2) to the 101
	Reconnects Latencies         `json:"-"` // the same of those that came back
	ReadDelay  Latencies         `json:"-"` // from a loop's wake-up to a read
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

// Moment is a Snapshot without histograms. It begins a new LatencyMax, so one
// goroutine is to call it.
func (c *Client) Moment() Snapshot { return c.snapshot(false, true) }

func (c *Client) snapshot(histograms, moment bool) Snapshot {
	total := Snapshot{Counters: newCounters(), Wanted: c.config.Spread.Connections, Loops: c.Loops()}
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
			total.merge(&mine)
			for key, p := range seen {
				p.Connections += printed[key].Connections
				printed[key] = p
			}
		}
	})
	total.Latency = total.Latencies[Main].Summary()
	for _, p := range printed {
		total.Printed = append(total.Printed, p)
	}
	return total
}

// report copies what a loop has counted, on its thread.
func (h *handler) report(histograms bool) (s Snapshot) {
	h.counters.UnderWay = len(h.dialer.slots) - len(h.dialer.free)
	h.counters.Waiting = len(h.dialer.retries)
	h.counters.Lost, h.counters.Duplicated, h.counters.OutOfOrder, h.counters.Forgotten = 0, 0, 0, 0
	h.counters.Stamped = 0
	for i := range h.groups {
		g := &h.groups[i]
		g.counters.Lost, g.counters.Duplicated = g.sequence.Lost, g.sequence.Duplicated
		g.counters.OutOfOrder = g.sequence.OutOfOrder
		h.counters.Groups[i] = g.counters
		h.counters.Stamped += g.counters.Stamped
		h.counters.Lost += g.sequence.Lost
		h.counters.Duplicated += g.sequence.Duplicated
		h.counters.OutOfOrder += g.sequence.OutOfOrder
		h.counters.Forgotten += g.sequence.Forgotten
		if histograms {
			s.Latencies[i] = g.latency.clone()
		}
	}
	s.Counters = h.counters.clone()
	s.LatencySum, s.LatencyMax = time.Duration(h.arrivals.nanos), time.Duration(h.arrivals.longest)
	if histograms {
		s.Connects, s.Reconnects, s.ReadDelay = h.connects.clone(), h.reconnects.clone(), h.delays.clone()
		_, s.Turns, _ = h.loop.Stats().Turns.Read()
	}
	return s
}

func (s *Snapshot) merge(o *Snapshot) {
	s.add(&o.Counters)
	s.LatencySum += o.LatencySum
	s.LatencyMax = max(s.LatencyMax, o.LatencyMax)
	for g := range s.Latencies {
		s.Latencies[g].Merge(&o.Latencies[g])
	}
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
		s := c.snapshot(false, false)
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
