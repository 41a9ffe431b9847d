package conn

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/conn/wire/wiretest"
	"c10m/poller"

	"github.com/gobwas/ws"
	"github.com/golang-jwt/jwt/v5"
)

func eventsRequest(path string, lines ...string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n" + strings.Join(lines, "") + "\r\n")
}

// An eventsClient reads a stream event by event, comments included.
type eventsClient struct {
	*rawClient
	read []byte
}

// events opens a stream.
func (s *testServer) events(t testing.TB, path string, lines ...string) *eventsClient {
	t.Helper()
	return s.connect(t).askEvents(path, lines...)
}

func (c *rawClient) askEvents(path string, lines ...string) *eventsClient {
	c.t.Helper()
	c.send(eventsRequest(path, lines...))
	r := c.response()
	h := r.Header
	if r.StatusCode != 200 || h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" ||
		h.Get("X-Accel-Buffering") != "no" || !r.Close || r.ContentLength != -1 || h.Get("Access-Control-Allow-Origin") != "*" {
		c.t.Fatalf("events: %s %v", r.Status, h)
	}
	e := &eventsClient{rawClient: c}
	if first := e.block(); first != wire.EventsPrelude {
		c.t.Fatalf("the stream begins with %q", first)
	}
	return e
}

// block reads to the next empty line.
func (c *eventsClient) block() string {
	c.t.Helper()
	from := len(c.read)
	for {
		line, err := c.ReadBytes('\n')
		c.read = append(c.read, line...)
		if err != nil {
			c.t.Fatalf("after %q: %v", c.read[from:], err)
		}
		if len(line) == 1 {
			return string(c.read[from:])
		}
	}
}

// event reads the next event and checks that its id ascends.
func (c *eventsClient) event() wiretest.Event {
	c.t.Helper()
	events, _, _ := wiretest.ReadEvents(c.block())
	if len(events) != 1 {
		c.t.Fatalf("no event: %q", c.read)
	}
	return events[0]
}

func (c *eventsClient) expectPayloads(payloads ...string) {
	c.t.Helper()
	for _, payload := range payloads {
		if got := c.event(); got.Payload(c.t) != payload {
			c.t.Fatalf("got %.80q where %.80q is due", got, payload)
		}
	}
}

// rest reads to the end of the stream, which must be clean.
func (c *eventsClient) rest() string {
	c.t.Helper()
	all, err := io.ReadAll(c.Reader)
	if err != nil {
		c.t.Fatalf("after %q: %v", all, err)
	}
	return string(all)
}

func TestEventsReachTheirChannelOnly(t *testing.T) {
	s := startServer(t, 2, testConfig())
	var clients []*eventsClient
	for range 10 {
		clients = append(clients, s.events(t, "/news"))
	}
	other, socket := s.events(t, "/sport%2F1"), s.upgrade(t, "/news")
	payloads := []string{"hello", "", "two\nlines\n", " é\u2028", "\r\n", "\xff\xfe", strings.Repeat("x", 1<<19), "end"}
	for _, payload := range payloads {
		if n := s.publish(t, "news", payload); n != 11 {
			t.Fatalf("%d members of 11", n)
		}
		s.publish(t, "sport/1", "other "+payload)
	}
	var ids []string
	for i, c := range clients {
		for j, payload := range payloads {
			got := c.event()
			if got.Payload(t) != payload {
				t.Fatalf("client %d: got %.80q where %.80q is due", i, got, payload)
			}
			if i == 0 {
				ids = append(ids, got.ID)
			} else if got.ID != ids[j] {
				t.Fatalf("message %d has id %q and %q", j, got.ID, ids[j])
			}
		}
	}
	for _, payload := range payloads {
		other.expectPayloads("other " + payload)
		if f, err := socket.frame(); err != nil || f.payload != payload {
			t.Fatalf("the WebSocket got %.80v %v", f, err)
		}
	}
	if n := s.sum(func(s *Server) int64 { return s.Stats().OpenEvents.Load() }); n != 11 {
		t.Errorf("%d streams are counted of 11", n)
	}
	for _, c := range append(clients, other) {
		c.Close()
	}
	socket.Close()
	s.checkNothingLeft(t)
	if got := s.counts(); len(got) != 1 || got[reasons.ClientGone] != 12 {
		t.Errorf("reasons %v", got)
	}
}

