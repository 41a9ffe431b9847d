package conn

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"c10m/conn/operator"
	"c10m/conn/reasons"
	"c10m/poller"
	"c10m/poller/epoll"

	"github.com/gobwas/ws"
)

// pushed is a message as a client gets it.
func pushed(payload string) wireFrame { return wireFrame{opcode: ws.OpText, payload: payload} }

// operator is the operator of a test's loops.
func (s *testServer) operator() *operator.Operator { return NewOperator(s.servers) }

// disconnected waits until no loop has anybody left to disconnect.
func (s *testServer) disconnected(t testing.TB) {
	t.Helper()
	waitFor(t, "all are disconnected", func() bool { return s.operator().Disconnecting() == 0 })
}

func TestDisconnectClosesOneClientAndNoOther(t *testing.T) {
	// The loop has a descriptor table of its own, so no end of a client takes the number.
	s := startServer(t, 1, testConfig(), func(settings *epoll.Config, _ *Shared) { settings.PrivateFDTables = true })
	clients := s.members(t, 6)
	o := s.operator()
	listed, members := o.Clients(t.Context(), "news")
	if len(listed) != 6 || members != 6 {
		t.Fatalf("%d of %d clients are listed", len(listed), members)
	}
	chosen := listed[2]
	if closed, err := o.Disconnect(t.Context(), chosen.ClientID); !closed || err != nil {
		t.Fatalf("%+v was not there: %v", chosen, err)
	}
	at := slices.IndexFunc(clients, func(c *rawClient) bool { return c.LocalAddr().String() == chosen.Peer.String() })
	if at < 0 {
		t.Fatalf("nobody has the address %v", chosen.Peer)
	}
	if got := clients[at].frames(); !slices.Equal(got, []wireFrame{closing(reasons.CodeDisconnected)}) {
		t.Errorf("it got %v", got)
	}
	clients[at].Close()
	waitFor(t, "it is gone", func() bool { return s.sum(func(s *Server) int64 { return s.stats.Lingering.Load() }) == 0 })

	// Who has its number next is somebody else.
	others := append(slices.Delete(clients, at, at+1), s.members(t, 4)...)
	s.onLoops(func(l *poller.Loop, _ *Server) {
		if l.Generation(chosen.FD) == 0 {
			t.Error("nobody has its number")
		}
	})
	for _, id := range []operator.ClientID{chosen.ClientID, {Loop: -1, FD: 5, Generation: 1}, {Loop: 1, FD: 5, Generation: 1}, {Loop: 0, FD: 1 << 20, Generation: 1}, {Loop: 0, FD: 5, Generation: 0}} {
		if closed, err := o.Disconnect(t.Context(), id); closed || err != nil {
			t.Errorf("%+v was there, %v", id, err)
		}
	}
	if n := s.publish(t, "news", "hello"); n != len(others) {
		t.Errorf("%d of %d others are there", n, len(others))
	}
	for _, c := range others {
		c.expect(pushed("hello"))
	}
	if n := s.closes(reasons.Disconnected); n != 1 {
		t.Errorf("%d were disconnected", n)
	}
	closeAll(others)
	s.checkNothingLeft(t)
}

// Those who are in the channel are closed, and neither those of others nor those
// who come meanwhile, under whatever numbers.
func TestDisconnectChannelClosesThoseWhoAreThereAndNobodyElse(t *testing.T) {
	for _, over := range []time.Duration{0, 50 * time.Millisecond} {
		s := startServer(t, 2, testConfig())
		var others, newcomers []*rawClient
		clients := s.members(t, 60)
		for i := range 20 {
			others = append(others, s.upgrade(t, fmt.Sprintf("/other%d", i%3)))
		}
		n, err := s.operator().DisconnectChannel(t.Context(), "news", over)
		if n != len(clients) || err != nil {
			t.Fatalf("%d clients are being disconnected, %v", n, err)
		}
		s.begun()
		for _, c := range clients {
			if got := c.frames(); !slices.Equal(got, []wireFrame{closing(reasons.CodeDisconnected)}) {
				t.Fatalf("got %v", got)
			}
			c.Close()
			newcomers = append(newcomers, s.upgrade(t, "/news"))
		}
		s.disconnected(t)
		s.publish(t, "other0", "hello")
		others[0].expect(pushed("hello"))
		if n := s.publish(t, "news", "hello"); n != len(newcomers) {
			t.Errorf("%d of %d newcomers are there", n, len(newcomers))
		}
		if n := s.closes(reasons.Disconnected); n != uint64(len(clients)) {
			t.Errorf("%d of %d were disconnected", n, len(clients))
		}
		closeAll(newcomers)
		closeAll(others)
		s.checkNothingLeft(t)
	}
}

