package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"c10m/poller"
)

// Config says what to open. The zero value of a field is its default.
type Config struct {
	Spread Spread
	// Channel is the path of the URL; %d in it is the connection's number.
	Channel string
	// Raw leaves out the handshake: frames come as soon as a connection is
	// made. For floors to measure against.
	Raw bool
	// Rate is how many connects a second there may be; 0 is no limit.
	Rate int
	// UnderWay is how many handshakes of a loop may be under way; 0 chooses.
	UnderWay int
	// HandshakeTimeout is for connect and upgrade together (default 10 s).
	HandshakeTimeout time.Duration
	// Retries is how often a connection that failed is tried again.
	Retries int
	// FirstSequence is the number that the first stamped message of every
	// connection has to have; 0 takes the first to come as it is.
	FirstSequence uint64
	// Expect is how many messages each connection should get; 0 is any.
	Expect int
	// Print collects unstamped messages for Snapshot.
	Print bool
	// Loops is their number; 0 is a loop per core, or more if the
	// descriptors of one table do not suffice.
	Loops int
	// PrivateFDTables forces a descriptor table per loop; without it that is
	// so only when one table does not suffice. What the process has open when
	// Start is called stays open until Stop then.
	PrivateFDTables bool
	// Reset closes connections with a reset instead of a FIN, so that neither
	// end is left in TIME_WAIT: for those who open as many again at once.
	Reset bool
}

// HandshakeTimeoutDefault is long enough for a SYN and two repetitions of it.
const HandshakeTimeoutDefault = 10 * time.Second

// A Client is a set of loops that hold connections. Any goroutine may call its
// methods.
type Client struct {
	// Fixed after construction.
	config        Config
	poller        *poller.Poller
	handlers      []*handler
	privateTables bool

	// Owned by the caller of Drive, one at a time.
	sequence uint64 // of the last message that Drive sent

	// Shared: atomic.
	driving atomic.Bool
}

// loopsRunning is over all clients of the process, for GOMAXPROCS.
var loopsRunning atomic.Int64

// Start begins to open connections and returns at once.
func Start(config Config) (*Client, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	limit, err := RaiseDescriptorLimit()
	if err != nil {
		return nil, err
	}
	connections := config.Spread.Connections
	loops, private, err := planLoops(connections, limit, config.Loops, runtime.NumCPU(), config.PrivateFDTables)
	if err != nil {
		return nil, err
	}
	if config.UnderWay == 0 {
		config.UnderWay = min(underWayPerLoopMax, max(underWayPerLoopMin, underWayMax/loops))
	}
	config.Loops = loops
	c := &Client{config: config, privateTables: private}
	raiseProcs(int(loopsRunning.Add(int64(loops))))
	c.poller, err = poller.Start(poller.Config{
		Loops:           loops,
		PrivateFDTables: private,
		DescriptorsMax:  limit,
		NewHandler: func(l *poller.Loop) poller.Handler {
			h := newHandler(l, &c.config, c.share(l.ID()))
			c.handlers = append(c.handlers, h)
			return h
		},
	})
	if err != nil {
		loopsRunning.Add(int64(-loops))
		return nil, err
	}
	return c, nil
}

func (config *Config) check() error {
	if config.HandshakeTimeout == 0 {
		config.HandshakeTimeout = HandshakeTimeoutDefault
	}
	if config.Channel == "" && !config.Raw {
		return errors.New("no channel is given")
	}
	if config.Rate < 0 || config.UnderWay < 0 || config.UnderWay > 1<<15 || config.Retries < 0 || config.Retries > 10 || config.Expect < 0 || config.Loops < 0 {
		return errors.New("rate, expect and loops must not be negative, and retries are 0 to 10")
	}
	return config.Spread.Check()
}

// planLoops is how many loops there are, and whether each has a descriptor
// table of its own.
func planLoops(connections, limit, wanted, cores int, forced bool) (loops int, private bool, err error) {
	perTable := limit - descriptorsSpare
	if perTable < 1 {
		return 0, false, fmt.Errorf("the hard limit of open files is %d, and %d are needed beside the connections; raise it (ulimit -Hn)", limit, descriptorsSpare)
	}
	needed := (connections + perTable - 1) / perTable
	loops = max(cores, needed)
	if wanted > 0 {
		loops = wanted
		if loops < needed {
			return 0, false, fmt.Errorf("%d connections need %d loops, since the hard limit of open files is %d for each; --loops is %d", connections, needed, limit, wanted)
		}
	}
	return min(loops, connections), forced || needed > 1, nil
}