// What a client says after its request means nothing, in one piece with it or
// later; the end of its stream is its end.
func TestEventsHearNothing(t *testing.T) {
	s, publisher := startPublishing(t)
	c := s.events(t, "/news", "X-Rest: below\r\n")
	c.send(bytes.Repeat([]byte("GET /news HTTP/1.1\r\n\r\n\xff"), 10_000))
	c.send(join(clientPing("x"), clientClose(1000, ""), clientFrame(0x81, []byte("say"))))
	piece := s.connect(t)
	piece.send(join(eventsRequest("/news"), clientClose(1000, ""), eventsRequest("/news")))
	s.onLoops(func(*poller.Loop, *Server) {})
	waitFor(t, "both are members", func() bool { return s.shared.Open() == 2 })
	s.publish(t, "news", "still here")
	c.expectPayloads("still here")
	if all := piece.readUntil("still here\n\n"); strings.Count(all, "HTTP/1.1") != 1 {
		t.Errorf("the answer is %q", all)
	}
	if said := publisher.all(); len(said) != 0 {
		t.Errorf("streams published %q", said)
	}
	c.CloseWrite()
	piece.Close()
	if rest := c.rest(); rest != "" {
		t.Errorf("after the end: %q", rest)
	}
	s.checkNothingLeft(t)
	if got := s.counts(); got[reasons.ClientGone]+got[reasons.ClientReset] != 2 || got[reasons.ClientGone] == 0 {
		t.Errorf("reasons %v", got)
	}
}

func (c *rawClient) readUntil(end string) string {
	c.t.Helper()
	var all []byte
	for !bytes.HasSuffix(all, []byte(end)) {
		b, err := c.ReadByte()
		if err != nil {
			c.t.Fatalf("after %q: %v", all, err)
		}
		all = append(all, b)
	}
	return string(all)
}

// Heartbeats are comments, at the pace of pings.
func TestEventsHeartbeats(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 10 * time.Second
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Linux.Now())
	c := s.events(t, "/news")
	for range 3 {
		for range 11 {
			s.step(kernel, time.Second)
		}
		if got := c.block(); got != ":\n\n" {
			t.Fatalf("got %q", got)
		}
	}
	s.publish(t, "news", "hello")
	c.expectPayloads("hello")
	c.Close()
	s.checkNothingLeft(t)
}

// Each end that a WebSocket is told by its close code, a stream is told by an
// event, and then it ends.
func TestEventsAreToldTheirEnd(t *testing.T) {
	t.Run("missed", func(t *testing.T) {
		s := startServer(t, 1, testConfig())
		c, socket := s.events(t, "/news"), s.upgrade(t, "/news")
		s.publish(t, "news", "before")
		s.hub.Interrupted(0)
		c.expectPayloads("before")
		if got := c.rest(); got != "event: close\ndata: 4001 you may have missed messages\n\n" {
			t.Errorf("got %q", got)
		}
		socket.expect(message("before"), closing(reasons.CodeMissedMessages))
		c.Close()
		socket.Close()
		s.checkNothingLeft(t)
	})
	t.Run("token", func(t *testing.T) {
		kernel := &testKernel{}
		config, w := tokenConfig(t)
		s := startServer(t, 1, config, kernel.install)
		kernel.clock.Store(kernel.Linux.Now())
		c := s.connect(t).askEvents("/news", "Authorization: Bearer "+sign(t, tokenSecret, jwt.MapClaims{
			"aud": "us", "subscribe": "*", "publish": "*", "exp": w.unix.Load() + 10})+"\r\n")
		c.send(clientFrame(0x81, []byte("its token says publish")))
		s.step(kernel, 14*time.Second)
		s.step(kernel, 2*time.Second)
		if got := c.rest(); got != "event: close\ndata: 1008 token expired\n\n" {
			t.Errorf("got %q", got)
		}
		c.Close()
		s.checkNothingLeft(t)
	})
	t.Run("drain", func(t *testing.T) {
		var c *eventsClient
		d := startHeldDrain(t, 10*time.Second, func(s *testServer) { c = s.events(t, "/news") })
		d.pass(5100 * time.Millisecond)
		notice := c.block()
		events, _, retry := wiretest.ReadEvents(notice)
		if len(events) != 1 || events[0].Type != "drain" || events[0].Data != "server restarts" || retry == "" {
			t.Fatalf("the notice is %q", notice)
		}
		d.publish(t, "news", "in between")
		c.expectPayloads("in between")
		d.pass(5 * time.Second)
		if got := c.rest(); got != "event: close\ndata: 1012 server restarts\n\n" {
			t.Errorf("got %q", got)
		}
		d.end(t)
	})
}

