package conn

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/conn/reasons"

	"github.com/gobwas/ws"
)

// TestStress is the whole server on loopback with hundreds of clients that
// come, check every message, and go in every way there is, while publishers
// publish. It is bounded by counts and not by time.
const (
	stressChannels = 5
	stressVisitors = 200 // at a time
	stressVisits   = 3   // of each, one after the other
	stressStayers  = 100
)

type stress struct {
	*testServer
	t         *testing.T
	started   [stressChannels]atomic.Int64 // messages whose publishing began
	published [stressChannels]atomic.Int64 // messages that all loops have
	ends      [reasons.Count]atomic.Int64  // what clients know to have caused
}

func TestStress(t *testing.T) {
	descriptors := countDescriptors(t)
	config := testConfig()
	config.PingInterval = 200 * time.Millisecond
	config.Channel.LogBytes = 64 << 20 // nobody here is slow on purpose
	config.Channel.LogBytesTotal = 256 << 20
	s := &stress{testServer: startServer(t, 2, config), t: t}

	var publishers, visitors, stayers sync.WaitGroup
	stop := make(chan struct{})
	for channel := range stressChannels {
		publishers.Go(func() { s.publishUntil(channel, stop) })
	}
	for i := range stressStayers {
		c := s.join(i % stressChannels)
		stayers.Go(func() { s.stay(c) })
	}
	for i := range stressVisitors {
		visitors.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range stressVisits {
				s.visit(random)
			}
		})
	}
	visitors.Wait()
	close(stop)
	publishers.Wait()
	s.sockets.StopAccepting(0)
	for channel := range stressChannels {
		s.publish(t, fmt.Sprint(channel), "end")
	}
	Drain(s.servers, 20*time.Millisecond)
	stayers.Wait()

	s.checkNothingLeft(t)
	for _, r := range reasons.All() {
		if r == reasons.ClientReset || r == reasons.ClientGone {
			continue // a client that breaks off cannot know which it will be
		}
		if got, want := s.closes(r), s.ends[r].Load(); int64(got) != want {
			t.Errorf("%v: %d, want %d", r, got, want)
		}
	}
	if got, want := s.closes(reasons.ClientGone)+s.closes(reasons.ClientReset), s.ends[reasons.ClientGone].Load(); int64(got) != want {
		t.Errorf("%d broke off, want %d", got, want)
	}
	s.poller.Stop()
	if now := countDescriptors(t); now > descriptors {
		t.Errorf("%d descriptors are open, %d were before", now, descriptors)
	}
	messages := int64(0)
	for channel := range stressChannels {
		messages += s.published[channel].Load()
	}
	t.Logf("%d messages, %d deliveries, reasons %v", messages,
		s.sum(func(s *Server) int64 { return int64(s.ChannelStats().Deliveries.Load()) }), s.counts())
}

func countDescriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal("no /proc/self/fd: ", err)
	}
	return len(entries)
}

// publishUntil publishes 1, 2, 3, ... to a channel, in texts of many lengths.
func (s *stress) publishUntil(channel int, stop <-chan struct{}) {
	for n := int64(1); ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		s.started[channel].Store(n)
		s.publish(s.t, fmt.Sprint(channel), fmt.Sprint(n, " ", strings.Repeat("y", int(n*37%500))))
		s.published[channel].Store(n)
	}
}

// A stressClient follows one channel.
type stressClient struct {
	*rawClient
	s        *stress
	channel  int
	next     int64 // 0 before the first message
	pongs    int   // still to come
	isEnd    bool  // the last message was the channel's end
	earliest int64 // the first message that it may get, and the last that
	latest   int64 // may be the first
}

func (s *stress) join(channel int) *stressClient {
	c := &stressClient{s: s, channel: channel, earliest: s.published[channel].Load() + 1}
	c.rawClient = s.upgrade(s.t, fmt.Sprint("/", channel))
	c.latest = s.started[channel].Load() + 1
	return c
}

