package usertcp

import (
	"bytes"
	"flag"
	"fmt"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

var worldSeed = flag.Uint64("world-seed", 0, "repeat the world of this seed")

// Sixteen bytes are what makes 5,000,000 clients on one host possible.
func TestConnSize(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > ConnBytesMax {
		t.Errorf("a connection has %d bytes, %d at most", size, ConnBytesMax)
	}
}

// Over wires that lose, repeat and reorder packets, every byte of both ways
// comes once and in order, and both ends end.
func TestExactlyOnce(t *testing.T) {
	for seed := range uint64(60) {
		if *worldSeed != 0 {
			seed = *worldSeed
		}
		f := []faults{{}, {lose: 0.1}, {delay: 0.5}, {repeat: 0.3}, {lose: 0.15, repeat: 0.2, delay: 0.4}}[seed%5]
		ackNanos := []int64{0, 40 * milli}[seed/5%2]
		t.Run(fmt.Sprintf("world-seed=%d", seed), func(t *testing.T) {
			w := newWorld(t, seed, 8, f, ackNanos)
			w.stack.config.AckInTick = seed/10%2 == 1
			exactlyOnce(t, w)
		})
		if *worldSeed != 0 {
			return
		}
	}
}

func exactlyOnce(t *testing.T, w *world) {
	const pong = "0123456789abcdef"
	request := bytes.Repeat([]byte("GET /news HTTP/1.1\r\n"), 120) // more than a segment
	w.onOpened = func(i uint32) {
		if errno := w.stack.Send(i, request); errno != 0 {
			t.Errorf("the request: %v", errno)
		}
	}
	connections := uint32(len(w.user))
	for i := range connections {
		w.peers[i] = &peer{out: stream(i, 5000+int(i)*100), fin: i%2 == 0}
		w.stack.Open(i)
	}
	pongs := make([]int, connections)
	w.run(func() bool {
		done := true
		for i := range connections {
			u, p := &w.user[i], w.peers[i]
			// A pong now and then, as long as there is something to come.
			if u.opened > 0 && pongs[i] < 20 && len(u.got) > pongs[i]*200 && w.stack.Send(i, []byte(pong)) == 0 {
				pongs[i]++
			}
			done = done && len(u.got) == len(p.out) && (u.ended == 1) == p.fin && pongs[i] == 20 &&
				len(p.in) == len(request)+20*len(pong)
		}
		return done
	})
	for i := range connections {
		u, p := &w.user[i], w.peers[i]
		sent := string(request)
		for range pongs[i] {
			sent += pong
		}
		if u.opened != 1 || u.errno != 0 || !bytes.Equal(u.got, p.out) || string(p.in) != sent {
			t.Errorf("connection %d: opened %d, errno %v; got %d of %d bytes, sent %d of %d", i, u.opened, u.errno, len(u.got), len(p.out), len(p.in), len(sent))
		}
		w.stack.Close(i, false)
		p.fin = true
	}
	w.run(func() bool {
		for i := range connections {
			if w.stack.conns.At(i).state() != stateClosed || !w.peers[i].peerFin {
				return false
			}
		}
		return true
	})
	if n := len(w.stack.flights.byConn); n != 0 {
		t.Errorf("%d flights are left", n)
	}
	for i := range connections {
		if w.user[i].ended > 1 {
			t.Errorf("connection %d ended %d times", i, w.user[i].ended)
		}
	}
}

// A connection may be used again at once, whatever the server still thinks of
// the one before.
func TestOpenAgain(t *testing.T) {
	for name, reset := range map[string]bool{"reset": true, "end": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, faults{}, 0)
			for round := 1; round <= 20; round++ {
				generation := w.stack.Generation(0)
				w.peers[0] = orNew(w.peers[0])
				if !w.peers[0].open {
					w.peers[0] = &peer{out: []byte("hello")}
				}
				w.stack.Open(0)
				if now := w.stack.Generation(0); generation != 0 || now == 0 {
					t.Fatalf("generation %d, then %d", generation, now)
				}
				before := len(w.user[0].got)
				w.run(func() bool {
					// A reset of ours has ended what was left of the one before.
					if p := w.peers[0]; !p.open && p.resets > 0 {
						w.peers[0] = &peer{out: []byte("hello")}
					}
					return w.user[0].opened == round && len(w.user[0].got) == before+5
				})
				w.stack.Close(0, reset)
			}
		})
	}
}

func orNew(p *peer) *peer {
	if p == nil {
		return &peer{}
	}
	return p
}

// established is a world with one open connection.
func established(t *testing.T) (*world, *peer) {
	t.Helper()
	w := newWorld(t, 1, 1, faults{}, 0)
	p := &peer{}
	w.peers[0] = p
	w.stack.Open(0)
	w.run(func() bool { return w.user[0].opened == 1 && len(w.wire) == 0 })
	return w, p
}

