package usertcp

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
)

// A world is a stack, a server for it and the wire between them, with a clock
// of its own. The same seed gives the same run.
type world struct {
	t      testing.TB
	random *rand.Rand
	faults faults
	now    int64
	stack  *Stack
	plan   Plan
	peers  map[uint32]*peer
	wire   packets
	count  int // packets that were ever sent, for the order of equal times

	user     []end
	onOpened func(i uint32)
}

// faults are the probabilities of what the wire does to a packet.
type faults struct{ lose, repeat, delay float64 }

// An end is what the stack's user has seen of a connection.
type end struct {
	opened, ended int
	errno         syscall.Errno
	got           []byte
}

type packet struct {
	at       int64
	order    int
	toServer bool
	bytes    []byte
}

type packets []packet

func (p packets) Len() int { return len(p) }
func (p packets) Less(i, j int) bool {
	return p[i].at < p[j].at || p[i].at == p[j].at && p[i].order < p[j].order
}
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)   { *p = append(*p, x.(packet)) }
func (p *packets) Pop() any {
	last := len(*p) - 1
	popped := (*p)[last]
	*p = (*p)[:last]
	return popped
}

const (
	milli       = int64(1e6)
	serverISS   = 1<<32 - 500 // so that it wraps
	peerRTO     = 200 * milli
	peerSegment = 700
)

// A peer is the server's end: it sends a stream in pieces, takes what comes in
// order, and sends again what is not acknowledged.
type peer struct {
	open           bool
	silent         bool // it does not answer any more
	rcvNxt         uint32
	una            uint32
	out            []byte // all that it ever sends
	fin            bool   // behind out
	in             []byte
	peerFin        bool
	resets         int
	due            int64
	acksFromClient int
}

func newWorld(t testing.TB, seed uint64, connections int, f faults, ackNanos int64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 1)), faults: f, peers: map[uint32]*peer{},
		user: make([]end, connections),
		plan: Plan{Server: 0xC6120001, ServerPort: 10000, PerPort: 3, FirstNumber: 2, Source: 0xC6120101, Connections: connections}}
	w.stack = NewStack(Config{Plan: w.plan, AckNanos: ackNanos, Random: 1<<32 - 1<<18,
		Write: func(p []byte) syscall.Errno { w.send(true, p); return 0 }}, w)
	return w
}

func (w *world) Opened(i uint32) {
	w.user[i].opened++
	if w.onOpened != nil {
		w.onOpened(i)
	}
}

func (w *world) Received(i uint32, p []byte) {
	w.user[i].got = append(w.user[i].got, p...)
	clear(p) // it was lent
}

func (w *world) Ended(i uint32, errno syscall.Errno) {
	w.user[i].ended++
	w.user[i].errno = errno
}

// send puts a packet on the wire.
func (w *world) send(toServer bool, bytes []byte) {
	copies := 1
	if w.random.Float64() < w.faults.lose {
		copies = 0
	}
	if w.random.Float64() < w.faults.repeat {
		copies++
	}
	for range copies {
		at := w.now + milli
		if w.random.Float64() < w.faults.delay {
			at += w.random.Int64N(20 * milli)
		}
		w.count++
		heap.Push(&w.wire, packet{at, w.count, toServer, append([]byte(nil), bytes...)})
	}
}

// run lets time pass until done.
func (w *world) run(done func() bool) {
	w.t.Helper()
	for step := 0; !done(); step++ {
		if step > 2_000_000 {
			w.t.Fatalf("nothing comes to an end: %+v", w.stack.Stats())
		}
		w.step()
	}
}

// step delivers what is due in the next millisecond.
func (w *world) step() {
	w.now += milli
	w.stack.SetNow(w.now)
	for len(w.wire) > 0 && w.wire[0].at <= w.now {
		p := heap.Pop(&w.wire).(packet)
		if p.toServer {
			w.serve(p.bytes)
		} else {
			w.stack.Input(p.bytes)
		}
	}
	w.stack.Tick()
	for i := range uint32(len(w.user)) {
		if p := w.peers[i]; p != nil && p.open && w.now >= p.due {
			w.push(i, p)
		}
	}
}

