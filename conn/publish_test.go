package conn

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/poller"

	"github.com/golang-jwt/jwt/v5"
)

// A testPublisher is one loop's channel.Publisher, which the test holds up.
type testPublisher struct {
	feedback channel.Feedback
	full     atomic.Bool
	refusing atomic.Bool

	mu    sync.Mutex
	taken []string
	from  []uint64
}

func (p *testPublisher) Publish(from uint64, channel, payload []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusing.Load() {
		return false
	}
	p.taken = append(p.taken, string(channel)+": "+string(payload))
	p.from = append(p.from, from)
	return true
}

func (p *testPublisher) PublishAnswered(from uint64, channel, _, payload []byte) bool {
	return p.Publish(from, channel, payload)
}

func (p *testPublisher) Full() bool { return p.full.Load() }

func (p *testPublisher) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.taken)
}

// wait returns once exactly these messages were published.
func (p *testPublisher) wait(t *testing.T, want ...string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%.200q", want), func() bool { return len(p.all()) >= len(want) })
	if got := p.all(); !slices.Equal(got, want) {
		t.Fatalf("published %.200q, want %.200q", got, want)
	}
}

// startPublishing runs a server of one loop whose clients may publish.
func startPublishing(t *testing.T, change ...func(*Config)) (*testServer, *testPublisher) {
	t.Helper()
	publisher := &testPublisher{}
	config := testConfig()
	config.NewPublisher = func(f channel.Feedback) channel.Publisher { publisher.feedback = f; return publisher }
	config.PublishBytesMax, config.InboundBytesTotal = 200_000, 1<<20
	for _, f := range change {
		f(&config)
	}
	return startServer(t, 1, config), publisher
}

func text(payload string) []byte { return clientFrame(0x81, []byte(payload)) }

// A PUB with a key is always answered, in the order of the bus's answers, whatever
// became of it.
func TestPubWithKeys(t *testing.T) {
	bus := &busOf{holding: true}
	config := testConfig()
	config.NewPublisher = func(f channel.Feedback) channel.Publisher { bus.feedback = f; return bus }
	config.PublishBytesMax, config.InboundBytesTotal = 200_000, 1<<20
	s := startServer(t, 1, config)
	c := s.upgradeTwoWay(t, "/")
	d := s.upgradeTwoWay(t, "/")
	gone := s.upgradeTwoWay(t, "/")
	say := func(c *rawClient, fate channel.Fate, commands ...string) {
		bus.mu.Lock()
		bus.fate = fate
		before := len(bus.waiting)
		bus.mu.Unlock()
		for _, command := range commands {
			c.send(text(command))
		}
		waitFor(t, "the bus has it", func() bool {
			bus.mu.Lock()
			defer bus.mu.Unlock()
			return len(bus.waiting) == before+len(commands)
		})
	}
	say(c, channel.FatePublished, "PUB a k1\none", "PUB a%20b/c k2\ntwo")
	say(gone, channel.FatePublished, "PUB a k3\nx")
	say(c, channel.FateUnpublished, "PUB a k4\n")
	say(c, channel.FateUnconfirmed, "PUB a k5\n")
	say(d, channel.FateKeyReused, "PUB a k6\n")
	say(c, channel.FatePublished, "PUB a k7\n")
	gone.Close()
	bus.waiting[6].ID = "life-7"
	bus.release()
	c.expectCommands("OK PUB a k1", "OK PUB a%20b/c k2", "ERR PUB a bus_down k4", "ERR PUB a unconfirmed k5", "OK PUB a k7 life-7")
	d.expectCommands("ERR PUB a key_reused k6")
	bus.refusing.Store(true)
	c.send(text("PUB a k8\n"))
	c.expectCommands("ERR PUB a overload k8")
	if got := bus.keys; !slices.Equal(got, []string{"k1", "k2", "k3", "k4", "k5", "k6", "k7"}) {
		t.Errorf("keys %q", got)
	}
	c.Close()
	d.Close()
	s.checkNothingLeft(t)
}

func TestPublishOwn(t *testing.T) {
	s, publisher := startPublishing(t)
	c := s.upgrade(t, "/room%2F1", text("with the request"))
	long := strings.Repeat("é", 100_000)
	c.send(join(text("one"), clientFrame(0x02, []byte("tw")), clientPing("p"), clientFrame(0x00, nil), clientFrame(0x80, []byte("o\xff")),
		clientFrame(0x82, nil), text(long)))
	publisher.wait(t, "room/1: with the request", "room/1: one", "room/1: two\xff", "room/1: ", "room/1: "+long)
	c.expect(pong("p"))
	c.send(clientFrame(0x82, make([]byte, 200_001))[:14])
	if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1009)}) {
		t.Errorf("a message that is too long: %v", got)
	}
	c.Close()
	s.checkNothingLeft(t)
	if n := s.servers[0].Stats().Published.Load(); n != 5 {
		t.Errorf("%d messages were counted, want 5", n)
	}
}