// Whatever a socket takes of an event, the rest of it comes before a heartbeat,
// and that before the next event.
func TestEventsCutAnywhere(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	s.publish(t, "news", "so that ids have two digits")
	for range 10 {
		s.publish(t, "news", "nobody hears it")
	}
	event := wire.AppendEvent(nil, []byte("abcdefgh-12"), []byte("a\nb"))
	for cut := range len(event) {
		c := s.events(t, "/news")
		kernel.room.Store(int64(1 + cut))
		s.publish(t, "news", "a\nb")
		waitFor(t, "the socket is full", func() bool { return blocked(s) == 1 })
		s.onLoops(func(l *poller.Loop, server *Server) {
			l.Walk(0, 1, func(fd uint32) { server.protocolOf(fd).ping(server, fd) })
		})
		s.publish(t, "news", "\xff")
		kernel.room.Store(0)
		first := c.block()
		if cut == 0 { // nothing of it was out: the heartbeat may be first
			first = c.block()
		} else if got := c.block(); got != wire.EventsHeartbeat {
			t.Fatalf("cut at %d: %q follows %q", cut, got, first)
		}
		if events, _, _ := wiretest.ReadEvents(first); len(events) != 1 || events[0].Data != "a\nb" {
			t.Fatalf("cut at %d: the event is %q", cut, first)
		}
		c.expectPayloads("\xff")
		c.Close()
		waitFor(t, "it is gone", func() bool { return s.shared.Open() == 0 })
	}
	s.checkNothingLeft(t)
}

// Slow readers of events are as slow as others: they are closed for it, and who
// sits beside them loses nothing.
func TestSlowReaderOfEventsIsClosed(t *testing.T) {
	config := testConfig()
	config.Channel.LogBytes = 64 << 10
	s := startServer(t, 1, config, smallSendBuffer)
	slow := s.dialSlow(t).askEvents("/news")
	reader := s.events(t, "/news")
	for i := range 400 {
		s.publish(t, "news", numbered(i))
		reader.expectPayloads(numbered(i))
	}
	waitFor(t, "it is closed", func() bool { return s.closes(reasons.SlowBytes) == 1 })
	slow.Close()
	reader.Close()
	s.checkNothingLeft(t)
}

// With Skip it keeps its stream: whole events, in order, up to the newest.
func TestSlowReaderOfEventsSkips(t *testing.T) {
	config := testConfig()
	config.Channel.LogBytes, config.Channel.Skip = 64<<10, true
	s := startServer(t, 1, config, smallSendBuffer)
	slow, reader := s.dialSlow(t).askEvents("/news"), s.events(t, "/news")
	const messages = 300
	for i := range messages {
		s.publish(t, "news", numbered(i))
		reader.expectPayloads(numbered(i))
	}
	received, skipped, last := 0, 0, -1
	for last != messages-1 {
		i := numberOf(t, wireFrame{opcode: ws.OpText, payload: slow.event().Data})
		if i <= last {
			t.Fatalf("message %d after message %d", i, last)
		}
		received, skipped, last = received+1, skipped+i-last-1, i
	}
	if counted := s.servers[0].ChannelStats().Skipped.Load(); skipped == 0 || uint64(skipped) != counted {
		t.Errorf("%d messages were received and %d skipped; %d were counted", received, skipped, counted)
	}
	slow.Close()
	reader.Close()
	s.checkNothingLeft(t)
}

func TestEveryCloseCodeHasItsEvent(t *testing.T) {
	for r := range reasons.Count {
		events, _, _ := wiretest.ReadEvents(string(closeEvents[r]))
		_, code, text := r.Told()
		want := []wiretest.Event{{Type: "close", ID: "", Data: fmt.Sprintf("%d %s", code, text)}}
		if code == 0 {
			want = nil
		}
		if !slices.Equal(events, want) {
			t.Errorf("%v: %q", r, events)
		}
	}
}