// reply sends a segment of the server.
func (w *world) reply(i uint32, p *peer, flags uint8, seq uint32, payload []byte) {
	s := w.plan.segment(i)
	s.Source, s.Target, s.SourcePort, s.TargetPort = s.Target, s.Source, s.TargetPort, s.SourcePort
	s.Flags, s.Seq, s.Ack, s.Window, s.Payload = flags, seq, p.rcvNxt, 65535, payload
	if flags&flagSYN != 0 {
		s.MSS = 1460
	}
	w.send(false, s.Append(nil, false))
}

// end is behind everything that the server sends.
func (p *peer) end() uint32 {
	end := uint32(serverISS) + 1 + uint32(len(p.out))
	if p.fin {
		end++
	}
	return end
}

// push sends what is not acknowledged, cut anywhere.
func (w *world) push(i uint32, p *peer) {
	p.due = w.now + peerRTO
	if p.una == serverISS {
		w.reply(i, p, flagSYN|flagACK, serverISS, nil)
		return
	}
	for seq, n := p.una, 0; seq != p.end() && n < 4; n++ {
		at := int(seq - (serverISS + 1))
		size := min(1+w.random.IntN(peerSegment), len(p.out)-at)
		if size <= 0 {
			w.reply(i, p, flagFIN|flagACK, seq, nil)
			return
		}
		flags := uint8(flagACK)
		if at+size == len(p.out) && p.fin && w.random.IntN(2) == 0 {
			flags |= flagFIN
		}
		w.reply(i, p, flags, seq, p.out[at:at+size])
		seq += uint32(size)
		if flags&flagFIN != 0 {
			return
		}
	}
}

// serve takes a segment as the server.
func (w *world) serve(bytes []byte) {
	s, ok := ParseSegment(bytes, false)
	if !ok {
		w.t.Fatalf("a broken segment: %x", bytes)
	}
	i := (s.Source-w.plan.Source)*PortsPerSource + uint32(s.SourcePort) - FirstPort
	if s.TargetPort != w.plan.serverPort(i) {
		w.t.Fatalf("connection %d goes to port %d", i, s.TargetPort)
	}
	p := w.peers[i]
	if p == nil {
		p = &peer{}
		w.peers[i] = p
	}
	switch {
	case p.silent:
	case s.Flags&flagRST != 0:
		p.resets++
		p.open = false
	case s.Flags&flagSYN != 0:
		if !p.open {
			p.open, p.una, p.rcvNxt = true, serverISS, s.Seq+1
			p.due = w.now + peerRTO
		}
		if p.una != serverISS {
			w.reply(i, p, flagACK, p.una, nil) // RFC 5961, 4.2
			return
		}
		w.reply(i, p, flagSYN|flagACK, serverISS, nil)
	case p.open:
		w.data(i, p, &s)
	}
}

func (w *world) data(i uint32, p *peer, s *Segment) {
	if int32(s.Ack-p.una) > 0 && int32(s.Ack-p.end()) <= 0 {
		p.una, p.due = s.Ack, w.now
		p.acksFromClient++
	}
	if s.length() == 0 {
		return
	}
	if skip := int32(p.rcvNxt - s.Seq); skip >= 0 && skip <= int32(len(s.Payload)) && !p.peerFin {
		p.in = append(p.in, s.Payload[skip:]...)
		p.rcvNxt += uint32(len(s.Payload)) - uint32(skip)
		if s.Flags&flagFIN != 0 {
			p.peerFin = true
			p.rcvNxt++
		}
	}
	w.reply(i, p, flagACK, p.una, nil)
}

// stream is what the server sends on a connection.
func stream(i uint32, bytes int) []byte {
	out := make([]byte, 0, bytes)
	for n := 0; len(out) < bytes; n++ {
		out = fmt.Appendf(out, "%d:%d,", i, n)
	}
	return out[:bytes]
}