// Who reads a channel as events is in it like any other.
func TestDisconnectChannelReachesReadersOfEvents(t *testing.T) {
	s := startServer(t, 1, testConfig())
	socket, events := s.upgrade(t, "/news"), s.events(t, "/news")
	if n, err := s.operator().DisconnectChannel(t.Context(), "news", 0); n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	socket.expect(closing(reasons.CodeDisconnected))
	if got := events.rest(); got != "event: close\ndata: 4002 disconnected by the operator\n\n" {
		t.Errorf("got %q", got)
	}
}

// Who polls a channel is in it, too, and knows no close codes.
func TestDisconnectReachesPolls(t *testing.T) {
	for name, disconnect := range map[string]func(o *operator.Operator) (clients int){
		"of a channel": func(o *operator.Operator) (clients int) {
			clients, _ = o.DisconnectChannel(t.Context(), "news", 0)
			return clients
		},
		"one by one": func(o *operator.Operator) (clients int) {
			there, _ := o.Clients(t.Context(), "news")
			for _, c := range there {
				if found, _ := o.Disconnect(t.Context(), c.ClientID); found {
					clients++
				}
			}
			return clients
		},
	} {
		s := startServer(t, 1, withHistory(10))
		polls := []*rawClient{s.connect(t), s.connect(t)}
		for _, c := range polls {
			c.poll("/news?wait=60")
		}
		s.waitForPolls(t, len(polls))
		if n := disconnect(s.operator()); n != len(polls) {
			t.Errorf("%s: %d were there", name, n)
		}
		for _, c := range polls {
			c.expectRefusal(t, 403, reasons.RequestDisconnected, "")
			c.Close()
		}
		// A script has to be able to tell it from a channel that is not allowed.
		answer := string(reasons.RequestDisconnected.Refusal())
		if !strings.Contains(answer, "\r\nC10m-Close: 4002\r\n") || !regexp.MustCompile(`Access-Control-Expose-Headers: .*C10m-Close`).MatchString(answer) {
			t.Errorf("%s: a poll is not told its close code: %q", name, answer)
		}
		s.checkNothingLeft(t)
	}
}

// Newcomers whom the walk comes to, since they have numbers that became free, stay.
func TestDisconnectChannelLeavesNewcomersWhoseTurnWouldCome(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Now())
	var before []*rawClient
	for range 5 {
		before = append(before, s.upgrade(t, "/other"))
	}
	clients := s.members(t, 5)
	const over, steps = 10 * time.Second, 100
	if n, err := s.operator().DisconnectChannel(t.Context(), "news", over); n != 5 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	closeAll(before)
	waitFor(t, "their numbers are free", func() bool {
		return s.sum(func(s *Server) int64 { return int64(s.loop.Stats().Connections.Load()) }) == 5
	})
	newcomers := s.members(t, 5)
	for range steps + 5 {
		s.step(kernel, over/steps)
	}
	s.disconnected(t)
	for _, c := range clients {
		c.expect(closing(reasons.CodeDisconnected))
	}
	if n := s.publish(t, "news", "hello"); n != len(newcomers) {
		t.Errorf("%d of %d newcomers are there", n, len(newcomers))
	}
	for _, c := range newcomers {
		c.expect(pushed("hello"))
	}
}

