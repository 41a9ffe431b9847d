package conn

import (
	"slices"
	"sync"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/conn/walks"
	"c10m/poller"

	"github.com/gobwas/ws"
)

// drainNoticed is the frame that tells of a drain.
var drainNoticed = wireFrame{opcode: ws.OpPing, payload: walks.DrainNotice}

func TestDrainClosesEverybody(t *testing.T) {
	for _, over := range []time.Duration{0, 50 * time.Millisecond} {
		s := startServer(t, 2, testConfig())
		clients := s.members(t, 60)
		half := s.connect(t)
		half.send([]byte("GET "))
		waitFor(t, "half a request is there", func() bool {
			return s.sum(func(s *Server) int64 { return s.Stats().Unfinished.Load() }) == 1
		})
		s.sockets.StopAccepting(0)
		done := make(chan struct{})
		go func() { Drain(s.servers, over); close(done) }()
		for _, c := range clients {
			want := []wireFrame{drainNoticed, closing(1012)}
			if over == 0 {
				want = want[1:]
			}
			// A loop that is late closes some without.
			if got := c.frames(); !slices.Equal(got, want) && !slices.Equal(got, want[len(want)-1:]) {
				t.Fatalf("got %v", got)
			}
			c.Close()
		}
		half.expectRefusal(t, 503, reasons.RequestDraining, "Retry-After: ")
		half.Close()
		<-done
		s.checkNothingLeft(t)
		if got := s.counts(); len(got) != 2 || got[reasons.Draining] != len(clients) || got[reasons.RequestDraining] != 1 {
			t.Errorf("reasons %v", got)
		}
	}
}

func TestDrainOfNobodyReturns(t *testing.T) {
	s := startServer(t, 2, testConfig())
	s.sockets.StopAccepting(0)
	Drain(s.servers, time.Hour)
	s.checkNothingLeft(t)
}

// A heldDrain is a drain of one loop in the test's own time.
type heldDrain struct {
	*testServer
	kernel *testKernel
	done   sync.WaitGroup
}

func startHeldDrain(t *testing.T, over time.Duration, prepare func(s *testServer)) *heldDrain {
	d := &heldDrain{kernel: &testKernel{}}
	config := testConfig()
	config.PingInterval = 0
	d.testServer = startServer(t, 1, config, d.kernel.install)
	d.kernel.clock.Store(d.kernel.Now())
	prepare(d.testServer)
	d.sockets.StopAccepting(0)
	d.done.Go(func() { Drain(d.servers, over) })
	waitFor(t, "the drain begins", func() bool {
		isDraining := false
		d.onLoops(func(_ *poller.Loop, server *Server) { isDraining = server.draining.IsOn() })
		return isDraining
	})
	return d
}

// pass moves the time in steps that are shorter than a tick of the drain.
func (d *heldDrain) pass(by time.Duration) {
	const step = 50 * time.Millisecond
	for ; by > 0; by -= step {
		d.step(d.kernel, min(by, step))
	}
}

// end waits for the drain, in which nobody answers.
func (d *heldDrain) end(t *testing.T) {
	t.Helper()
	d.pass(2 * lingerTimeout)
	d.done.Wait()
	d.checkNothingLeft(t)
}

func (d *heldDrain) notices() int { return int(d.servers[0].Stats().Notices.Load()) }

// A drain is even, with a notice before each close, and does not wait for those
// who do not answer.
func TestDrainIsEvenAndEnds(t *testing.T) {
	for _, c := range []struct{ over, notice time.Duration }{
		{30 * time.Second, 5 * time.Second},
		{4 * time.Second, 2 * time.Second},
	} {
		const n, steps = 100, 200
		d := startHeldDrain(t, c.over, func(s *testServer) { s.members(t, n) })
		for i := 1; i < steps; i++ {
			d.step(d.kernel, c.over/steps)
			at, pace := c.over*time.Duration(i)/steps, c.over-c.notice
			due := func(at time.Duration) int { return n * int(min(max(at, 0), pace)) / int(pace) }
			closed, closes := int(d.closes(reasons.Draining)), due(at-c.notice)
			told, tells := d.notices(), due(at)
			if closed < closes-3 || closed > closes+3 || told < tells-3 || told > tells+3 {
				t.Fatalf("over %v, after %d of %d steps: %d told and %d closed of %d, and %d and %d are due",
					c.over, i, steps, told, closed, n, tells, closes)
			}
		}
		d.end(t)
		if got := d.counts(); len(got) != 1 || got[reasons.Draining] != n || d.notices() != n {
			t.Errorf("reasons %v, %d notices", got, d.notices())
		}
	}
}

// Each has its time between the notice and the close, also where those who were
// told before it have left at once, so that few are left to close.
func TestDrainLeavesTimeToMove(t *testing.T) {
	const n, over = 60, 12 * time.Second
	var clients []*rawClient
	d := startHeldDrain(t, over, func(s *testServer) { clients = s.members(t, n) })
	// Every tenth stays until it is closed.
	stays := func(i int) bool { return i%10 == 9 }
	told, left := 0, 0
	toldAt, closedBy := make([]int, n), 0
	for step := 1; closedBy < n/10; step++ {
		if step > 1000 {
			t.Fatalf("%d told, %d left, %d closed", told, left, closedBy)
		}
		d.pass(100 * time.Millisecond)
		for ; told < d.notices(); told++ {
			toldAt[told] = step
			clients[told].expect(drainNoticed)
			if !stays(told) {
				clients[told].Close()
				left++
			}
		}
		waitFor(t, "they have left", func() bool { return int(d.closes(reasons.ClientGone)+d.closes(reasons.ClientReset)) == left })
		for ; closedBy < int(d.closes(reasons.Draining)); closedBy++ {
			i := closedBy*10 + 9
			clients[i].expect(closing(1012))
			if waited := step - toldAt[i]; toldAt[i] == 0 || waited < 48 || waited > 53 {
				t.Fatalf("client %d was told at step %d and closed at step %d of a tenth of a second", i, toldAt[i], step)
			}
		}
	}
	d.end(t)
}