// input is a segment of the server with sequence numbers from those expected.
func (w *world) input(flags uint8, seqOffset, ackOffset int, payload string) {
	c := w.stack.conns.At(0)
	s := w.plan.segment(0)
	s.Source, s.Target, s.SourcePort, s.TargetPort = s.Target, s.Source, s.TargetPort, s.SourcePort
	s.Flags, s.Seq, s.Ack, s.Payload = flags, c.rcvNxt+uint32(seqOffset), c.sndNxt+uint32(ackOffset), []byte(payload)
	w.stack.Input(s.Append(nil, false))
}

// sent are the segments that the stack has sent since the last call.
func (w *world) sent() (segments []Segment) {
	for _, p := range w.wire {
		if s, ok := ParseSegment(p.bytes, false); ok && p.toServer {
			segments = append(segments, s)
		}
	}
	w.wire = nil
	return segments
}

// What is not in order is dropped and asked for again, at once.
func TestDuplicateAcks(t *testing.T) {
	w, _ := established(t)
	var next uint32
	for _, c := range []struct {
		offset        int
		text, wanted  string
		out, repeated uint64
	}{
		{5, "late", "", 1, 0},
		{0, "hello", "hello", 1, 0},
		{-5, "hello", "hello", 1, 1},
		{-2, "lo, you", "hello, you", 1, 1},
	} {
		w.input(flagACK, c.offset, 0, c.text)
		sent := w.sent()
		next = w.stack.conns.At(0).rcvNxt
		if s := w.stack.Stats(); string(w.user[0].got) != c.wanted || s.OutOfOrder != c.out || s.Repeated != c.repeated ||
			len(sent) != 1 || sent[0].Ack != next || len(sent[0].Payload) != 0 {
			t.Errorf("%q: got %q, %+v; sent %+v", c.text, w.user[0].got, s, sent)
		}
	}
}

// A delayed acknowledgement waits for its time or for a second segment, and
// whatever else is sent has it.
func TestDelayedAck(t *testing.T) {
	w := newWorld(t, 1, 1, faults{}, 40*milli)
	w.stack.Open(0)
	w.run(func() bool { return w.user[0].opened == 1 && len(w.wire) == 0 })
	w.peers[0].silent = true
	w.input(flagACK, 0, 0, "a")
	if sent := w.sent(); len(sent) != 0 {
		t.Errorf("at once: %+v", sent)
	}
	w.input(flagACK, 0, 0, "b")
	if sent := w.sent(); len(sent) != 1 {
		t.Errorf("for two: %+v", sent)
	}
	for range 50 {
		w.step()
	}
	w.sent()
	w.input(flagACK, 0, 0, "c")
	for range 39 {
		w.step()
	}
	if sent := w.sent(); len(sent) != 0 {
		t.Errorf("too early: %+v", sent)
	}
	w.step()
	if sent := w.sent(); len(sent) != 1 || sent[0].Ack != w.stack.conns.At(0).rcvNxt {
		t.Errorf("after its time: %+v", sent)
	}
	w.input(flagACK, 0, 0, "d")
	w.stack.Send(0, []byte("pong"))
	for range 50 {
		w.step()
	}
	if s := w.stack.Stats(); s.Acks != 3 { // the handshake's, and two of the above
		t.Errorf("%d acknowledgements", s.Acks)
	}
}

// Acknowledgements that leave in the next Tick are one for each segment all the same,
// and what is said before it takes the last along.
func TestAckInTick(t *testing.T) {
	w := newWorld(t, 1, 1, faults{}, 0)
	w.stack.config.AckInTick = true
	w.stack.Open(0)
	w.run(func() bool { return w.user[0].opened == 1 && len(w.wire) == 0 })
	w.peers[0].silent = true
	check := func(when string, wanted int) {
		t.Helper()
		if sent := w.sent(); len(sent) != wanted || wanted > 0 && sent[0].Ack != w.stack.conns.At(0).rcvNxt {
			t.Errorf("%s: %+v", when, sent)
		}
	}
	w.sent()
	w.input(flagACK, 0, 0, "a")
	check("before the Tick", 0)
	if due := w.stack.Due(); due > w.now {
		t.Errorf("the next Tick is due in %d ns", due-w.now)
	}
	w.stack.Tick()
	check("in the Tick", 1)
	if due := w.stack.Due(); due <= w.now {
		t.Errorf("a Tick is due again, %d ns ago", w.now-due)
	}
	w.input(flagACK, 0, 0, "b")
	w.input(flagACK, 0, 0, "c")
	if sent := w.sent(); len(sent) != 1 || sent[0].Ack != w.stack.conns.At(0).rcvNxt-1 {
		t.Errorf("of the first of two: %+v", sent)
	}
	w.stack.Send(0, []byte("pong"))
	check("with a pong", 1)
	w.stack.Tick()
	check("after the pong", 0)
	w.input(flagACK, 0, 0, "d")
	w.stack.Close(0, true)
	check("a reset", 1)
	w.stack.Tick()
	check("of the closed", 0)
}

