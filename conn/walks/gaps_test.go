package walks

import (
	"math"
	"testing"
	"time"

	"c10m/channel"
)

// fakeLoop has connections from 1 on, all of them to be told.
type fakeLoop struct {
	now         int64
	connections uint32
	told        []uint32
}

func (l *fakeLoop) Now() int64                                      { return l.now }
func (l *fakeLoop) TickNow()                                        {}
func (l *fakeLoop) Connections() int                                { return int(l.connections) }
func (l *fakeLoop) BeginRound() channel.Round                       { return channel.Round{} }
func (l *fakeLoop) EndRound(channel.Round)                          {}
func (l *fakeLoop) Members() int                                    { return int(l.connections) }
func (l *fakeLoop) ConnectionOf(id uint64) (fd uint32, isHere bool) { return uint32(id), true }
func (l *fakeLoop) TellMissed(fd uint32) (isTold bool)              { l.told = append(l.told, fd); return true }
func (l *fakeLoop) Walk(at uint32, n int, visit func(uint32)) (next uint32) {
	for ; n > 0 && at < l.connections; n-- {
		at++
		visit(at)
	}
	if at == l.connections {
		return 0
	}
	return at
}

func TestGapsAreToldEvenly(t *testing.T) {
	const connections, over = 1000, 10 * time.Second
	loop := &fakeLoop{connections: connections}
	g := Gaps{Loop: loop, Registry: loop, Told: loop}
	if g.Step() != math.MaxInt64 {
		t.Fatal("a walk of nobody")
	}
	g.Begin(over)
	for next := g.Step(); next != math.MaxInt64; next = g.Step() {
		if due := int(loop.now * connections / int64(over)); len(loop.told) < due-20 || len(loop.told) > due+20 {
			t.Fatalf("%d are told after %v", len(loop.told), time.Duration(loop.now))
		}
		loop.now = next
	}
	if len(loop.told) != connections {
		t.Errorf("%d are told", len(loop.told))
	}
}

// A walk ends also if more were told than were there when it began: newcomers of whom an
// interruption during the walk made untold ones. It went on for ever, told nobody, and
// who was untold heard nothing any more (found by TestToldIsTold in ./faults).
func TestWalkEndsThoughNewcomersWereTold(t *testing.T) {
	loop := &fakeLoop{connections: 10}
	g := Gaps{Loop: loop, Registry: loop, Told: loop}
	g.beginRound(time.Hour)
	g.walk.Cursor, g.walk.Left = 1, -1
	if g.Step(); g.walk != nil {
		t.Error("the walk goes on")
	}
}