// RaiseDescriptorLimit sets the soft limit of open files to the hard one and
// returns it.
func RaiseDescriptorLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("cannot raise the limit of open files to its hard limit: %w", err)
	}
	return int(min(limit.Max, 1<<30)), nil
}

// raiseProcs keeps a processor for every loop: a thread that comes back from
// epoll_wait must not wait until another loop gives one up.
func raiseProcs(loops int) {
	if wanted := max(loops+2, runtime.NumCPU()); runtime.GOMAXPROCS(0) < wanted {
		runtime.GOMAXPROCS(wanted)
	}
}

// share is a loop's part of the connections.
func (c *Client) share(loop int) dialer {
	connections, loops := c.config.Spread.Connections, c.config.Loops
	d := newDialer(connections*loop/loops, connections*(loop+1)/loops, c.config.UnderWay)
	d.timeout = int64(c.config.HandshakeTimeout)
	d.tries = uint8(c.config.Retries)
	if c.config.Rate > 0 {
		d.interval = int64(time.Second) * int64(loops) / int64(c.config.Rate)
	}
	return d
}

// Loops is the number of loops.
func (c *Client) Loops() int { return len(c.handlers) }

// PrivateTables reports whether each loop has its own descriptor table.
func (c *Client) PrivateTables() bool { return c.privateTables }

// ChannelOf is the channel that a connection subscribes to.
func (c *Client) ChannelOf(number int) string {
	return newRequester(c.config.Channel).channelOf(number)
}

// OwnChannels reports whether every connection has a channel of its own.
func (c *Client) OwnChannels() bool { return newRequester(c.config.Channel).number }

// Stop closes all connections. The client cannot be used after it.
func (c *Client) Stop() {
	c.poller.Stop()
	loopsRunning.Add(int64(-c.config.Loops))
}

// A Snapshot is what all loops have seen up to now.
type Snapshot struct {
	Counters
	Wanted  int       `json:"wanted"`
	Loops   int       `json:"loops"`
	Latency Latency   `json:"latency"`
	Printed []Printed `json:"messages,omitempty"`
}

// Printed is one distinct unstamped message.
type Printed struct {
	Head        string `json:"head"` // its first 128 bytes
	Bytes       uint64 `json:"bytes"`
	Binary      bool   `json:"binary"`
	Connections uint64 `json:"connections"` // deliveries of it
}

// Decided reports whether no connection is still to be made.
func (s *Snapshot) Decided() bool { return s.Opened+s.GaveUp >= s.Wanted }

// Snapshot asks every loop and adds up their answers.
func (c *Client) Snapshot() Snapshot {
	total := Snapshot{Counters: newCounters(), Wanted: c.config.Spread.Connections, Loops: c.Loops()}
	var latency Histogram
	printed := map[messageKey]Printed{}
	c.each(func(h *handler) func() {
		counters, histogram := h.report()
		mine := make(map[messageKey]Printed, len(h.printed))
		for key, p := range h.printed {
			mine[key] = *p
		}
		return func() {
			total.add(&counters)
			latency.Merge(&histogram)
			for key, p := range mine {
				p.Connections += printed[key].Connections
				printed[key] = p
			}
		}
	})
	total.Latency = latency.Summary()
	for _, p := range printed {
		total.Printed = append(total.Printed, p)
	}
	return total
}

// report copies a loop's counters, on its thread.
func (h *handler) report() (Counters, Histogram) {
	h.counters.UnderWay = len(h.dialer.slots) - len(h.dialer.free)
	h.counters.Waiting = len(h.dialer.retries)
	h.counters.Lost, h.counters.Duplicated = h.sequence.Lost, h.sequence.Duplicated
	h.counters.OutOfOrder, h.counters.Forgotten = h.sequence.OutOfOrder, h.sequence.Forgotten
	return h.counters.clone(), h.latency
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

// Await looks at snapshots until one is as wanted or ctx ends.
func (c *Client) Await(ctx context.Context, wanted func(*Snapshot) bool) (Snapshot, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		s := c.Snapshot()
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
