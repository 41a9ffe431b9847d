package conn

import (
	"testing"
	"time"

	"c10m/poller"

	"github.com/gobwas/ws"
)

// members opens n members of a channel each.
func (s *testServer) members(t testing.TB, n int) (all []*rawClient) {
	for range n {
		all = append(all, s.upgrade(t, "/news"))
	}
	return all
}

func closeAll(clients []*rawClient) {
	for _, c := range clients {
		c.Close()
	}
}

// batch calls walk until it does not want to be called again at once, and
// returns the visits and the time at which it then wants to.
func (p *pacer) batch(t *testing.T, l *poller.Loop, interval time.Duration, visit func(fd uint32)) (visits int, next int64) {
	for {
		slice := 0
		next = p.walk(l, int64(l.Connections()), interval, func(fd uint32) { visit(fd); slice++ })
		if visits += slice; slice > walkPerTickMax {
			t.Errorf("%d visits in a slice", slice)
		}
		if next > l.Now() {
			return visits, next
		}
	}
}

// The pacer visits everybody once per interval, whatever the steps, and never
// in bursts.
func TestPacerVisitsEverybodyOncePerInterval(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Now())
	const interval, rounds = 10 * time.Second, 3
	for _, n := range []int{1, 3, pingBatchMax + 20} {
		clients := s.members(t, n)
		for _, steps := range []int{1, 7, 100, 300} {
			visits := make(map[uint32]int)
			var p pacer
			s.onLoops(func(l *poller.Loop, _ *Server) { p.start(l.Now()) })
			for range steps * rounds {
				s.step(kernel, interval/time.Duration(steps))
				s.onLoops(func(l *poller.Loop, _ *Server) {
					step, _ := p.batch(t, l, interval, func(fd uint32) { visits[fd]++ })
					if most := min(pingBatchMax, n); step > most {
						t.Errorf("%d connections, %d steps: %d visits in one step", n, steps, step)
					}
				})
			}
			least, most, sum := rounds+1, 0, 0
			for _, v := range visits {
				least, most, sum = min(least, v), max(most, v), sum+v
			}
			// One step of more than pingBatchMax: the round takes longer.
			if n > pingBatchMax && steps == 1 {
				if most-least > 1 || sum != rounds*pingBatchMax {
					t.Errorf("%d connections, %d steps: %d to %d visits, %d in all", n, steps, least, most, sum)
				}
				continue
			}
			// What is due since the last beat comes with the next.
			pending := 1 + n*int(time.Second)/int(interval)
			if len(visits) < n || least < rounds-1 || most > rounds+1 || sum < rounds*n-pending || sum > rounds*n {
				t.Errorf("%d connections, %d steps: %d visited, %d to %d times, %d in all", n, steps, len(visits), least, most, sum)
			}
		}
		closeAll(clients)
		waitFor(t, "they are gone", func() bool { return s.shared.Open() == 0 })
	}
}

// Batches are as rare as evenness and their largest size let them be.
func TestBeatOf(t *testing.T) {
	for _, tc := range []struct {
		perSecond, all float64
		interval       time.Duration
		wanted         time.Duration
	}{
		{10, 10, 5 * time.Minute, 4 * time.Second},
		{10, 10, 2*time.Minute + 8*time.Second, 2 * time.Second},
		{10, 10, time.Minute, time.Second},
		{10, 10, 20 * time.Millisecond, time.Second},
		{pingBatchMax / 8, 3000, 5 * time.Minute, 4 * time.Second},
		{pingBatchMax / 4, 3000, 5 * time.Minute, 2 * time.Second},
		{pingBatchMax, 3000, time.Minute, time.Second / 2},
		{pingBatchMax * 1e6, pingBatchMax * 1e6, 5 * time.Minute, walkTickMin},
		{10, beatGroups * pingBurstMax / 4, 5 * time.Minute, 4 * time.Second},
		{10, beatGroups * pingBurstMax, 5 * time.Minute, time.Second},
	} {
		got := time.Duration(beatOf(tc.perSecond/1e9, tc.all/1e9, tc.interval))
		if got > tc.wanted || got <= tc.wanted/2 {
			t.Errorf("%g a second, every %s: a batch each %s, not %s", tc.perSecond, tc.interval, got, tc.wanted)
		}
	}
}

// When walk wants to be called again is soon enough to lose nothing.
func TestPacerAsksInTime(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Now())
	clients := s.members(t, 10)
	var p pacer
	next, visited := int64(0), 0
	s.onLoops(func(l *poller.Loop, _ *Server) { p.start(l.Now()); next = l.Now() })
	begin, interval := next, 5*time.Second
	for next < begin+int64(10*interval) {
		s.step(kernel, time.Duration(next-kernel.Now()))
		s.onLoops(func(l *poller.Loop, _ *Server) {
			_, again := p.batch(t, l, interval, func(uint32) { visited++ })
			if again <= l.Now() || again > l.Now()+int64(interval) {
				t.Errorf("walk wants to be called after %d ns", again-l.Now())
				again = l.Now() + int64(interval)
			}
			next = again
		})
	}
	if visited < 10*len(clients)-len(clients) || visited > 10*len(clients) {
		t.Errorf("%d visits in ten intervals of %d connections", visited, len(clients))
	}
	closeAll(clients)
}

