package load

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"c10m/bench/usertcp"
	"c10m/poller"
)

// UserSpace has the client's ends live in this process, over a TUN device, and
// not in the kernel (package usertcp).
type UserSpace struct {
	// Queues of the device, each with a loop of its own; 0 is 1.
	Queues int
	// AckDelay is how long an acknowledgement may wait for company; 0: each
	// segment is acknowledged at once.
	AckDelay time.Duration
	// Rough is what happens to packets on the way.
	Rough usertcp.Roughness
	// Device is its name, perhaps with %d for the first that is free.
	Device string

	device *usertcp.Device // once it is open
}

// UserSpaceStats are what ends in user space have seen of the network.
type UserSpaceStats struct {
	Device   string
	Queues   int
	AckDelay time.Duration
	usertcp.Stats
}

func (u *UserSpace) check(config *Config) error {
	switch {
	case u.Queues < 0 || u.Queues > userSpaceQueuesMax:
		return fmt.Errorf("the device has %d queues; 1 to %d are possible", u.Queues, userSpaceQueuesMax)
	case u.AckDelay < 0 || u.AckDelay > ackDelayMax:
		return fmt.Errorf("acknowledgements wait for %v; from 0 to %v (RFC 9293, 3.8.6.3)", u.AckDelay, ackDelayMax)
	case config.Dialect.request == nil || config.Dialect.subscribe != nil:
		return fmt.Errorf("user-space ends subscribe with their request only: leave --dialect alone")
	case len(config.Spread.Sources) > 0:
		return fmt.Errorf("user-space ends have addresses of their own: leave --source alone")
	case config.Expect > expectUserSpaceMax:
		return fmt.Errorf("user-space ends count up to %d messages each: expect no more", expectUserSpaceMax)
	}
	return u.Rough.Check()
}

// perQueue is how many addresses a queue has.
func (u *UserSpace) perQueue(connections int) int {
	queues := max(u.Queues, 1)
	return usertcp.Sources((connections + queues - 1) / queues)
}

// Open makes the device, and with it the server's address. Start does so if it
// was not done before.
func (u *UserSpace) Open(s Spread) error {
	network, err := usertcp.NetworkOf(s.Host)
	if err != nil {
		return err
	}
	queues, perQueue := max(u.Queues, 1), u.perQueue(s.Connections)
	if err := network.Check(perQueue * queues); err != nil {
		return err
	}
	goFirst()
	u.device, err = usertcp.OpenDevice(u.Device, network, queues, perQueue)
	return err
}

// goFirst gives all threads of this process, and those that they make, a priority
// before the server's. They stand for a network and for programs on other hosts,
// which would not wait for a processor of this one. Without the right to it they go
// without.
func goFirst() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			unix.Setpriority(unix.PRIO_PROCESS, id, userSpaceNice)
		}
	}
}

// Close ends the device. Stop does so, too.
func (u *UserSpace) Close() {
	if u.device != nil {
		u.device.Close()
	}
}

// startUserSpace makes the loops of a client whose ends are its own.
func (c *Client) startUserSpace() error {
	u, s := c.config.UserSpace, c.config.Spread
	if u.device == nil {
		if err := u.Open(s); err != nil {
			return err
		}
	}
	network, err := usertcp.NetworkOf(s.Host)
	if err != nil {
		return err
	}
	c.poller = poller.New(poller.Config{Loops: c.config.Loops, NewHandler: func(l *poller.Loop) poller.Handler {
		return c.newHandler(l, l.Engine().(*userEngine))
	}})
	c.poller.AtEnd(u.Close)
	perQueue := u.perQueue(s.Connections)
	for i, queue := range u.device.Queues {
		share := c.share(i)
		e, err := newUserEngine(usertcp.Rough(queue, u.Rough, rand.Uint64()), usertcp.Plan{
			Server: usertcp.AddressNumber(s.Host), ServerPort: s.FirstPort, PerPort: s.PerPort,
			FirstNumber: s.Skip + int(share.next),
			Source:      network.FirstSource() + uint32(i*perQueue),
			Connections: int(share.last - share.next),
		}, share.next, int64(u.AckDelay))
		if err != nil {
			c.poller.Stop()
			return err
		}
		e.loop = c.poller.Add(e)
		c.poller.AtEnd(func() { unix.Close(e.wakefd) })
	}
	for _, l := range c.poller.Loops() {
		if err := c.poller.Run(l); err != nil {
			c.poller.Stop()
			return err
		}
	}
	return nil
}

// UserSpace returns what the ends of a client in user space have seen, and false
// for a client of sockets.
func (c *Client) UserSpace() (s UserSpaceStats, ok bool) {
	if c.config.UserSpace == nil {
		return s, false
	}
	u := c.config.UserSpace
	s.Device, s.Queues, s.AckDelay = u.device.Name, len(u.device.Queues), u.AckDelay
	c.each(func(h *handler) func() {
		mine := h.ends.(*userEngine).stack.Stats()
		return func() { s.Add(&mine) }
	})
	return s, true
}
