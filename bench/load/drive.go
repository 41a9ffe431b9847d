package load

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A Message is one that is to be published now.
type Message struct {
	Sequence uint64 // for the stamp
	// Connection is the number of the only one to get it, if each has a channel
	// of its own. The channel is ChannelOf(Connection).
	Connection int
}

// A Drive says how messages follow one another.
type Drive struct {
	// Messages is how many to send; 0 is as many as Duration allows.
	Messages int
	// Duration is after which no further message is sent; 0 is no limit.
	Duration time.Duration
	// InFlight is how many may be under way: the next is sent when one of them
	// has reached everybody. 0 is 1; at most InFlightMax.
	InFlight int
	// Send publishes one stamped message. It returns when the message is on
	// its way, not when it has arrived.
	Send func(Message) error
	// StallTimeout is how long nothing may arrive while messages are under way
	// (default 10 s). It is no limit for one message: to a million connections
	// that takes longer.
	StallTimeout time.Duration
}

// A Run is what Drive measured.
type Run struct {
	Messages   int           `json:"messages"`
	Deliveries int           `json:"deliveries"`
	Elapsed    time.Duration `json:"elapsed_ns"`
	Latency    Latency       `json:"latency"`
}

// PerSecond is deliveries per second.
func (r Run) PerSecond() float64 { return float64(r.Deliveries) / max(r.Elapsed.Seconds(), 1e-9) }

// A loopTrack counts on a loop who has got the messages under way.
type loopTrack struct {
	// Owned by the loop.
	counts [InFlightMax]int // by sequence, modulo
	need   int              // the loop's open connections; 0: every delivery is a message done

	// Shared: atomic.
	shared *track
}

// A track puts the loops' counts together.
type track struct {
	// Shared: atomic.
	loopsLeft [InFlightMax]atomic.Int32 // that are not done with a message

	done chan uint64 // sequences that reached everybody; it has room for all under way
}

// delivered counts one delivery that is not a repetition.
func (t *loopTrack) delivered(sequence uint64) {
	if t.need == 0 {
		t.shared.finish(sequence)
		return
	}
	place := sequence % InFlightMax
	t.counts[place]++
	if t.counts[place] < t.need {
		return
	}
	t.counts[place] = 0
	if t.shared.loopsLeft[place].Add(-1) == 0 {
		t.shared.finish(sequence)
	}
}

func (t *track) finish(sequence uint64) {
	select {
	case t.done <- sequence:
	default: // a message that somebody else published meanwhile
	}
}

// Drive publishes messages through Send and measures how fast they arrive. All
// connections have to be open and stay so; a message that has not reached
// everybody when nothing has arrived for StallTimeout is an error. Only one Drive may run at a time,
// and nobody else may publish stamped messages to the channel.
func (c *Client) Drive(ctx context.Context, d Drive) (Run, error) {
	if !c.driving.CompareAndSwap(false, true) {
		return Run{}, errors.New("another Drive is running")
	}
	defer c.driving.Store(false)
	if d.InFlight == 0 {
		d.InFlight = 1
	}
	if d.InFlight < 0 || d.InFlight > InFlightMax {
		return Run{}, fmt.Errorf("%d messages in flight; 1 to %d are possible", d.InFlight, InFlightMax)
	}
	if d.Messages == 0 && d.Duration == 0 {
		return Run{}, errors.New("neither a number of messages nor a duration is given")
	}
	if d.StallTimeout == 0 {
		d.StallTimeout = 10 * time.Second
	}
	s := &drive{Drive: d, client: c, track: &track{done: make(chan uint64, InFlightMax)}}
	s.begin()
	err := s.run(ctx)
	s.end()
	return s.result, err
}

// shared is the client that is due the same messages, or nil.
func (c *Client) shared() *Client {
	if c.OwnChannels() {
		return nil
	}
	return c.config.Beside
}

// eachBeside is each, over the loops of the client beside, too.
func (c *Client) eachBeside(ask func(*handler) func()) {
	c.each(ask)
	if beside := c.shared(); beside != nil {
		beside.each(ask)
	}
}

// drive is a Drive that runs.
type drive struct {
	Drive
	client *Client
	track  *track

	open     int // connections
	loops    int // that have some
	underWay int
	arrived  uint64 // stamped messages, when progressed was last asked
	result   Run
}

// begin puts a loopTrack into every loop.
func (s *drive) begin() {
	own := s.client.OwnChannels()
	s.client.eachBeside(func(h *handler) func() {
		h.latency = Latencies{}
		open := h.counters.Open
		h.track = &loopTrack{need: open, shared: s.track}
		if own {
			h.track.need = 0
		}
		return func() {
			s.open += open
			if open > 0 {
				s.loops++
			}
		}
	})
}

func (s *drive) end() {
	var latency Latencies
	s.client.eachBeside(func(h *handler) func() {
		h.track = nil
		mine := h.latency.clone()
		return func() { latency.Merge(&mine) }
	})
	s.result.Latency = latency.Summary()
}

func (s *drive) run(ctx context.Context) error {
	if s.open == 0 {
		return errors.New("no connection is open")
	}
	started := time.Now()
	stall := time.NewTimer(s.StallTimeout)
	defer stall.Stop()
	for sent := 0; ; {
		for s.underWay < s.InFlight && s.wanted(sent, started) {
			if err := s.send(); err != nil {
				return err
			}
			sent++
		}
		if s.underWay == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stall.C:
			if s.progressed() {
				stall.Reset(s.StallTimeout)
				continue
			}
			return fmt.Errorf("a message has not reached all %d connections, and nothing has arrived for %v (last sent: %d, not complete: %d; %s)",
				s.open, s.StallTimeout, s.client.sent, s.underWay, s.fault())
		case <-s.track.done:
			stall.Reset(s.StallTimeout)
			s.underWay--
			s.result.Messages++
			s.result.Deliveries += s.reach()
			s.result.Elapsed = time.Since(started)
		}
	}
}

// progressed reports whether anything arrived since it was last asked.
func (s *drive) progressed() bool {
	snapshot := s.client.Glance()
	before := s.arrived
	s.arrived = snapshot.Stamped
	if beside := s.client.shared(); beside != nil {
		also := beside.Glance()
		s.arrived += also.Stamped
	}
	return s.arrived != before
}

func (s *drive) fault() string {
	snapshot := s.client.Snapshot()
	if fault := snapshot.Fault(); fault != "" {
		return fault
	}
	return "no connection was lost"
}

func (s *drive) wanted(sent int, started time.Time) bool {
	if s.Messages > 0 && sent >= s.Messages {
		return false
	}
	return s.Duration == 0 || time.Since(started) < s.Duration
}

// reach is how many connections get a message.
func (s *drive) reach() int {
	if s.client.OwnChannels() {
		return 1
	}
	return s.open
}

func (s *drive) send() error {
	c := s.client
	connection := 0
	if c.OwnChannels() {
		connection = int(c.sent % uint64(c.config.Spread.Connections))
	}
	m := c.Next(connection)
	c.sent++
	s.track.loopsLeft[m.Sequence%InFlightMax].Store(int32(s.loops))
	s.underWay++
	return s.Send(m)
}
