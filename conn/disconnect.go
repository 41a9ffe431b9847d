package conn

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/poller"
)

// A disconnector closes those whom the operator disconnects.
type disconnector struct {
	*Server // whose part it is

	disconnects []*disconnectState // the first is being worked on

	// Shared: atomic. It counts disconnects, and those on their way there.
	disconnecting atomic.Int64
}

// ErrDisconnects says that too many channels are being disconnected already.
var ErrDisconnects = errors.New("too many channels are being disconnected; wait until they are done")

// Disconnect closes one client with reasons.CodeDisconnected, if it is still the one that
// had this ID, and reports whether it was. A loop that does not answer before ctx is
// done does it all the same, but nobody can say.
func (o *Operator) Disconnect(ctx context.Context, id ClientID) (bool, error) {
	if id.Loop < 0 || id.Loop >= len(o.servers) {
		return false, nil
	}
	a := newAsked[bool](1)
	s := o.servers[id.Loop]
	s.loop.Run(func(*poller.Loop) {
		there := id.Generation != 0 && s.loop.Generation(id.FD) == id.Generation &&
			!s.loop.Closing(id.FD) && s.disconnector.disconnectOne(id.FD)
		a.put(0, &there)
	})
	for _, there := range a.wait(ctx) {
		return *there, nil
	}
	return false, ctx.Err()
}

// DisconnectChannel closes with reasons.CodeDisconnected those who are in a channel now,
// evenly over a time, and returns how many they are; who connects later stays, and so
// does who subscribes later on a connection of many channels. It returns when all
// loops have begun, or ctx is done. Of one loop, channels that are being disconnected
// take turns.
func (o *Operator) DisconnectChannel(ctx context.Context, name string, over time.Duration) (clients int, err error) {
	if o.disconnecting() >= disconnectsMax {
		return 0, ErrDisconnects
	}
	a := newAsked[int](len(o.servers))
	for i, s := range o.servers {
		s.disconnector.disconnecting.Add(1)
		s.loop.Run(func(*poller.Loop) {
			_, members := s.registry.Find([]byte(name))
			a.put(i, &members)
			s.disconnector.startDisconnect([]byte(name), members, over)
		})
	}
	for _, members := range a.wait(ctx) {
		clients += *members
	}
	return clients, nil
}

// disconnecting is how many channels the loop that is most behind is still at.
func (o *Operator) disconnecting() (channels int64) {
	for _, s := range o.servers {
		channels = max(channels, s.disconnector.disconnecting.Load())
	}
	return channels
}

// disconnectState is a loop's walk over its connections for those of one channel.
// It looks at all of them, one record after the other, rather than go along the
// channel's list: that changes meanwhile, and a place in it would have to be
// kept up by everybody who comes, goes or falls behind.
type disconnectState struct {
	name   []byte
	latest uint32 // generation: who came after it stays
	// later are memberships that began since, of connections from before: they stay, too.
	// One that has ended stays in it: whoever has its number next begins even later.
	later   map[uint32]struct{}
	members int // how many may have to be closed
	over    time.Duration
	walk    timers.EvenWalk
	hasTurn bool // walk has begun
}

func (s *disconnector) startDisconnect(name []byte, members int, over time.Duration) {
	if members == 0 {
		s.disconnecting.Add(-1)
		return
	}
	s.disconnects = append(s.disconnects, &disconnectState{
		name: name, latest: s.loop.Latest(), members: members, over: over,
	})
	s.loop.TickNow()
}

// disconnectSome closes what is due of the first channel and returns when the next
// step is.
func (s *disconnector) disconnectSome() (next int64) {
	queue := s.disconnects
	if len(queue) == 0 {
		return math.MaxInt64
	}
	d, now := queue[0], s.loop.Now()
	w := &d.walk
	if !d.hasTurn {
		d.hasTurn = true
		if *w = timers.BeginWalk(now, now+int64(d.over), d.members); d.over == 0 {
			w.Hurry()
		}
	}
	w.Earn(now)
	number, _ := s.registry.Find(d.name)
	over := number == 0 || w.Left <= 0
	for looks := disconnectLooksPerTickMax; !over && w.Due() > 0 && looks > 0; {
		// No more at a time than may be closed, if all of them are members.
		batch := min(w.Due(), looks)
		looks -= batch
		w.Cursor = s.loop.Walk(w.Cursor, batch, func(fd uint32) { s.disconnectMember(d, fd, number) })
		over = w.Cursor == 0 || w.Left <= 0
	}
	if over {
		s.disconnects = slices.Delete(queue, 0, 1)
		s.disconnecting.Add(-1)
	}
	return now + int64(timers.EvenTick)
}

// joined notes a new membership of fd for the disconnects that it is not meant by.
func (s *disconnector) joined(fd, n uint32, name []byte) {
	for _, d := range s.disconnects {
		if string(d.name) == string(name) && !s.loop.CameAfter(fd, d.latest) {
			if d.later == nil {
				d.later = make(map[uint32]struct{})
			}
			d.later[n] = struct{}{}
		}
	}
}

// disconnectMember closes fd if it is in the channel and was when this began.
func (s *disconnector) disconnectMember(d *disconnectState, fd, number uint32) {
	n, isIn := s.protocolOf(fd).channels.memberIn(s.Server, fd, number)
	if !isIn || s.loop.CameAfter(fd, d.latest) {
		return
	}
	if _, isLater := d.later[n]; !isLater {
		d.walk.Left--
		d.walk.Spend(1)
		s.disconnectOne(fd)
	}
}

// disconnectOne closes fd if it is in a channel, and reports whether it was.
func (s *disconnector) disconnectOne(fd uint32) (there bool) {
	if s.loop.Record(fd).Phase != phaseOpen {
		return false
	}
	s.dismiss(fd, reasons.Disconnected)
	return true
}
