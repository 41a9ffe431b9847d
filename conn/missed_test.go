package conn

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"c10m/conn/reasons"
	"c10m/poller"

	"github.com/gobwas/ws"
)

// begun waits until an interruption has reached all loops.
func (s *testServer) begun() { s.hub.Channels(func(string) bool { return false }, 1) }

// Who came after the interruption is not told of it, wherever the walk is.
func TestWalkTellsNoNewcomers(t *testing.T) {
	s := startServer(t, 2, testConfig())
	clients := s.members(t, 20)
	s.hub.Interrupted(time.Hour)
	s.begun()
	newcomers := s.members(t, 20)
	s.onLoops(func(l *poller.Loop, server *Server) {
		l.Walk(0, 1<<16, func(fd uint32) { many{server}.TellMissed(fd) })
	})
	for _, c := range clients {
		c.expect(closing(reasons.CodeMissedMessages))
	}
	s.publish(t, "news", "hello")
	for _, c := range newcomers {
		c.expect(wireFrame{opcode: ws.OpText, payload: "hello"})
	}
	closeAll(clients)
	closeAll(newcomers)
	s.checkNothingLeft(t)
}

func TestInterruptedTellsThoseWhoWereOpenAndNobodyElse(t *testing.T) {
	for _, over := range []time.Duration{0, 50 * time.Millisecond} {
		s := startServer(t, 2, testConfig())
		clients := s.members(t, 60)
		s.hub.Interrupted(over)
		s.begun()
		var newcomers []*rawClient
		for _, c := range clients {
			if got := c.frames(); !slices.Equal(got, []wireFrame{closing(reasons.CodeMissedMessages)}) {
				t.Fatalf("got %v", got)
			}
			// One comes back for each that leaves, under the number that it had.
			c.Close()
			newcomers = append(newcomers, s.upgrade(t, "/news"))
		}
		waitFor(t, "the walk is over", func() bool {
			walks := 0
			s.onLoops(func(_ *poller.Loop, server *Server) {
				if server.gaps.Step() != math.MaxInt64 {
					walks++
				}
			})
			return walks == 0
		})
		if n := s.publish(t, "news", "hello"); n != len(newcomers) {
			t.Errorf("%d of %d newcomers are there", n, len(newcomers))
		}
		for _, c := range newcomers {
			c.expect(wireFrame{opcode: ws.OpText, payload: "hello"})
		}
		if n := s.closes(reasons.MissedMessages); n != uint64(len(clients)) {
			t.Errorf("%d of %d were told", n, len(clients))
		}
		closeAll(newcomers)
		s.checkNothingLeft(t)
	}
}

// It is even over the time that it is given, whoever comes back meanwhile, and a
// second gap in the middle of it tells those who came after the first, too.
func TestInterruptedIsEvenAndGoesRoundAgain(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Now())
	const n, over, steps = 100, 10 * time.Second, 200
	s.members(t, n)
	s.hub.Interrupted(over)
	s.begun()
	for i := 1; i <= steps/2; i++ {
		s.step(kernel, over/steps)
		closed, due := int(s.closes(reasons.MissedMessages)), n*i/steps
		if closed < due-3 || closed > due+3 {
			t.Fatalf("after %d of %d steps %d of %d are closed", i, steps, closed, n)
		}
	}
	first := int(s.closes(reasons.MissedMessages))
	s.members(t, 50)
	s.hub.Interrupted(over)
	s.begun()
	stay := s.members(t, 7)
	// The second does not make those of the first wait.
	for range steps/2 + 2 {
		s.step(kernel, over/steps)
	}
	if closed := int(s.closes(reasons.MissedMessages)); closed < n {
		t.Errorf("%d of %d that were there at the first gap are told in its time", closed, n)
	}
	for range steps + 10 {
		s.step(kernel, over/steps)
	}
	if closed := int(s.closes(reasons.MissedMessages)); closed != n+50 {
		t.Errorf("%d were closed, %d of them before the second gap; %d should be", closed, first, n+50)
	}
	if got := s.publish(t, "news", "hello"); got != len(stay) {
		t.Errorf("%d of %d are left", got, len(stay))
	}
	for _, c := range stay {
		c.expect(wireFrame{opcode: ws.OpText, payload: "hello"})
	}
}

// A drain that begins meanwhile closes all at its pace, and still tells those who are
// untold: after 1012 they would take it that they missed nothing.
func TestDrainTellsWhoIsUntold(t *testing.T) {
	s := startServer(t, 2, testConfig())
	clients := s.members(t, 20)
	s.hub.Interrupted(time.Hour)
	s.begun()
	s.sockets.StopAccepting(0)
	var done sync.WaitGroup
	done.Go(func() { Drain(s.servers, 0) })
	for _, c := range clients {
		if got := c.frames(); !slices.Equal(got, []wireFrame{closing(reasons.CodeMissedMessages)}) {
			t.Fatalf("got %v", got)
		}
		c.Close()
	}
	done.Wait()
	s.checkNothingLeft(t)
}

// Who came before and who came after a moment is told by generations.
func TestCameAfter(t *testing.T) {
	s := startServer(t, 1, testConfig())
	old := s.members(t, 3)
	s.onLoops(func(l *poller.Loop, _ *Server) {
		latest := l.Latest()
		l.Walk(0, 10, func(fd uint32) {
			if l.CameAfter(fd, latest) || !l.CameAfter(fd, latest-3) {
				t.Errorf("%d of generation %d, latest %d", fd, l.Generation(fd), latest)
			}
		})
	})
	closeAll(old)
	s.checkNothingLeft(t)
}
