package conn

import (
	"testing"
	"time"

	"c10m/conn/reasons"
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
	if got := s.counts(); len(got) != 1 || got[reasons.Stopped] != 11 {
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
			server.frames.readFrames(some, buffer[:copy(buffer, frame)])
		}); n != 0 {
			t.Errorf("a ping and its pong allocate %v times", n)
		}
		if n := testing.AllocsPerRun(100, func() {
			server.frames.readFrames(some, buffer[:copy(buffer, frame[:5])])
			server.frames.readFrames(some, buffer[:copy(buffer, frame[5:])])
		}); n != 0 {
			t.Errorf("a ping in two pieces allocates %v times", n)
		}
	})
	closeAll(clients)
	s.checkNothingLeft(t)
}