// Who has no mark is refused as before, in the same server.
func TestPublishNeedsTheMark(t *testing.T) {
	s, publisher := startPublishing(t)
	c := s.upgrade(t, "/news")
	s.onLoops(func(l *poller.Loop, _ *Server) {
		l.Walk(0, 10, func(fd uint32) { l.Record(fd).Marks &^= markPublish })
	})
	c.send(text("no"))
	if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1003)}) {
		t.Errorf("got %v", got)
	}
	publisher.wait(t)
	c.Close()
	s.checkNothingLeft(t)
}

// While too much is under way, clients are not read from: what they say waits,
// in order, and nothing of it is lost or kept here.
func TestPublishFullHoldsClientsBack(t *testing.T) {
	s, publisher := startPublishing(t)
	stats := s.servers[0].Stats()
	quiet := s.upgrade(t, "/quiet")
	var clients []*rawClient
	for i := range 3 {
		clients = append(clients, s.upgrade(t, fmt.Sprint("/", i)))
	}
	publisher.full.Store(true)
	var want []string
	for i, c := range clients {
		c.send(join(text("1"), text("2"), clientPing("p")))
		want = append(want, fmt.Sprint(i, ": 1"), fmt.Sprint(i, ": 2"))
		waitFor(t, "it is held back", func() bool { return stats.PublishPaused.Load() == int64(i+1) })
	}
	s.publish(t, "0", "to the one who waits")
	clients[0].expect(message("to the one who waits"))
	s.publish(t, "quiet", "to another")
	quiet.expect(message("to another"))
	publisher.wait(t)
	s.onLoops(func(l *poller.Loop, server *Server) {
		if len(server.cold) != 0 {
			t.Errorf("%d have cold state", len(server.cold))
		}
	})
	publisher.feedback.Room() // too early: it is full again by the time it is asked
	s.onLoops(func(*poller.Loop, *Server) {})
	publisher.wait(t)
	publisher.full.Store(false)
	publisher.feedback.Room()
	publisher.wait(t, want...)
	for _, c := range clients {
		c.expect(pong("p"))
		c.send(clientClose(1000, ""))
		if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1000)}) {
			t.Errorf("in the end: %v", got)
		}
		c.Close()
	}
	quiet.Close()
	s.checkNothingLeft(t)
	if n := stats.PublishPauses.Load(); n != 3 {
		t.Errorf("%d pauses, want 3", n)
	}
}

// Who is held back and leaves, or is closed, is forgotten like anybody else.
func TestPublishHeldBackAndGone(t *testing.T) {
	s, publisher := startPublishing(t)
	stats := s.servers[0].Stats()
	publisher.full.Store(true)
	hold := func() *rawClient {
		c := s.upgrade(t, "/news")
		c.send(text("never read"))
		waitFor(t, "it is held back", func() bool { return stats.PublishPaused.Load() == 1 })
		return c
	}
	c := hold()
	c.SetLinger(0)
	c.Close()
	waitFor(t, "the reset", func() bool { return s.closes(reasons.ClientReset) == 1 })

	// Many come, are held back, and are ended: the list does not grow with them.
	s.onLoops(func(_ *poller.Loop, server *Server) {
		for range 3 * pausedStaleMax {
			server.publishing.paused.Push(1<<32 | 1<<11)
		}
	})
	for range 10 {
		c := hold()
		s.servers[0].PublishFailed(failures("news", s.identity(t)))
		if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1013)}) {
			t.Errorf("got %v", got)
		}
		// It lingers, so what it says now is read, and the end of its stream seen.
		c.Close()
		waitFor(t, "it is gone", func() bool { return s.poller.Loops()[0].Stats().Connections.Load() == 0 })
	}
	s.onLoops(func(_ *poller.Loop, server *Server) {
		if n := server.publishing.paused.Len(); n > pausedStaleMax {
			t.Errorf("%d entries for nobody", n)
		}
	})
	publisher.wait(t)
	s.checkNothingLeft(t)
}

// failures are what a bus says of messages that it did not take.
func failures(name string, from ...uint64) (failed []channel.Outcome) {
	for _, id := range from {
		failed = append(failed, channel.Outcome{From: id, Channel: []byte(name), Fate: channel.FateUnpublished})
	}
	return failed
}

// identity names the only connection, as in Publisher.Publish.
func (s *testServer) identity(t *testing.T) (id uint64) {
	s.onLoops(func(l *poller.Loop, _ *Server) {
		l.Walk(0, 10, func(fd uint32) { id = uint64(l.Generation(fd))<<32 | uint64(fd) })
	})
	return id
}

