package conn

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/conn/reasons"
	"c10m/poller"
	"c10m/poller/epoll"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// smallSendBuffer makes the server's end of a socket full soon.
func smallSendBuffer(settings *epoll.Config, _ *Shared) { settings.Options.SendBufferBytes = 4608 }

// dialSlow makes a connection that the kernel holds little for.
func (s *testServer) dialSlow(t testing.TB) *rawClient {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2048) })
		return err
	}}
	conn, err := dialer.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	return newRawClient(t, conn)
}

// upgradeSlow makes a member of it.
func (s *testServer) upgradeSlow(t testing.TB, path string) *rawClient {
	t.Helper()
	c := s.dialSlow(t)
	c.send([]byte(upgradeRequest(path)))
	c.expectUpgrade()
	return c
}

// numbered is message i of a test, long enough to fill small buffers soon.
func numbered(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", 1500+i%700)) }

// numberOf checks a message and returns its number.
func numberOf(t testing.TB, f wireFrame) int {
	t.Helper()
	text, _, _ := strings.Cut(f.payload, " ")
	i, err := strconv.Atoi(text)
	if err != nil || f.opcode != ws.OpText || f.payload != numbered(i) {
		t.Fatalf("this is no numbered message: %v %.30q of %d bytes", f.opcode, f.payload, len(f.payload))
	}
	return i
}

// publishInStep publishes numbered messages, never far ahead of the readers,
// each of whom must get every one.
func (s *testServer) publishInStep(t testing.TB, messages int, readers ...*rawClient) {
	t.Helper()
	const ahead = 10
	for i := range messages + ahead {
		if i < messages {
			s.publish(t, "news", numbered(i))
		}
		for _, c := range readers {
			if i < ahead {
				continue
			}
			if f, err := c.frame(); err != nil || numberOf(t, f) != i-ahead {
				t.Fatalf("a fast reader got %.30v %v where message %d is due", f, err, i-ahead)
			}
		}
	}
}

func blocked(s *testServer) int64 {
	return s.sum(func(s *Server) int64 { return s.ChannelStats().Blocked.Load() })
}

// Who never reads is closed when its channel's log is too long; all others
// get everything meanwhile.
func TestSlowReaderIsClosedByBytes(t *testing.T) {
	config := testConfig()
	config.Channel.LogBytes = 64 << 10
	s := startServer(t, 2, config, smallSendBuffer)
	const messages = 400
	var slow, readers []*rawClient
	for range 6 {
		slow = append(slow, s.upgradeSlow(t, "/news"))
	}
	for range 10 {
		readers = append(readers, s.upgrade(t, "/news"))
	}
	s.publishInStep(t, messages, readers...)
	waitFor(t, "the slow are closed", func() bool { return s.closes(reasons.SlowBytes) == uint64(len(slow)) })
	if n := s.publish(t, "news", "members?"); n != len(readers) {
		t.Errorf("%d members are left, want %d", n, len(readers))
	}
	for _, c := range append(slow, readers...) {
		c.Close()
	}
	s.checkNothingLeft(t)
	if got := s.counts(); got[reasons.SlowBytes] != len(slow) || got[reasons.ClientGone]+got[reasons.ClientReset] != len(readers) {
		t.Errorf("reasons %v", got)
	}
}

// Who never reads is closed when what it is owed is too old, however little.
func TestSlowReaderIsClosedByAge(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), smallSendBuffer, kernel.install)
	kernel.clock.Store(kernel.Now())
	// The hub's clock has to be the held one, too.
	slow, reader := s.upgradeSlow(t, "/news"), s.upgrade(t, "/news")
	messages := 0
	for ; blocked(s) == 0; messages++ {
		s.publish(t, "news", numbered(messages))
		if f, err := reader.frame(); err != nil || numberOf(t, f) != messages {
			t.Fatal(err)
		}
	}
	s.step(kernel, s.shared.Config.Channel.LogAge*9/10)
	if blocked(s) != 1 {
		t.Fatal("the slow reader was closed before its time")
	}
	s.step(kernel, s.shared.Config.Channel.LogAge/5)
	waitFor(t, "the slow reader is closed", func() bool {
		s.step(kernel, time.Second)
		return s.closes(reasons.SlowAge) == 1
	})
	if n := s.publish(t, "news", numbered(messages)); n != 1 {
		t.Errorf("%d members are left", n)
	}
	if f, err := reader.frame(); err != nil || numberOf(t, f) != messages {
		t.Fatal(err)
	}
	slow.Close()
	reader.Close()
	s.checkNothingLeft(t)
}