// Of a connection of many channels it is the subscription that counts: who subscribes
// after the operator's word stays, for the first time or again.
func TestDisconnectChannelSparesLaterSubscriptions(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Now())
	there, later, again, leaves := s.upgradeTwoWay(t, "/news"), s.upgradeTwoWay(t, "/other"), s.upgradeTwoWay(t, "/news"), s.upgradeTwoWay(t, "/news")
	for _, c := range []*rawClient{there, later, again, leaves} {
		c.command()
	}
	const over, steps = 10 * time.Second, 100
	for _, name := range []string{"nearby", "news", "other"} { // each in its turn
		if n, err := s.operator().DisconnectChannel(t.Context(), name, over); n != map[string]int{"news": 3, "other": 1}[name] || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	later.send(join(text("UNSUB other"), text("SUB news"), text("SUB other")))
	later.expectCommands("OK UNSUB other", "OK SUB news", "OK SUB other")
	again.send(join(text("UNSUB news"), text("SUB news")))
	again.expectCommands("OK UNSUB news", "OK SUB news")
	leaves.send(join(text("UNSUB news"), text("SUB nearby")))
	leaves.expectCommands("OK UNSUB news", "OK SUB nearby")
	newcomer := s.upgradeTwoWay(t, "/news")
	newcomer.expectCommands("OK SUB news")
	for range 3 * (steps + 5) {
		s.step(kernel, over/steps)
	}
	s.disconnected(t)
	there.expectCommands("closed with 4002")
	if n := s.publish(t, "news", "hello"); n != 3 {
		t.Errorf("%d of 3 are in the channel", n)
	}
	for _, c := range []*rawClient{later, again, newcomer} {
		c.expectCommands("MSG news #\nhello")
	}
	// The next word is meant for them.
	if n, err := s.operator().DisconnectChannel(t.Context(), "news", 0); n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	s.step(kernel, over/steps)
	for _, c := range []*rawClient{later, again, newcomer} {
		c.expectCommands("closed with 4002")
	}
	closeAll([]*rawClient{there, later, again, leaves, newcomer})
	s.checkNothingLeft(t)
}

// It is even over its time; another channel waits for its turn; and too many
// are refused.
func TestDisconnectChannelIsEvenAndTakesTurns(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Now())
	const n, over, steps = 100, 10 * time.Second, 200
	const disconnectsMax = 8 // of conn/operator
	s.members(t, n)
	for i := range disconnectsMax {
		s.upgrade(t, fmt.Sprintf("/other%d", i))
	}
	o := s.operator()
	if clients, err := o.DisconnectChannel(t.Context(), "news", over); clients != n || err != nil {
		t.Fatalf("%d, %v", clients, err)
	}
	for i := range disconnectsMax {
		clients, err := o.DisconnectChannel(t.Context(), fmt.Sprintf("other%d", i), 0)
		if isLast := i == disconnectsMax-1; isLast != errors.Is(err, operator.ErrDisconnects) || !isLast && clients != 1 {
			t.Fatalf("number %d of the others: %d, %v", i, clients, err)
		}
	}
	for i := 1; i <= steps; i++ {
		s.step(kernel, over/steps)
		closed, due := int(s.closes(reasons.Disconnected)), n*i/steps
		if i < steps-3 && (closed < due-3 || closed > due+3) {
			t.Fatalf("after %d of %d steps %d of %d are closed", i, steps, closed, n)
		}
	}
	for range 10 + 2*disconnectsMax {
		s.step(kernel, over/steps)
	}
	if closed := int(s.closes(reasons.Disconnected)); closed != n+disconnectsMax-1 {
		t.Errorf("%d are closed", closed)
	}
	s.disconnected(t)
	// Nobody there is nothing to wait for.
	if clients, err := o.DisconnectChannel(t.Context(), "nobody", time.Hour); clients != 0 || err != nil {
		t.Errorf("%d clients of nobody, %v", clients, err)
	}
	s.disconnected(t)
}