// Resets end a connection only if they are exact, and what is sent to a closed
// one is answered with a reset.
func TestResets(t *testing.T) {
	w, _ := established(t)
	w.input(flagRST, 100, 0, "")
	w.input(flagRST, -100, 0, "")
	if sent := w.sent(); w.user[0].ended != 0 || len(sent) != 1 {
		t.Errorf("a guessed reset: ended %d; sent %+v", w.user[0].ended, sent)
	}
	w.input(flagRST, 0, 0, "")
	if u := w.user[0]; u.ended != 1 || u.errno != unix.ECONNRESET || w.stack.Generation(0) != 0 {
		t.Errorf("a reset: %+v", u)
	}
	w.input(flagACK, 0, 0, "who")
	if sent := w.sent(); len(sent) != 1 || sent[0].Flags&flagRST == 0 {
		t.Errorf("to a closed connection: %+v", sent)
	}
	w.input(flagRST, 0, 0, "")
	if sent := w.sent(); len(sent) != 0 {
		t.Errorf("a reset is answered: %+v", sent)
	}
	if errno := w.stack.Send(0, []byte("x")); errno != unix.ENOTCONN {
		t.Errorf("send on a closed connection: %v", errno)
	}
}

// Who does not answer is refused or given up.
func TestNoAnswer(t *testing.T) {
	w := newWorld(t, 1, 1, faults{}, 0)
	w.stack.Open(0)
	if errno := w.stack.Send(0, []byte("x")); errno != unix.EAGAIN {
		t.Errorf("send before it is open: %v", errno)
	}
	w.sent()
	w.input(flagRST|flagACK, 0, 0, "")
	if u := w.user[0]; u.ended != 1 || u.errno != unix.ECONNREFUSED {
		t.Errorf("refused: %+v", u)
	}
	w, p := established(t)
	p.silent = true
	w.stack.Send(0, []byte("ping"))
	w.run(func() bool { return w.user[0].ended > 0 })
	if u := w.user[0]; u.errno != unix.ETIMEDOUT || w.stack.Stats().Retransmitted != triesMax {
		t.Errorf("no acknowledgement: %+v, %+v", u, w.stack.Stats())
	}
}

// What nobody acknowledges is bounded.
func TestFlightLimit(t *testing.T) {
	w, p := established(t)
	p.silent = true
	sent := 0
	for w.stack.Send(0, make([]byte, 1000)) == 0 {
		sent += 1000
	}
	if sent == 0 || sent > flightBytesMax {
		t.Errorf("%d bytes under way", sent)
	}
	if errno := w.stack.Send(0, make([]byte, 1000)); errno != unix.ENOBUFS {
		t.Errorf("more: %v", errno)
	}
}

// What is for somebody else, or broken, is counted and nothing else.
func TestForeign(t *testing.T) {
	w, _ := established(t)
	s := w.plan.segment(0)
	s.Source, s.Target, s.SourcePort, s.TargetPort = s.Target, s.Source, s.TargetPort, s.SourcePort
	s.Flags = flagACK
	for _, change := range []func(*Segment){
		func(s *Segment) { s.Target-- },
		func(s *Segment) { s.Target += 7 },
		func(s *Segment) { s.TargetPort++ },
		func(s *Segment) { s.TargetPort = 80 },
		func(s *Segment) { s.SourcePort++ },
		func(s *Segment) { s.Source++ },
	} {
		other := s
		change(&other)
		w.stack.Input(other.Append(nil, false))
	}
	w.stack.Input([]byte{0x45, 0})
	if stats := w.stack.Stats(); stats.Foreign != 6 || stats.Malformed != 1 || len(w.sent()) != 0 {
		t.Errorf("%+v", stats)
	}
}

// Delivering a message and acknowledging it makes no garbage.
func TestNoAllocations(t *testing.T) {
	w, _ := established(t)
	w.stack.config.Write = func([]byte) syscall.Errno { return 0 }
	s := w.plan.segment(0)
	s.Source, s.Target, s.SourcePort, s.TargetPort = s.Target, s.Source, s.TargetPort, s.SourcePort
	s.Flags, s.Payload = flagACK, make([]byte, 256)
	packet := make([]byte, 0, 2000)
	w.user[0].got = make([]byte, 0, 1<<20)
	if n := testing.AllocsPerRun(1000, func() {
		s.Seq, s.Ack = w.stack.conns.At(0).rcvNxt, w.stack.conns.At(0).sndNxt
		packet = s.Append(packet[:0], false)
		w.stack.Input(packet)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(w.user[0].got) != 1001*256 {
		t.Errorf("%d bytes", len(w.user[0].got))
	}
}