// A client whose message the bus did not take is told, and nobody who has its
// descriptor after it.
func TestPublishFailed(t *testing.T) {
	s, publisher := startPublishing(t)
	c := s.upgrade(t, "/news")
	c.send(text("lost"))
	publisher.wait(t, "news: lost")
	publisher.feedback.PublishFailed(failures("news", publisher.from...))
	if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1013)}) {
		t.Errorf("got %v", got)
	}
	c.Close()
	waitFor(t, "it is gone", func() bool { return s.poller.Loops()[0].Stats().Connections.Load() == 0 })
	next := s.upgrade(t, "/news")
	if a, b := s.identity(t), publisher.from[0]; uint32(a) != uint32(b) || a == b {
		t.Fatalf("this test wants the same descriptor again: %x after %x", a, b)
	}
	publisher.feedback.PublishFailed(failures("news", publisher.from...))
	s.onLoops(func(*poller.Loop, *Server) {})
	next.send(clientPing("still here"))
	next.expect(pong("still here"))
	next.Close()
	s.checkNothingLeft(t)
	if n := s.servers[0].Stats().PublishesFailed.Load(); n != 2 {
		t.Errorf("%d failures were counted, want 2", n)
	}
	if n := s.closes(reasons.PublishFailed); n != 1 {
		t.Errorf("%d were closed for it, want 1", n)
	}
}

// Beyond the hard limit a message is refused, which only comes to those who
// send many in one read, or with their request.
func TestPublishBeyondTheHardLimit(t *testing.T) {
	s, publisher := startPublishing(t)
	publisher.refusing.Store(true)
	c := s.upgrade(t, "/news", text("too much"))
	if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1013)}) {
		t.Errorf("got %v", got)
	}
	c.Close()
	s.checkNothingLeft(t)
	if n := s.closes(reasons.PublishFull); n != 1 {
		t.Errorf("%d were closed for it, want 1", n)
	}
}

// What clients have not finished is bounded in all, and given back.
func TestPublishUnfinishedMessagesAreBounded(t *testing.T) {
	s, publisher := startPublishing(t, func(c *Config) { c.InboundBytesTotal = 300_000 })
	half := clientFrame(0x02, bytes.Repeat([]byte{'x'}, 100_000))
	held := func() (n int) {
		s.onLoops(func(_ *poller.Loop, server *Server) { n = server.inboundBytes })
		return n
	}
	var clients []*rawClient
	before := 0
	for s.closes(reasons.StateMemory) == 0 {
		if len(clients) == 4 {
			t.Fatal("four times 100,000 bytes are kept, and 300,000 may be")
		}
		c := s.upgrade(t, "/news")
		c.send(half)
		waitFor(t, "they are kept or refused", func() bool { return held() >= before+100_000 || s.closes(reasons.StateMemory) > 0 })
		before = held()
		clients = append(clients, c)
	}
	last := clients[len(clients)-1]
	if got := last.frames(); !slices.Equal(got, []wireFrame{closing(1013)}) {
		t.Errorf("got %v", got)
	}
	first := clients[0]
	first.send(clientFrame(0x80, []byte("end")))
	publisher.wait(t, "news: "+strings.Repeat("x", 100_000)+"end")
	for _, c := range clients {
		c.Close()
	}
	s.checkNothingLeft(t)
}

// A drain reaches those who are held back, too.
func TestDrainOfHeldBack(t *testing.T) {
	s, publisher := startPublishing(t)
	publisher.full.Store(true)
	c := s.upgrade(t, "/news")
	c.send(text("waits"))
	waitFor(t, "it is held back", func() bool { return s.servers[0].Stats().PublishPaused.Load() == 1 })
	done := make(chan struct{})
	go func() { Drain(s.servers, 0); close(done) }()
	if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1012)}) {
		t.Errorf("got %v", got)
	}
	c.Close()
	<-done
	s.checkNothingLeft(t)
}

// With tokens, only those publish whose token says so.
func TestPublishNeedsATokenThatSaysSo(t *testing.T) {
	config, w := tokenConfig(t)
	publisher := &testPublisher{}
	config.NewPublisher = func(f channel.Feedback) channel.Publisher { publisher.feedback = f; return publisher }
	config.PublishBytesMax, config.InboundBytesTotal = 200_000, 1<<20
	s := startServer(t, 1, config)
	enter := func(publish ...string) *rawClient {
		claims := jwt.MapClaims{"aud": "us", "subscribe": "news", "exp": w.unix.Load() + 60}
		if publish != nil {
			claims["publish"] = publish
		}
		token := sign(t, tokenSecret, claims)
		c := s.connect(t)
		c.send(join(tokenRequest("/news", "Authorization: Bearer "+token), text("said by "+strings.Join(publish, " "))))
		c.expectUpgrade()
		return c
	}
	for _, publish := range [][]string{nil, {"sport"}} {
		c := enter(publish...)
		if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1003)}) {
			t.Errorf("publish %q: %v", publish, got)
		}
		c.Close()
	}
	may := enter("n*")
	publisher.wait(t, "news: said by n*")
	may.Close()
	s.checkNothingLeft(t)
}