// read takes one frame, checks it and returns it.
func (c *stressClient) read() (wireFrame, bool) {
	f, err := c.frame()
	if err != nil {
		c.s.t.Errorf("channel %d after message %d: %v", c.channel, c.next-1, err)
		return f, false
	}
	switch f.opcode {
	case ws.OpPong:
		if c.pongs--; c.pongs < 0 {
			c.s.t.Errorf("a pong without a ping")
		}
	case ws.OpText:
		return f, c.check(f.payload)
	case ws.OpPing, ws.OpClose:
	default:
		c.s.t.Errorf("an unexpected frame: %.40v", f)
	}
	return f, true
}

func (c *stressClient) check(payload string) bool {
	if payload == "end" {
		c.isEnd = true
		last := c.s.published[c.channel].Load()
		if c.next != 0 && c.next != last+1 {
			c.s.t.Errorf("channel %d ends after %d, and the last message is %d", c.channel, c.next-1, last)
		}
		return true
	}
	text, rest, _ := strings.Cut(payload, " ")
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || len(rest) != int(n*37%500):
		c.s.t.Errorf("message %.40q", payload)
	case c.next == 0 && (n < c.earliest || n > c.latest):
		c.s.t.Errorf("channel %d: the first message is %d and should be one of %d to %d", c.channel, n, c.earliest, c.latest)
	case c.next != 0 && n != c.next:
		c.s.t.Errorf("channel %d: message %d where %d is due", c.channel, n, c.next)
	default:
		c.next = n + 1
		return true
	}
	return false
}

// stay reads until the drain.
func (s *stress) stay(c *stressClient) {
	defer c.Close()
	for {
		f, ok := c.read()
		if !ok {
			return
		}
		if f.opcode == ws.OpClose {
			if f.code != 1012 || !c.isEnd {
				s.t.Errorf("a stayer was closed with %d, end seen: %v", f.code, c.isEnd)
			}
			s.ends[reasons.Draining].Add(1)
			return
		}
	}
}

// visit joins a channel, reads some messages, pings, and goes.
func (s *stress) visit(random *rand.Rand) {
	c := s.join(random.IntN(stressChannels))
	defer c.Close()
	for range random.IntN(60) {
		if random.IntN(10) == 0 {
			c.pongs++
			c.send(clientPing(strings.Repeat("p", random.IntN(126))))
		}
		if _, ok := c.read(); !ok {
			return
		}
	}
	goodbye := []struct {
		send   []byte
		code   uint16
		reason reasons.Reason
	}{
		{nil, 0, reasons.ClientGone},
		{clientClose(1000, "bye"), 1000, reasons.ClientClosed},
		{clientClose(4321, ""), 4321, reasons.ClientClosed},
		{clientFrame(0x81, []byte("hello")), 1003, reasons.DataRefused},
		{unmasked(clientPing("x")), 1002, reasons.ProtocolError},
		{clientFrame(0x81, []byte("\xff")), 1007, reasons.InvalidUTF8},
		{clientFrame(0x82, make([]byte, inboundBytesMax+1))[:14], 1009, reasons.MessageTooBig},
	}[random.IntN(7)]
	s.ends[goodbye.reason].Add(1)
	if goodbye.send == nil {
		return // breaks off, perhaps with unread messages
	}
	c.send(goodbye.send)
	for {
		f, ok := c.read()
		if !ok {
			return
		}
		if f.opcode == ws.OpClose {
			if f.code != goodbye.code {
				s.t.Errorf("%v was answered with %d", goodbye.reason, f.code)
			}
			break
		}
	}
	if c.pongs != 0 {
		s.t.Errorf("%d pongs did not come before the close", c.pongs)
	}
	if rest := c.frames(); len(rest) != 0 {
		s.t.Errorf("after the close: %.80v", rest)
	}
}
