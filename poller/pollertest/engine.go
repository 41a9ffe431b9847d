package pollertest

import (
	"math"
	"net/netip"
	"time"

	"c10m/poller"
)

// firstNumber is the lowest that a connection of Engine has: no descriptor's.
const firstNumber = 1000

// endsMax is how many connections there may be at once: records stay where they are.
const endsMax = 1 << 12

// stallNanos is for how long Engine does not call writable who took nothing.
const stallNanos = int64(time.Millisecond)

// Engine is a poller.Engine in memory. As in the kernel, the lowest free number is the
// next, so that numbers are reused at once. No number is a descriptor's.
type Engine struct {
	*World
	loop    *poller.Loop
	ends    []end // by number, from firstNumber on
	open    int
	waiting []newcomer
	isWoken bool
}

type end struct {
	peer      *Peer // nil: free
	record    poller.Record
	stalledTo int64
}

type newcomer struct {
	peer *Peer
	tag  poller.Tag
}

var _ poller.Engine = (*Engine)(nil)

// NewEngine makes one with its loop, which is not open yet.
func NewEngine(seed uint64) (*Engine, *poller.Loop) {
	e := &Engine{World: NewWorld(seed), ends: make([]end, 0, endsMax)}
	e.loop = poller.New(poller.Config{Loops: 1}).Add(e)
	return e, e.loop
}

// Dial has a peer wait to be let in by a listener of that tag.
func (e *Engine) Dial(tag poller.Tag) *Peer {
	peer := NewPeer()
	e.waiting = append(e.waiting, newcomer{peer, tag})
	return peer
}

// Connections is how many are open.
func (e *Engine) Connections() int { return e.open }

func (e *Engine) end(number uint32) *end { return &e.ends[number-firstNumber] }

func (e *Engine) Open() error { return nil }
func (e *Engine) Shut()       {}
func (e *Engine) Wake()       { e.isWoken = true }

// Wait returns what is there in a random order, or moves the clock.
func (e *Engine) Wait(ready []poller.Ready, until int64) (n int) {
	if len(ready) == 0 || !e.Fails("wait", e.Faults.WaitNothing) {
		for _, i := range e.Random.Perm(len(e.ends)) {
			end := &e.ends[i]
			if end.peer == nil || n == len(ready) {
				continue
			}
			if event := e.seen(end); event != 0 {
				ready[n] = poller.Ready{Number: firstNumber + uint32(i), Event: event}
				n++
			}
		}
		if n == 0 && !e.isWoken && len(e.waiting) == 0 {
			e.now = max(e.now, until)
		}
	}
	e.isWoken = false
	e.now += int64(10 * time.Microsecond)
	return n
}

// seen is what an end is to be told of.
func (e *Engine) seen(end *end) poller.Event {
	event := end.peer.Ready()
	if flags := end.record.Flags; flags&poller.FlagReadPaused != 0 {
		event &^= poller.Readable
	}
	if end.record.Flags&poller.FlagWriteArmed == 0 || end.stalledTo > e.now {
		event &^= poller.Writable
	}
	return event
}

// Accept lets in as many as the loop wants.
func (e *Engine) Accept(bool) {
	for len(e.waiting) > 0 && !e.loop.Enough() && e.open < min(e.DescriptorsMax, cap(e.ends)) {
		next := e.waiting[0]
		e.waiting = e.waiting[1:]
		i := 0
		for i < len(e.ends) && e.ends[i].peer != nil {
			i++
		}
		if i == len(e.ends) {
			e.ends = append(e.ends, end{})
		}
		e.ends[i] = end{peer: next.peer}
		e.open++
		e.loop.Newcomer(firstNumber+uint32(i), next.tag)
	}
}

func (e *Engine) Tick() {}

// Due is when somebody who took nothing may be called writable again.
func (e *Engine) Due() int64 {
	due := int64(math.MaxInt64)
	for i := range e.ends {
		if at := e.ends[i].stalledTo; at > e.now {
			due = min(due, at)
		}
	}
	return due
}

func (e *Engine) Record(number uint32) *poller.Record { return &e.end(number).record }

func (e *Engine) Recv(number uint32, p []byte) (int, poller.Status) {
	return e.World.Recv(e.end(number).peer, p)
}

func (e *Engine) Send(number uint32, piece poller.Piece) (int, poller.Status) {
	return e.World.Send(e.end(number).peer, piece.Bytes())
}

func (e *Engine) Sendv(number uint32, pieces []poller.Piece) (int, poller.Status) {
	var all []byte
	for i := range pieces {
		all = append(all, pieces[i].Bytes()...)
	}
	return e.World.Send(e.end(number).peer, all)
}

func (e *Engine) Arm(uint32)            {}
func (e *Engine) Stalled(number uint32) { e.end(number).stalledTo = e.now + stallNanos }
func (e *Engine) Shutdown(number uint32) {
	e.end(number).peer.Shut()
}

func (e *Engine) Peer(number uint32) (netip.AddrPort, bool) {
	peer := e.end(number).peer
	return peer.Address, !peer.reset
}

func (e *Engine) Close(number uint32) {
	end := e.end(number)
	end.peer.Leave()
	end.peer, end.stalledTo = nil, 0
	e.open--
}