// What an operator sees of slow clients, closes and busy channels.
func TestLook(t *testing.T) {
	s := startServer(t, 2, testConfig(), smallSendBuffer)
	o := s.operator()
	for _, look := range o.Look(t.Context()) {
		if len(look.Slowest)+len(look.Closes)+len(look.Busiest) > 0 || look.BusyNanos != 0 {
			t.Errorf("nothing has happened, and it shows %+v", look)
		}
	}
	slow := s.upgradeSlow(t, "/slow")
	messages := s.block(t, "slow")
	gone := s.upgrade(t, "/"+strings.Repeat("n", 200))
	gone.Close()
	waitFor(t, "the close is counted", func() bool { return s.closes(reasons.ClientGone)+s.closes(reasons.ClientReset) == 1 })
	if status := s.connectAndAsk(t, "PUT / HTTP/1.1\r\nHost: h\r\n\r\n"); status != 405 { // counted, and not listed
		t.Fatalf("status %d", status)
	}

	looks := o.Look(t.Context())
	if len(looks) != 2 {
		t.Fatalf("%d of 2 loops answered", len(looks))
	}
	var slowest []operator.SlowClient
	var closes []reasons.Close
	published, deliveries := 0, 0
	for _, look := range looks {
		slowest, closes = append(slowest, look.Slowest...), append(closes, look.Closes...)
		if look.BusyNanos <= 0 {
			t.Error("for how long it counted is not known")
		}
		for _, b := range look.Busiest {
			if b.Channel != "slow" {
				t.Errorf("%+v is busy", b)
			}
			published, deliveries = int(b.Messages), int(b.Deliveries)
		}
	}
	if len(slowest) != 1 || slowest[0].Channel != "slow" || slowest[0].Peer.String() != slow.LocalAddr().String() ||
		slowest[0].Behind < 1 || !slowest[0].IsBlocked {
		t.Fatalf("slow are %+v", slowest)
	}
	if len(closes) != 1 || strings.Trim(closes[0].Channel, "n") != "" || !closes[0].IsCut || closes[0].NanosAgo < 0 {
		t.Errorf("closed were %+v", closes)
	}
	if published != messages || deliveries != messages {
		t.Errorf("%d messages and %d deliveries are seen of %d", published, deliveries, messages)
	}
	// It is the one that the list names.
	if closed, err := o.Disconnect(t.Context(), slowest[0].ClientID); !closed || err != nil {
		t.Errorf("the slow one is not there: %v", err)
	}
	slow.Close()
	s.checkNothingLeft(t)
}

// connectAndAsk is the status of the answer to a request.
func (s *testServer) connectAndAsk(t testing.TB, request string) int {
	c := s.connect(t)
	c.send([]byte(request))
	return c.response().StatusCode
}

// A loop that does not answer is left out, and nobody waits for it.
func TestALoopThatIsSilentIsLeftOut(t *testing.T) {
	s := startServer(t, 2, testConfig())
	c := s.upgrade(t, "/news")
	if silent := s.operator().Silent(t.Context()); len(silent) != 0 {
		t.Errorf("silent are %v", silent)
	}
	release, stuck := make(chan struct{}), make(chan struct{})
	s.poller.Loops()[1].Run(func(*poller.Loop) { close(stuck); <-release })
	<-stuck
	defer close(release)
	o := s.operator()
	brief := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	waitFor(t, "the silent loop alone is named", func() bool { return slices.Equal(o.Silent(brief()), []int{1}) })
	// The other loop may be late on a busy host, and is asked again.
	for what, answers := range map[string]func() int{
		"look":   func() int { return len(o.Look(brief())) },
		"survey": func() int { return len(o.Survey(brief(), nil)) },
	} {
		waitFor(t, what+": one loop answers", func() bool {
			n := answers()
			if n > 1 {
				t.Fatalf("%s: %d loops answered", what, n)
			}
			return n == 1
		})
	}
	if closed, err := o.Disconnect(brief(), operator.ClientID{Loop: 1, FD: 5, Generation: 1}); closed || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", closed, err)
	}
	c.Close()
}

// What a look at one connection costs a walk for those of a channel.
func BenchmarkDisconnectLooks(b *testing.B) {
	s := startServer(b, 1, testConfig())
	for i := range 1000 {
		s.upgrade(b, fmt.Sprintf("/%d", i%10))
	}
	s.onLoops(func(l *poller.Loop, server *Server) {
		number, _ := server.registry.Find([]byte("1"))
		cursor, look := uint32(0), func(fd uint32) { many{server}.MemberIn(fd, number) }
		b.ResetTimer()
		for range b.N {
			cursor = l.Walk(cursor, 1, look)
		}
		b.StopTimer()
	})
}
