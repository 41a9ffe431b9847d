package operator

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"c10m/conn/timers"
)

// ErrDisconnects says that too many channels are being disconnected already.
var ErrDisconnects = errors.New("too many channels are being disconnected; wait until they are done")

// Disconnect closes one client with reasons.CodeDisconnected, if it is still the one that
// had this ID, and reports whether it was. A loop that does not answer before ctx is
// done does it all the same, but nobody can say.
func (o *Operator) Disconnect(ctx context.Context, id ClientID) (bool, error) {
	if id.Loop < 0 || id.Loop >= len(o.loops) {
		return false, nil
	}
	for _, there := range ask(ctx, o.loops[id.Loop:id.Loop+1], func(l *Loop, answer func(*bool)) {
		there := id.Generation != 0 && l.loop.Generation(id.FD) == id.Generation &&
			!l.loop.Closing(id.FD) && l.sessions.Disconnect(id.FD)
		answer(&there)
	}) {
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
	if o.Disconnecting() >= disconnectsMax {
		return 0, ErrDisconnects
	}
	for _, l := range o.loops {
		l.disconnecting.Add(1)
	}
	for _, members := range ask(ctx, o.loops, func(l *Loop, answer func(*int)) {
		_, members := l.registry.Find([]byte(name))
		answer(&members)
		l.startDisconnect([]byte(name), members, over)
	}) {
		clients += *members
	}
	return clients, nil
}

// Disconnecting is how many channels the loop that is most behind is still at.
func (o *Operator) Disconnecting() (channels int64) {
	for _, l := range o.loops {
		channels = max(channels, l.disconnecting.Load())
	}
	return channels
}

// disconnectState is a loop's walk over all its connections for those of one channel, whose
// list changes meanwhile.
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

func (l *Loop) startDisconnect(name []byte, members int, over time.Duration) {
	if members == 0 {
		l.disconnecting.Add(-1)
		return
	}
	l.disconnects = append(l.disconnects, &disconnectState{
		name: name, latest: l.loop.Latest(), members: members, over: over,
	})
	l.loop.TickNow()
}

// Step closes what is due of the first channel and returns when the next
// step is.
func (l *Loop) Step() (next int64) {
	queue := l.disconnects
	if len(queue) == 0 {
		return math.MaxInt64
	}
	d, now := queue[0], l.loop.Now()
	w := &d.walk
	if !d.hasTurn {
		d.hasTurn = true
		if *w = timers.BeginWalk(now, now+int64(d.over), d.members); d.over == 0 {
			w.Hurry()
		}
	}
	number, _ := l.registry.Find(d.name)
	over := number == 0 || w.Left <= 0
	for looks := disconnectLooksPerTickMax; !over && w.Earn(now) > 0 && looks > 0; {
		// No more at a time than may be closed, if all of them are members.
		batch := min(w.Earn(now), looks)
		looks -= batch
		w.Cursor = l.loop.Walk(w.Cursor, batch, func(fd uint32) { l.disconnectMember(d, fd, number) })
		over = w.Cursor == 0 || w.Left <= 0
	}
	if over {
		l.disconnects = slices.Delete(queue, 0, 1)
		l.disconnecting.Add(-1)
	}
	return now + int64(timers.EvenTick)
}

// Joined notes a new membership of fd for the disconnects that it is not meant by.
func (l *Loop) Joined(fd, n uint32, name []byte) {
	for _, d := range l.disconnects {
		if string(d.name) == string(name) && !l.loop.CameAfter(fd, d.latest) {
			if d.later == nil {
				d.later = make(map[uint32]struct{})
			}
			d.later[n] = struct{}{}
		}
	}
}

// disconnectMember closes fd if it is in the channel and was when this began.
func (l *Loop) disconnectMember(d *disconnectState, fd, number uint32) {
	n, isIn := l.sessions.MemberIn(fd, number)
	if !isIn || l.loop.CameAfter(fd, d.latest) {
		return
	}
	if _, isLater := d.later[n]; !isLater {
		d.walk.Left--
		d.walk.Spend(1)
		l.sessions.Disconnect(fd)
	}
}
