package conn

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/poller"
)

// An Operator lets somebody look at the loops' connections, and close some. Its
// methods may be called from any goroutine but a loop's. They speak to the loops
// through orders, which do not wait behind messages: so not once per message, nor
// once per client.
//
// A loop that does not answer before the context is done is left out.
type Operator struct{ servers []*Server }

// NewOperator makes the operator of these loops.
func NewOperator(servers []*Server) *Operator { return &Operator{servers} }

// A ClientID names a connection as long as it is open, and nothing afterwards.
type ClientID struct {
	Loop       int    `json:"loop"`
	FD         uint32 `json:"fd"`
	Generation uint32 `json:"generation"`
}

// A Client is a connection as an operator sees it.
type Client struct {
	ClientID
	Peer      netip.AddrPort // as the kernel knows it: a proxy's, behind a proxy
	Channel   string
	IsBlocked bool // its socket is full
}

// A SlowClient is one that is behind because its socket is full.
type SlowClient struct {
	Client
	Behind int           // messages
	Since  time.Duration // that the socket has been full
}

// A Look is what one loop tells.
type Look struct {
	Slowest []SlowClient
	Closes  []reasons.Close // the last first
	Busiest []channel.Busy
	// BusyNanos is the time that Busiest is about, 0 at the first look.
	BusyNanos int64
}

// An asked collects what loops say. Each loop calls put once, on its thread.
type asked[T any] struct {
	of   []atomic.Pointer[T]
	open atomic.Int64
	done chan struct{}
}

func newAsked[T any](loops int) *asked[T] {
	a := &asked[T]{of: make([]atomic.Pointer[T], loops), done: make(chan struct{})}
	a.open.Store(int64(loops))
	return a
}

func (a *asked[T]) put(i int, answer *T) {
	a.of[i].Store(answer)
	if a.open.Add(-1) == 0 {
		close(a.done)
	}
}

// wait returns the answers there are when all are there or ctx is done.
func (a *asked[T]) wait(ctx context.Context) []*T {
	select {
	case <-a.done:
	case <-ctx.Done():
	}
	var all []*T
	for i := range a.of {
		if answer := a.of[i].Load(); answer != nil {
			all = append(all, answer)
		}
	}
	return all
}

// Silent returns the loops that have made no turn before ctx is done.
func (o *Operator) Silent(ctx context.Context) (loops []int) {
	a := newAsked[bool](len(o.servers))
	turned := true
	for i, s := range o.servers {
		s.loop.Run(func(*poller.Loop) { a.put(i, &turned) })
	}
	a.wait(ctx)
	for i := range a.of {
		if a.of[i].Load() == nil {
			loops = append(loops, i)
		}
	}
	return loops
}

// Look asks every loop for its slowest clients, its last closes and its busiest
// channels since the last Look; whoever looks first begins counting the latter,
// and the counting ends some seconds after the last Look.
func (o *Operator) Look(ctx context.Context) []*Look {
	a := newAsked[Look](len(o.servers))
	for i, s := range o.servers {
		s.loop.Run(func(*poller.Loop) {
			look := &Look{Closes: s.recent.List(s.loop.Now())}
			look.Busiest, look.BusyNanos = s.registry.Busiest()
			s.registry.SlowMembers(&channel.SlowSurvey{Identify: s.ownerGeneration, Done: func(slowest []channel.Slow) {
				for _, m := range slowest {
					if s.ownerGeneration(m.FD) == m.ID { // it is still there
						look.Slowest = append(look.Slowest, SlowClient{s.client(m.FD), m.Behind, time.Duration(m.Nanos)})
					}
				}
				a.put(i, look)
			}})
		})
	}
	return a.wait(ctx)
}

// Survey asks every loop for its largest channels for which match is true; nil is
// all. match runs on all loops at the same time, once per channel of theirs.
func (o *Operator) Survey(ctx context.Context, match func(name string) bool) []*channel.Surveyed {
	a := newAsked[channel.Surveyed](len(o.servers))
	for i, s := range o.servers {
		s.loop.Run(func(*poller.Loop) {
			s.registry.Survey(&channel.Survey{Match: match, Done: func(found channel.Surveyed) { a.put(i, &found) }})
		})
	}
	return a.wait(ctx)
}

// Clients returns some of a channel's clients, at most clientsPerLoopMax of each loop
// and those that are slow first, and how many there are.
func (o *Operator) Clients(ctx context.Context, name string) (clients []Client, members int) {
	type answer struct {
		clients []Client
		members int
	}
	a := newAsked[answer](len(o.servers))
	for i, s := range o.servers {
		s.loop.Run(func(*poller.Loop) {
			var mine answer
			mine.members = s.registry.Members([]byte(name), clientsPerLoopMax, func(fd uint32) {
				mine.clients = append(mine.clients, s.client(fd))
			})
			a.put(i, &mine)
		})
	}
	for _, mine := range a.wait(ctx) {
		clients = append(clients, mine.clients...)
		members += mine.members
	}
	slices.SortStableFunc(clients, func(x, y Client) int {
		switch {
		case x.IsBlocked == y.IsBlocked:
			return 0
		case x.IsBlocked:
			return -1
		}
		return 1
	})
	return clients, members
}

// ownerGeneration is the generation of the connection of a member, 0 if it has left.
func (s *Server) ownerGeneration(member uint32) uint32 {
	return s.loop.Generation(s.members.owner(member))
}

// client describes a member. An address that the kernel does not tell is left out.
func (s *Server) client(member uint32) Client {
	fd := s.members.owner(member)
	peer, _ := s.loop.Peer(fd)
	return Client{
		ClientID:  ClientID{s.loop.ID(), fd, s.loop.Generation(fd)},
		Peer:      peer,
		Channel:   string(s.registry.Name(member)),
		IsBlocked: s.registry.Blocked(member),
	}
}