func TestServerPingsEverybody(t *testing.T) {
	config := testConfig()
	config.PingInterval = 20 * time.Millisecond
	s := startServer(t, 2, config)
	clients := s.members(t, 20)
	half := s.connect(t) // not pinged before it is upgraded
	half.send([]byte("GET "))
	for range 3 {
		for _, c := range clients {
			c.expect(wireFrame{opcode: ws.OpPing})
		}
	}
	half.send([]byte(upgradeRequest("/news")[4:]))
	half.expectUpgrade()
	half.expect(wireFrame{opcode: ws.OpPing})
	for _, c := range clients {
		c.send(clientFrame(0x8a, nil))
	}
	waitFor(t, "the pongs", func() bool {
		return s.sum(func(s *Server) int64 { return int64(s.Stats().PongsIn.Load()) }) == int64(len(clients))
	})
	if n := s.sum(func(s *Server) int64 { return int64(s.Stats().Pings.Load()) }); n < int64(3*len(clients)) {
		t.Errorf("%d pings were counted", n)
	}
	closeAll(append(clients, half))
	s.checkNothingLeft(t)
}

// A full socket is not pinged: the data in it already asks whether the peer is
// there.
func TestNoPingIntoAFullSocket(t *testing.T) {
	s := startServer(t, 1, testConfig(), smallSendBuffer)
	slow := s.upgradeSlow(t, "/news")
	s.block(t, "news")
	s.onLoops(func(l *poller.Loop, server *Server) { l.Walk(0, 1<<20, server.pingOne) })
	stats := s.servers[0].Stats()
	if stats.Pings.Load() != 0 || stats.PingsSkipped.Load() != 1 {
		t.Errorf("%d pings, %d skipped", stats.Pings.Load(), stats.PingsSkipped.Load())
	}
	slow.Close()
	s.checkNothingLeft(t)
}

func TestStopCountsEverybody(t *testing.T) {
	s := startServer(t, 2, testConfig())
	s.members(t, 10)
	s.connect(t).send([]byte("GET "))
	waitFor(t, "half a request is there", func() bool {
		return s.sum(func(s *Server) int64 { return s.Stats().Unfinished.Load() }) == 1
	})
	s.poller.Stop()
	if got := s.counts(); len(got) != 1 || got[Stopped] != 11 {
		t.Errorf("reasons %v", got)
	}
	open := func(s *Server) int64 {
		return s.Stats().Open.Load() + s.Stats().Unfinished.Load() + s.ChannelStats().Members.Load() + int64(len(s.cold))
	}
	if n := s.sum(open); n != 0 || s.shared.Open() != 0 {
		t.Errorf("%d are left over", n)
	}
}

// A loop with idle connections ticks, pings and answers pings without
// allocating.
func TestIdleAllocatesNothing(t *testing.T) {
	s := startServer(t, 1, testConfig())
	clients := s.members(t, 50)
	s.onLoops(func(l *poller.Loop, server *Server) {
		if n := testing.AllocsPerRun(100, func() { server.Tick() }); n != 0 {
			t.Errorf("an idle tick allocates %v times", n)
		}
		if n := testing.AllocsPerRun(20, func() { l.Walk(0, 1<<20, server.pingOne) }); n != 0 {
			t.Errorf("pinging 50 connections allocates %v times", n)
		}
		var some uint32
		l.Walk(0, 1, func(fd uint32) { some = fd })
		if n := testing.AllocsPerRun(100, func() { l.ArmWrite(some, true); l.ArmWrite(some, false) }); n != 0 {
			t.Errorf("to watch a connection allocates %v times", n)
		}
		frame, buffer := clientPing("payload"), make([]byte, 64)
		if n := testing.AllocsPerRun(100, func() {
			server.readFrames(some, buffer[:copy(buffer, frame)])
		}); n != 0 {
			t.Errorf("a ping and its pong allocate %v times", n)
		}
		if n := testing.AllocsPerRun(100, func() {
			server.readFrames(some, buffer[:copy(buffer, frame[:5])])
			server.readFrames(some, buffer[:copy(buffer, frame[5:])])
		}); n != 0 {
			t.Errorf("a ping in two pieces allocates %v times", n)
		}
	})
	closeAll(clients)
	s.checkNothingLeft(t)
}

// The queue of deadlines keeps its order and its memory while connections come
// and go.
func TestDeadlines(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install)
	kernel.clock.Store(kernel.Now())
	clients := s.members(t, 3)
	var fds []uint32
	var d deadlines
	late := make(map[uint32]int)
	s.onLoops(func(l *poller.Loop, _ *Server) { l.Walk(0, 10, func(fd uint32) { fds = append(fds, fd) }) })
	const timeout, rounds = time.Second, 1000
	for i := range rounds {
		s.onLoops(func(l *poller.Loop, _ *Server) {
			d.add(l, fds[i%3], timeout)
			d.expire(l, phaseOpen, func(fd uint32) { late[fd]++ })
			if len(d.queue)-d.first > 12 || cap(d.queue) > 64 {
				t.Errorf("after %d: %d wait, in %d", i, len(d.queue)-d.first, cap(d.queue))
			}
		})
		kernel.clock.Add(int64(timeout / 10))
		s.onLoops(func(*poller.Loop, *Server) {})
	}
	if sum := late[fds[0]] + late[fds[1]] + late[fds[2]]; sum < rounds-12 || sum > rounds-8 {
		t.Errorf("%d of %d came due", sum, rounds)
	}
	// Those of another phase and former owners of a number are passed over.
	kernel.clock.Add(int64(time.Minute))
	s.onLoops(func(*poller.Loop, *Server) {})
	s.onLoops(func(l *poller.Loop, _ *Server) {
		d.expire(l, phaseLingering, func(fd uint32) { t.Errorf("%d is not lingering", fd) })
		for _, fd := range fds {
			d.add(l, fd, -1)
			d.queue[len(d.queue)-1].generation--
		}
		d.expire(l, phaseOpen, func(fd uint32) { t.Errorf("%d had another owner", fd) })
		if d.queue != nil {
			t.Error("an empty queue keeps its memory")
		}
	})
	closeAll(clients)
	s.checkNothingLeft(t)
}
