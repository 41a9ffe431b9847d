package load

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"c10m/poller"
	"c10m/poller/epoll"
)

// Config says what to open. The zero value of a field is its default.
type Config struct {
	Spread Spread
	// Channel is the path of the URL; %d in it is the connection's number.
	Channel string
	// Token is sent as Authorization: Bearer; empty is none.
	Token string
	// Dialect is how the server is spoken to; nil is this project's.
	Dialect *Dialect
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
	// Publishes says that all stamped messages are made by this client's Next
	// (or Drive). The first of each connection is then checked against what
	// was published when it opened, whenever that was, and Missing knows the
	// tail. FirstSequence has no meaning then.
	Publishes bool
	// Expect is how many messages each connection should get; 0 is any.
	Expect int
	// Print collects unstamped messages for Snapshot.
	Print bool
	// Loops is their number; 0 is a loop per core, or more if the
	// descriptors of one table do not suffice.
	Loops int
	// Fewest makes 0 as few loops as the descriptors allow: for a client whose
	// few connections are to be measured apart from another's.
	Fewest bool
	// Cores are the processors to which the loops are bound, in turns; none
	// leaves it to the scheduler.
	Cores []int
	// PrivateFDTables forces a descriptor table per loop; without it that is
	// so only when one table does not suffice. What the process has open when
	// Start is called stays open until Stop then.
	PrivateFDTables bool
	// Reset closes connections with a reset instead of a FIN, so that neither
	// end is left in TIME_WAIT: for those who open as many again at once.
	Reset bool
	// UserSpace has the client's ends live in this process; nil: they are sockets.
	UserSpace *UserSpace
	// Leads is how far this client has come, for those that connect in step with
	// it, and Follows is another's: this one's connections then come spread evenly
	// among that one's. nil: neither.
	Leads, Follows *Progress
	// Beside is a client of the same channel, whose connections are due what this
	// one publishes, too. It has to outlive this one.
	Beside *Client
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
	requester     requester
	ledger        *ledger // shared with Beside

	// Owned by the caller of Drive, one at a time.
	sent uint64 // messages, for the round of own channels

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
	loops, private, err := planLoops(connections, limit, config.Loops, config.cores(), config.PrivateFDTables)
	if config.UserSpace != nil {
		loops, private, err = max(config.UserSpace.Queues, 1), false, nil
	}
	if err != nil {
		return nil, err
	}
	if config.UnderWay == 0 {
		config.UnderWay = min(underWayPerLoopMax, max(underWayPerLoopMin, underWayMax/loops))
	}
	config.Loops = loops
	c := &Client{config: config, privateTables: private, requester: newRequester(config.Dialect, config.Channel, config.Token)}
	c.ledger = &ledger{}
	if config.Beside != nil && !c.OwnChannels() {
		c.ledger = config.Beside.ledger
	}
	if c.OwnChannels() {
		c.ledger.own = make([]atomic.Uint32, connections)
	}
	raiseProcs(int(loopsRunning.Add(int64(loops))))
	if config.UserSpace != nil {
		err = c.startUserSpace()
	} else {
		err = c.startSockets(limit)
	}
	if err != nil {
		loopsRunning.Add(int64(-loops))
		return nil, err
	}
	return c, nil
}

// startSockets starts the loops of a client of sockets.
func (c *Client) startSockets(limit int) error {
	c.poller = poller.New(poller.Config{
		Loops: c.config.Loops,
		NewHandler: func(l *poller.Loop) poller.Handler {
			return c.newHandler(l, sockets{l.Engine().(*epoll.Engine), l, &c.config.Spread})
		},
	})
	_, err := epoll.Start(c.poller, epoll.Config{
		Loops:           c.config.Loops,
		PrivateFDTables: c.privateTables,
		CPUs:            c.config.Cores,
		DescriptorsMax:  limit,
	})
	if err != nil {
		c.poller.Stop()
	}
	return err
}

func (c *Client) newHandler(l *poller.Loop, ends ends) *handler {
	h := newHandler(l, ends, &c.config, c.share(l.ID()), c.requester, c.ledger)
	c.handlers = append(c.handlers, h)
	return h
}

func (config *Config) check() error {
	if config.HandshakeTimeout == 0 {
		config.HandshakeTimeout = HandshakeTimeoutDefault
	}
	if config.Dialect == nil {
		config.Dialect = dialects[0]
	}
	if config.Channel == "" && config.Dialect.request != nil {
		return errors.New("no channel is given")
	}
	if strings.ContainsAny(config.Token, " \t\r\n") {
		return errors.New("the token has blanks or line ends in it, so it is none")
	}
	for _, n := range []struct {
		name       string
		value, max int
	}{
		{"--rate", config.Rate, rateMax},
		{"--under-way", config.UnderWay, underWayMostPerLoop},
		{"--retries", config.Retries, retriesMax},
		{"--expect", config.Expect, expectMax},
		{"--loops", config.Loops, loopsMax},
	} {
		if n.value < 0 || n.value > n.max {
			return fmt.Errorf("%s is %d and must be between 0 and %d", n.name, n.value, n.max)
		}
	}
	if config.UserSpace != nil {
		if err := config.UserSpace.check(config); err != nil {
			return err
		}
	}
	return config.Spread.Check()
}

// cores is how many loops there are at least, if nothing is said of them.
func (config *Config) cores() int {
	switch {
	case config.Fewest:
		return 1
	case len(config.Cores) > 0:
		return len(config.Cores)
	}
	return runtime.NumCPU()
}

// FitOneTable reports whether so many connections, of all clients together, have
// room in one descriptor table.
func FitOneTable(connections int) bool {
	limit, err := RaiseDescriptorLimit()
	return err == nil && connections <= limit-descriptorsSpare
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
	d.leads, d.follows = c.config.Leads, c.config.Follows
	if c.config.Rate > 0 {
		d.interval = int64(time.Second) * int64(loops) / int64(c.config.Rate)
	}
	return d
}

// Connections is how many there are when all are there.
func (c *Client) Connections() int { return c.config.Spread.Connections }

// Loops is the number of loops.
func (c *Client) Loops() int { return len(c.handlers) }

// PrivateTables reports whether each loop has its own descriptor table.
func (c *Client) PrivateTables() bool { return c.privateTables }

// ChannelOf is the channel that a connection subscribes to.
func (c *Client) ChannelOf(number int) string {
	return c.requester.channelOf(number)
}

// OwnChannels reports whether every connection has a channel of its own.
func (c *Client) OwnChannels() bool { return c.requester.number }

// Stop closes all connections. The client cannot be used after it.
func (c *Client) Stop() {
	c.poller.Stop()
	loopsRunning.Add(int64(-c.config.Loops))
}