// With Skip a slow reader keeps its connection and loses messages: its stream
// stays a row of whole frames in order, and the gap is counted.
func TestSlowReaderSkips(t *testing.T) {
	config := testConfig()
	config.Channel.LogBytes, config.Channel.Skip = 64<<10, true
	s := startServer(t, 1, config, smallSendBuffer)
	slow, reader := s.upgradeSlow(t, "/news"), s.upgrade(t, "/news")
	const messages = 300
	s.publishInStep(t, messages, reader)
	received, skipped, last := 0, 0, -1
	for last != messages-1 {
		f, err := slow.frame()
		if err != nil {
			t.Fatalf("after message %d: %v", last, err)
		}
		number := numberOf(t, f)
		if number <= last {
			t.Fatalf("message %d after message %d", number, last)
		}
		received, skipped, last = received+1, skipped+number-last-1, number
	}
	counted := s.servers[0].ChannelStats().Skipped.Load()
	if skipped == 0 || uint64(skipped) != counted {
		t.Errorf("%d messages were received and %d skipped; %d were counted", received, skipped, counted)
	}
	slow.Close()
	reader.Close()
	s.checkNothingLeft(t)
}

// block publishes until the only slow reader is behind, in the middle of a
// frame: the kernel fills a socket to the last byte.
func (s *testServer) block(t testing.TB, name string) (messages int) {
	for isStill := false; !isStill; isStill = blocked(s) > 0 {
		for ; blocked(s) == 0; messages++ {
			s.publish(t, name, numbered(messages))
		}
		// What is under way may make room yet.
		s.settle(t)
	}
	midFrame := 0
	s.onLoops(func(l *poller.Loop, server *Server) {
		l.Walk(0, 1<<20, func(fd uint32) {
			if server.registry.MidFrame(fd) {
				midFrame++
			}
		})
	})
	if midFrame != 1 {
		t.Fatalf("%d members are in the middle of a frame", midFrame)
	}
	return messages
}

// settle waits until the kernel has delivered to its clients all that they have room
// for, and every loop has heard of it.
func (s *testServer) settle(t testing.TB) {
	t.Helper()
	waitFor(t, "nothing is under way", func() bool {
		underWay := 0
		s.onLoops(func(l *poller.Loop, _ *Server) {
			l.Walk(0, 1<<20, func(fd uint32) {
				unacknowledged, err1 := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
				unsent, err2 := unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD)
				if err1 != nil || err2 != nil || unacknowledged > unsent {
					underWay++
				}
			})
		})
		return underWay == 0
	})
	for range 2 {
		s.onLoops(func(*poller.Loop, *Server) {})
	}
}

// A ping that meets a frame partly in the socket is answered after that frame
// and before the next, and a close likewise.
func TestPingWhileBlockedMidFrame(t *testing.T) {
	s := startServer(t, 1, testConfig(), smallSendBuffer)
	slow := s.upgradeSlow(t, "/news")
	messages := s.block(t, "news")
	for range 10 {
		s.publish(t, "news", numbered(messages))
		messages++
	}
	slow.send(join(clientPing("one"), clientPing("two")))
	waitFor(t, "the pings are read", func() bool { return s.servers[0].Stats().Pongs.Load() == 2 })
	slow.send(clientPing("three"))
	waitFor(t, "the ping is read", func() bool { return s.servers[0].Stats().Pongs.Load() == 3 })
	next, pongs := 0, []string(nil)
	for next < messages {
		f, err := slow.frame()
		if err != nil {
			t.Fatalf("after message %d: %v", next-1, err)
		}
		if f.opcode == ws.OpPong {
			pongs = append(pongs, f.payload)
			continue
		}
		if i := numberOf(t, f); i != next {
			t.Fatalf("message %d where %d is due", i, next)
		}
		if next++; next == messages && len(pongs) < 3 {
			t.Error("the pongs waited for the whole log")
		}
	}
	if !slices.Equal(pongs, []string{"one", "two", "three"}) {
		t.Errorf("pongs %q", pongs)
	}
	slow.Close()
	s.checkNothingLeft(t)
}

