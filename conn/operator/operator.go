package operator

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
type Operator struct{ loops []*Loop }

// New makes the operator of these loops.
func New(loops []*Loop) *Operator { return &Operator{loops} }

// Sessions are what it needs of a loop's connections.
type Sessions interface {
	// Owner returns the connection of a member of the registry.
	Owner(member uint32) (fd uint32)
	// MemberIn returns as which member a connection is in the channel with this number
	// (channel.Registry.Find).
	MemberIn(fd, number uint32) (n uint32, isIn bool)
	// Disconnect closes a connection if it is in a channel, and reports whether it was.
	Disconnect(fd uint32) (there bool)
}

// A Loop is one loop's part. Owned by the loop, but for what is said to be shared.
type Loop struct {
	// Fixed after construction.
	loop     *poller.Loop
	registry *channel.Registry
	sessions Sessions

	// Recent is the last closes: the sessions add them.
	Recent      reasons.Recent
	disconnects []*disconnectState // the first is being worked on

	// Shared: atomic. It counts disconnects, and those on their way there.
	disconnecting atomic.Int64
}

// NewLoop makes the part of one loop.
func NewLoop(loop *poller.Loop, registry *channel.Registry, sessions Sessions) *Loop {
	return &Loop{loop: loop, registry: registry, sessions: sessions}
}

// A ClientID names a connection as long as it is open, and nothing afterwards.
type ClientID struct {
	Loop       int    `json:"loop"`
	FD         uint32 `json:"fd"`
	Generation uint32 `json:"generation"`
}

// A Client is a connection as an operator sees it.
type Client struct {
	ClientID
	Peer      netip.AddrPort `json:"peer"` // as the kernel knows it: a proxy's, behind a proxy
	Channel   string         `json:"channel"`
	IsBlocked bool           `json:"blocked"` // its socket is full
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

// ask has each loop answer once, on its thread, and returns the answers there are when all
// are there or ctx is done.
func ask[T any](ctx context.Context, loops []*Loop, of func(l *Loop, answer func(*T))) (all []*T) {
	answers := make([]atomic.Pointer[T], len(loops))
	var open atomic.Int64
	open.Store(int64(len(loops)))
	done := make(chan struct{})
	for i, l := range loops {
		l.loop.Run(func(*poller.Loop) {
			of(l, func(answer *T) {
				answers[i].Store(answer)
				if open.Add(-1) == 0 {
					close(done)
				}
			})
		})
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	for i := range answers {
		if answer := answers[i].Load(); answer != nil {
			all = append(all, answer)
		}
	}
	return all
}

// Silent returns the loops that have made no turn before ctx is done.
func (o *Operator) Silent(ctx context.Context) (loops []int) {
	turned := ask(ctx, o.loops, func(l *Loop, answer func(*Loop)) { answer(l) })
	for _, l := range o.loops {
		if !slices.Contains(turned, l) {
			loops = append(loops, l.loop.ID())
		}
	}
	return loops
}

// Look asks every loop for its slowest clients, its last closes and its busiest
// channels since the last Look; whoever looks first begins counting the latter,
// and the counting ends some seconds after the last Look.
func (o *Operator) Look(ctx context.Context) []*Look {
	return ask(ctx, o.loops, func(l *Loop, answer func(*Look)) {
		look := &Look{Closes: l.Recent.List(l.loop.Now())}
		look.Busiest, look.BusyNanos = l.registry.Busiest()
		l.registry.SlowMembers(&channel.SlowSurvey{Identify: l.ownerGeneration, Done: func(slowest []channel.Slow) {
			for _, m := range slowest {
				if l.ownerGeneration(m.FD) == m.ID { // it is still there
					look.Slowest = append(look.Slowest, SlowClient{l.client(m.FD), m.Behind, time.Duration(m.Nanos)})
				}
			}
			answer(look)
		}})
	})
}

// Survey asks every loop for its largest channels for which match is true; nil is
// all. match runs on all loops at the same time, once per channel of theirs.
func (o *Operator) Survey(ctx context.Context, match func(name string) bool) []*channel.Surveyed {
	return ask(ctx, o.loops, func(l *Loop, answer func(*channel.Surveyed)) {
		l.registry.Survey(&channel.Survey{Match: match, Done: func(found channel.Surveyed) { answer(&found) }})
	})
}

// Clients returns some of a channel's clients, at most clientsPerLoopMax of each loop
// and those that are slow first, and how many there are.
func (o *Operator) Clients(ctx context.Context, name string) (clients []Client, members int) {
	type part struct {
		clients []Client
		members int
	}
	for _, mine := range ask(ctx, o.loops, func(l *Loop, answer func(*part)) {
		var mine part
		mine.members = l.registry.Members([]byte(name), clientsPerLoopMax, func(fd uint32) {
			mine.clients = append(mine.clients, l.client(fd))
		})
		answer(&mine)
	}) {
		clients = append(clients, mine.clients...)
		members += mine.members
	}
	slices.SortStableFunc(clients, func(x, y Client) int { return slow(y) - slow(x) })
	return clients, members
}

func slow(c Client) int {
	if c.IsBlocked {
		return 1
	}
	return 0
}

// ownerGeneration is the generation of the connection of a member, 0 if it has left.
func (l *Loop) ownerGeneration(member uint32) uint32 {
	return l.loop.Generation(l.sessions.Owner(member))
}

// client describes a member. An address that the kernel does not tell is left out.
func (l *Loop) client(member uint32) Client {
	fd := l.sessions.Owner(member)
	peer, _ := l.loop.Peer(fd)
	return Client{
		ClientID:  ClientID{l.loop.ID(), fd, l.loop.Generation(fd)},
		Peer:      peer,
		Channel:   string(l.registry.Name(member)),
		IsBlocked: l.registry.Blocked(member),
	}
}