// A stream that breaks off and comes back with its last id, as EventSource does,
// gets all that it missed, once; so does one that had nothing yet.
func TestEventsContinue(t *testing.T) {
	config := testConfig()
	config.History = channel.NewHistory(channel.HistoryConfig{Messages: 10})
	s := startServer(t, 2, config)
	s.publish(t, "news", "before")
	c := s.events(t, "/news")
	_, start, _ := wiretest.ReadEvents(c.block())
	if start == "" {
		t.Fatalf("no position: %q", c.read)
	}
	s.publish(t, "news", "one")
	one := c.event()
	if one.Data != "one" || one.ID == start {
		t.Fatalf("%q after %q", one, start)
	}
	s.publish(t, "news", "two\n")
	s.publish(t, "news", "\xff")
	for _, came := range []*eventsClient{
		s.events(t, "/news", "Last-Event-ID: "+start+"\r\n"),
		s.events(t, "/news?since="+start),
		s.events(t, "/news?since=nonsense", "last-event-id: "+start+"\r\n"),
		s.events(t, "/news?lastEventId="+start+"&since=nonsense"), // of a polyfill
		s.events(t, "/news?lastEventId=nonsense&since=nonsense", "Last-Event-ID: "+start+"\r\n"),
		s.events(t, "/news?since="+start, "Last-Event-ID:\r\n"), // of who was nowhere yet
		s.events(t, "/news?lastEventId=&since="+start, "Last-Event-ID: \r\n"),
	} {
		came.expectPayloads("one", "two\n", "\xff")
	}
	s.events(t, "/news", "Last-Event-ID: "+one.ID+"\r\n").expectPayloads("two\n", "\xff")
	all := s.events(t, "/news?since=first")
	all.block() // the position before them
	all.expectPayloads("before", "one", "two\n", "\xff")
	for i := range 10 {
		s.publish(t, "news", fmt.Sprint(i))
	}
	gone := s.events(t, "/news", "Last-Event-ID: "+one.ID+"\r\n")
	gap := gone.event()
	if gap.Type != "gap" || gap.Data != wire.GapText || gap.ID == "" || gap.ID == one.ID {
		t.Fatalf("got %q", gap)
	}
	s.publish(t, "news", "live")
	gone.expectPayloads("live")
	again := s.events(t, "/news", "Last-Event-ID: "+gap.ID+"\r\n")
	again.expectPayloads("live")
	if n := s.closes(reasons.PositionGone); n != 0 {
		t.Errorf("%d streams were closed for their position", n)
	}
}

// Without a history to ask a position is a gap.
func TestEventsCannotContinueWithoutHistory(t *testing.T) {
	s := startServer(t, 1, testConfig())
	c := s.events(t, "/news?since=abcdefgh-1")
	if got := c.event(); got != (wiretest.Event{Type: "gap", ID: "", Data: wire.GapText + wire.NoHistoryText}) {
		t.Fatalf("got %q", got)
	}
	s.publish(t, "news", "live")
	c.expectPayloads("live")
}

// Whatever is published between a request and its position's answer comes.
func TestEventsMissNothingWhileTheyAsk(t *testing.T) {
	config := testConfig()
	config.History = channel.NewHistory(channel.HistoryConfig{Messages: 10_000})
	s := startServer(t, 2, config)
	stop := make(chan struct{})
	publisher := make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				publisher <- n
				return
			default:
				s.hub.Publish([]byte("news"), []byte(fmt.Sprint(n)))
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	var clients []*eventsClient
	for range 50 {
		clients = append(clients, s.events(t, "/news"))
	}
	close(stop)
	total := <-publisher
	s.publish(t, "news", fmt.Sprint(total))
	positions := 0
	for i, c := range clients {
		last, stands := -1, -1
		for last != total {
			events, id, _ := wiretest.ReadEvents(c.block())
			_, digits, _ := strings.Cut(id, "-")
			number, err := strconv.Atoi(digits)
			if err != nil || number <= stands {
				t.Fatalf("client %d: id %q where it stood at %d already", i, id, stands)
			}
			stands = number
			if len(events) == 0 {
				positions++
				continue
			}
			var n int
			if fmt.Sscan(events[0].Data, &n); last >= 0 && n != last+1 {
				t.Fatalf("client %d: message %d after %d", i, n, last)
			}
			last = n
		}
	}
	t.Logf("%d messages, %d positions", total, positions)
}