// A close frame is answered after the frame under way, instead of the rest of
// the log; so is an error.
func TestCloseWhileBlockedMidFrame(t *testing.T) {
	for _, c := range []struct {
		send   []byte
		want   wireFrame
		reason reasons.Reason
	}{
		{clientClose(1000, "enough"), closing(1000), reasons.ClientClosed},
		{clientFrame(0x81, []byte("text")), closing(1003), reasons.DataRefused},
	} {
		s := startServer(t, 1, testConfig(), smallSendBuffer)
		slow := s.upgradeSlow(t, "/news")
		messages := s.block(t, "news")
		for range 10 {
			s.publish(t, "news", numbered(messages))
			messages++
		}
		slow.send(c.send)
		waitFor(t, "the server understood", func() bool { return s.closes(c.reason) == 1 })
		if n := s.publish(t, "news", "members?"); n != 0 {
			t.Errorf("%d members are left", n)
		}
		frames := slow.frames()
		for i, f := range frames[:len(frames)-1] {
			if numberOf(t, f) != i {
				t.Fatalf("message %d where %d is due", numberOf(t, f), i)
			}
		}
		if got := frames[len(frames)-1]; got != c.want || len(frames) > messages {
			t.Errorf("after %d of %d messages: %v", len(frames)-1, messages, got)
		}
		slow.Close()
		s.checkNothingLeft(t)
		if got := s.counts(); len(got) != 1 || got[c.reason] != 1 {
			t.Errorf("reasons %v", got)
		}
	}
}

// Pings of a client that never reads cost a bounded number of bytes.
func TestPongFloodIsBounded(t *testing.T) {
	s := startServer(t, 1, testConfig(), smallSendBuffer)
	c := s.upgradeSlow(t, "/news")
	flood := bytes.Repeat(clientPing(strings.Repeat("p", 125)), 100)
	stats := s.servers[0].Stats()
	for stats.PongsDropped.Load() < 1000 {
		c.send(flood)
	}
	s.onLoops(func(_ *poller.Loop, server *Server) {
		for _, state := range server.cold {
			if n := len(state.owed); n == 0 || n > owedBytesMax+pongBatchBytesMax+127 || cap(state.owed) > 4*owedBytesMax {
				t.Errorf("%d bytes of pongs are owed, in %d", n, cap(state.owed))
			}
		}
	})
	// What it gets in the end are whole pongs, as many as were counted.
	c.send(clientClose(1000, ""))
	pongs := uint64(0)
	for _, f := range c.frames() {
		if f.opcode == ws.OpPong && f.payload == strings.Repeat("p", 125) {
			pongs++
		} else if f != closing(1000) {
			t.Fatalf("got %.40v", f)
		}
	}
	if n := stats.Pongs.Load(); n != pongs {
		t.Errorf("%d pongs were counted and %d came", n, pongs)
	}
	c.Close()
	s.checkNothingLeft(t)
}

// A ping may come just when the socket has room again, before the rest of the
// frame was written: it has to wait for that all the same.
func TestPongDoesNotOvertakeTheRestOfAFrame(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install)
	c := s.upgrade(t, "/news")
	kernel.room.Store(1 + 700)
	s.publish(t, "news", numbered(0))
	waitFor(t, "half the frame is in the socket", func() bool { return blocked(s) == 1 })
	s.onLoops(func(l *poller.Loop, server *Server) {
		kernel.room.Store(0)
		l.Walk(0, 1, func(fd uint32) { server.frames.readFrames(fd, clientPing("wait")) })
	})
	c.expect(message(numbered(0)), pong("wait"))
	c.Close()
	s.checkNothingLeft(t)
}