// A loop that was held up past the end of the drain still says 1012 to each.
func TestDrainThatIsLateStillSays1012(t *testing.T) {
	const n = timers.EvenPerTickMax + 20
	var clients []*rawClient
	d := startHeldDrain(t, 10*time.Second, func(s *testServer) { clients = s.members(t, n) })
	d.step(d.kernel, 10*time.Second+2*lingerTimeout)
	d.pass(time.Second)
	for i, c := range clients {
		if f, err := c.frame(); err != nil || f != closing(1012) {
			t.Fatalf("client %d: %v %v", i, f, err)
		}
	}
	d.end(t)
	if got := d.counts(); len(got) != 1 || got[reasons.Draining] != n {
		t.Errorf("reasons %v", got)
	}
}

// Whose request is complete only when the telling has passed is told at once.
func TestDrainTellsWhoUpgradesLate(t *testing.T) {
	var late *rawClient
	d := startHeldDrain(t, 10*time.Second, func(s *testServer) {
		late = s.connect(t)
		late.send([]byte("GET "))
		waitFor(t, "half a request is there", func() bool { return s.servers[0].Stats().Unfinished.Load() == 1 })
	})
	d.pass(6 * time.Second)
	late.send([]byte(upgradeRequest("/news")[4:]))
	late.expectUpgrade()
	late.expect(drainNoticed)
	d.pass(2 * time.Second)
	if n := d.closes(reasons.Draining); n != 0 {
		t.Fatal("closed before the end of the drain")
	}
	d.pass(3 * time.Second)
	late.expect(closing(1012))
	d.end(t)
}

// A socket that is full is not told, and is closed in its turn.
func TestDrainSkipsNoticeIntoAFullSocket(t *testing.T) {
	s := startServer(t, 1, testConfig(), smallSendBuffer)
	slow := s.upgradeSlow(t, "/news")
	s.block(t, "news")
	s.onLoops(func(l *poller.Loop, server *Server) { l.Walk(0, 1<<20, many{server}.Notice) })
	stats := s.servers[0].Stats()
	if stats.Notices.Load() != 0 || stats.NoticesSkipped.Load() != 1 {
		t.Errorf("%d notices, %d skipped", stats.Notices.Load(), stats.NoticesSkipped.Load())
	}
	slow.Close()
	s.checkNothingLeft(t)
}

// What was published before a close is brought before it, however far behind the sweep
// is: here it is paced and has not begun.
func TestDrainBringsWhatTheSweepOwes(t *testing.T) {
	for _, over := range []time.Duration{0, 50 * time.Millisecond} {
		config := withHistory(10) // streams are told their position
		config.PingInterval = 0
		config.Channel.Pace = &channel.Pace{}
		s := startServer(t, 2, config)
		clients := s.members(t, 80) // more on a loop than what is not paced
		twoWay := s.upgradeTwoWay(t, "/", text("SUB news"), text("SUB other"))
		twoWay.command()
		twoWay.command()
		stream := s.events(t, "/news")
		stream.block()
		config.Channel.Pace.SetMost(1)
		s.publish(t, "news", "one")
		s.publish(t, "news", "two")
		s.sockets.StopAccepting(0)
		done := make(chan struct{})
		go func() { Drain(s.servers, over); close(done) }()
		for _, c := range clients {
			got := slices.DeleteFunc(c.frames(), func(f wireFrame) bool { return f == drainNoticed })
			if want := []wireFrame{message("one"), message("two"), closing(1012)}; !slices.Equal(got, want) {
				t.Fatalf("got %v", got)
			}
			c.Close()
		}
		if over == 0 { // without a notice
			twoWay.expectCommands("MSG news #\none", "MSG news #\ntwo", "closed with 1012")
			stream.expectPayloads("one", "two")
		}
		twoWay.Close()
		stream.Close()
		<-done
		s.checkNothingLeft(t)
	}
}

// Who cannot be brought all of it, since his socket is full, is told that and not 1012.
func TestDrainTellsWhoIsBehind(t *testing.T) {
	s := startServer(t, 1, testConfig(), smallSendBuffer)
	slow := s.upgradeSlow(t, "/news")
	published := s.block(t, "news")
	for range 3 { // behind the one of which a part is in the socket
		s.publish(t, "news", numbered(published))
		published++
	}
	s.sockets.StopAccepting(0)
	var done sync.WaitGroup
	done.Go(func() { Drain(s.servers, 0) })
	waitFor(t, "it is closed", func() bool { return len(s.counts()) > 0 })
	got := slow.frames()
	if n := len(got); n == 0 || n > published || got[n-1] != closing(reasons.CodeMissedMessages) {
		t.Errorf("%d messages were published, and %d frames came, of which the last is %.60v", published, n, got[max(n-1, 0):])
	}
	for i, f := range got[:len(got)-1] {
		if numberOf(t, f) != i {
			t.Errorf("message %d came as the %dth", numberOf(t, f), i)
		}
	}
	slow.Close()
	done.Wait()
	s.checkNothingLeft(t)
	if got := s.counts(); len(got) != 1 || got[reasons.MissedMessages] != 1 {
		t.Errorf("reasons %v", got)
	}
}
