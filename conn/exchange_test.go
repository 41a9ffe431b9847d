package conn

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"c10m/channel"
	"c10m/conn/pages"
	"c10m/conn/reasons"
	"c10m/poller"
	"c10m/poller/epoll"
)

// A busOf is a channel.Publisher that answers at once, or when the test says so.
type busOf struct {
	testPublisher
	mu       sync.Mutex
	holding  bool
	fate     channel.Fate
	waiting  []channel.Outcome
	answered int
	keys     []string
}

func (b *busOf) PublishAnswered(from uint64, name, key, payload []byte) bool {
	if !b.Publish(from, name, payload) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(key) > 0 {
		b.keys = append(b.keys, string(key))
	}
	b.waiting = append(b.waiting, channel.Outcome{
		From: from, Channel: bytes.Clone(name), Key: bytes.Clone(key), Fate: b.fate, Connections: len(payload), Subscribers: b.answered,
	})
	b.answered++
	if !b.holding {
		b.tell()
	}
	return true
}

// tell answers what waits.
func (b *busOf) tell() {
	b.feedback.Published(b.waiting)
	b.waiting = nil
}

// next answers what waits, and holds what comes for it.
func (b *busOf) next() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell()
}

func (b *busOf) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding = false
	b.tell()
}

// forget starts anew.
func (b *busOf) forget() {
	b.testPublisher.mu.Lock()
	b.taken = nil
	b.testPublisher.mu.Unlock()
	b.mu.Lock()
	b.answered = 0
	b.mu.Unlock()
}

func (b *busOf) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding = true
}

func startHTTP(t testing.TB, change func(*Config), options ...func(*epoll.Config, *Shared)) (*testServer, *busOf) {
	bus := &busOf{}
	config := testConfig()
	config.NewPublisher = func(f channel.Feedback) channel.Publisher { bus.feedback = f; return bus }
	config.PublishBytesMax, config.InboundBytesTotal = 200_000, 1<<20
	config.Pages = []pages.Page{{Path: "/-/c10m.js", ContentType: "text/javascript", Body: []byte("script")}}
	if change != nil {
		change(&config)
	}
	s := startServer(t, 1, config, options...)
	s.shared.CountWith(s.hub)
	return s, bus
}

func postRequest(path, payload string, fields ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%s\r\n%s", path, len(payload), strings.Join(fields, ""), payload)
}

// reply reads one answer, and its body.
func (c *rawClient) reply(method string) (r *http.Response, body string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no HTTP response: %v", err)
	}
	all, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("half a body: %v", err)
	}
	return r, string(all)
}

// expectReply reads one answer and checks what every answer has.
func (c *rawClient) expectReply(method string, status int, body string) *http.Response {
	c.t.Helper()
	r, got := c.reply(method)
	if r.StatusCode != status || got != body {
		c.t.Fatalf("got %d %q, want %d %q", r.StatusCode, got, status, body)
	}
	if r.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), "C10m-Position") {
		c.t.Fatalf("%d without CORS: %v", status, r.Header)
	}
	return r
}

func published(name string, connections, subscribers int) string {
	return fmt.Sprintf(`{"channel":%q,"connections":%d,"subscribers":%d}`+"\n", name, connections, subscribers)
}

// richRequests are requests of all kinds on one connection, and checkRich reads
// their answers.
var richRequests = postRequest("/room%2F1", "hello") +
	postRequest("/b?x=1", "") +
	"GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n" +
	"HEAD /-/c10m.js?v=2 HTTP/1.1\r\nHost: h\r\n\r\n" +
	postRequest("/c", "\r\n\r\nGET / HTTP/1.1\r\n\r\n") +
	"GET /-/channels/a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n" +
	"OPTIONS /news HTTP/1.1\r\nHost: h\r\nOrigin: https://x\r\n\r\n" +
	postRequest("/d", "last", "Connection: x, Close\r\n")

func checkRich(c *rawClient) {
	c.t.Helper()
	c.expectReply("POST", 200, published("room/1", 5, 0))
	c.expectReply("POST", 200, published("b", 0, 1))
	r := c.expectReply("GET", 200, "script")
	if r.Header.Get("Content-Type") != "text/javascript" || r.Header.Get("Etag") == "" {
		c.t.Fatalf("the page has %v", r.Header)
	}
	if r := c.expectReply("HEAD", 200, ""); r.ContentLength != 6 {
		c.t.Fatalf("HEAD has %v", r.Header)
	}
	c.expectReply("POST", 200, published("c", 22, 2))
	c.expectReply("GET", 200, `{"channel":"a/b","connections":0}`+"\n")
	r = c.expectReply("OPTIONS", 204, "")
	if r.Header.Get("Access-Control-Allow-Methods") != "GET, HEAD, POST" {
		c.t.Fatalf("the preflight has %v", r.Header)
	}
	if r := c.expectReply("POST", 200, published("d", 4, 3)); !r.Close {
		c.t.Fatal("the last answer does not say so")
	}
	if rest, err := io.ReadAll(c.Reader); err != nil || len(rest) > 0 {
		c.t.Fatalf("behind the last answer: %q, %v", rest, err)
	}
}

var richMessages = []string{"room/1: hello", "b: ", "c: \r\n\r\nGET / HTTP/1.1\r\n\r\n", "d: last"}

// What is answered does not depend on how the requests are cut.
func TestExchangesAtEverySplit(t *testing.T) {
	s, bus := startHTTP(t, nil)
	for at := range len(richRequests) {
		c := s.connect(t)
		if at > 0 {
			c.send([]byte(richRequests[:at]))
			s.onLoops(func(*poller.Loop, *Server) {})
		}
		c.send([]byte(richRequests[at:]))
		checkRich(c)
		c.Close()
		if got := bus.all(); !slices.Equal(got, richMessages) {
			t.Fatalf("cut at %d: published %q", at, got)
		}
		bus.forget()
	}
	s.checkNothingLeft(t)
	if n := s.closes(reasons.RequestsDone); n != uint64(len(richRequests)) {
		t.Errorf("reasons %v", s.counts())
	}
}

// Keep-alive ends when the client ends it, and when it is silent for too long.
func TestKeptConnections(t *testing.T) {
	kernel := &testKernel{}
	s, _ := startHTTP(t, func(c *Config) { c.PingInterval = 0 }, kernel.install)
	kernel.clock.Store(kernel.Now())
	leaves, silent, half, upgrades := s.connect(t), s.connect(t), s.connect(t), s.connect(t)
	for _, c := range []*rawClient{leaves, silent, half, upgrades} {
		c.send([]byte(postRequest("/news", "x")))
		if r, _ := c.reply("POST"); r.StatusCode != 200 || r.Close {
			t.Fatalf("got %v", r)
		}
	}
	s.onLoops(func(_ *poller.Loop, server *Server) {
		if n := len(server.cold); n != 0 || server.Stats().HTTP.Load() != 4 {
			t.Errorf("4 wait for a request, and %d have cold state; HTTP is %d", n, server.Stats().HTTP.Load())
		}
	})
	leaves.Close()
	waitFor(t, "it left", func() bool { return s.closes(reasons.RequestsDone) == 1 })
	upgrades.send([]byte(upgradeRequest("/news")))
	upgrades.expectUpgrade()
	for range int(keptTimeout/exchangeLook) - 1 {
		s.step(kernel, exchangeLook)
	}
	if n := s.servers[0].Stats().HTTP.Load(); n != 2 {
		t.Fatalf("%d are left before their time is over: %v", n, s.counts())
	}
	half.send([]byte("POST /news HTT"))
	waitFor(t, "it is there", func() bool { return s.requestBytes() > 0 })
	s.step(kernel, exchangeLook)
	s.step(kernel, exchangeLook)
	if n := s.closes(reasons.RequestIdle); n != 1 || s.closes(reasons.RequestTimeout) != 0 {
		t.Fatalf("reasons %v", s.counts())
	}
	half.send([]byte("P/1"))
	for range int(handshakeTimeout / exchangeLook) {
		s.step(kernel, exchangeLook)
	}
	half.expectRefusal(t, 408, reasons.RequestTimeout, "Connection: close")
	s.publish(t, "news", "still here?")
	upgrades.expect(message("still here?"))
	for _, c := range []*rawClient{silent, half, upgrades} {
		c.Close()
	}
	s.checkNothingLeft(t)
}

// A connection that is kept has a place like all others, which it may go on to use
// as a WebSocket; and it gives it up when newcomers are refused and it is idle.
func TestKeptConnectionsCountAndMakeRoom(t *testing.T) {
	kernel := &testKernel{}
	s, bus := startHTTP(t, func(c *Config) { c.PingInterval, c.ConnectionsMax = 0, 3 }, kernel.install)
	kernel.clock.Store(kernel.Now())
	upgrades, idle, busy := s.connect(t), s.connect(t), s.connect(t)
	for _, c := range []*rawClient{upgrades, idle} {
		c.send([]byte(postRequest("/a", "")))
		if r, _ := c.reply("POST"); r.StatusCode != 200 || r.Close {
			t.Fatalf("got %v", r)
		}
	}
	bus.hold()
	busy.send([]byte(postRequest("/b", "")))
	bus.wait(t, "a: ", "a: ", "b: ")
	if n := s.shared.Open(); n != 3 {
		t.Errorf("%d connections are counted of 3", n)
	}
	join := func() int {
		c := s.connect(t)
		c.send([]byte(upgradeRequest("/news")))
		return c.response().StatusCode
	}
	if status := join(); status != 503 {
		t.Errorf("a newcomer got %d from a full server", status)
	}
	upgrades.send([]byte(upgradeRequest("/news")))
	upgrades.expectUpgrade()
	for range 2 + int(keptCrowdedTimeout/exchangeLook) {
		s.step(kernel, exchangeLook)
	}
	if n := s.closes(reasons.RequestIdle); n != 1 {
		t.Fatalf("reasons %v", s.counts())
	}
	if _, err := idle.ReadByte(); err != io.EOF {
		t.Errorf("who was idle: %v", err)
	}
	if status := join(); status != 101 {
		t.Errorf("a newcomer got %d, and there is room", status)
	}
	bus.release()
	busy.expectReply("POST", 200, published("b", 0, 2))
	s.publish(t, "news", "still here?")
	upgrades.expect(message("still here?"))
	closeAll([]*rawClient{upgrades, idle, busy})
}

// Whoever says that he asks for nothing more is told with whatever answer that it is
// the last, and it is (RFC 9112, 9.6).
func TestLastAnswersSaySo(t *testing.T) {
	const last = "Connection: close\r\n"
	config := withHistory(10)
	s, bus := startHTTP(t, func(c *Config) { c.History = config.History })
	bare, _ := startHTTP(t, nil)
	for range 2 {
		s.publish(t, "kept", "hello")
	}
	poll := func(target string) string { return string(pollRequest(target, last)) }
	for _, c := range []struct {
		s       *testServer
		request string
		status  int
		then    func(*testServer)
	}{
		{s, postRequest("/a", "x", last), 200, nil},
		{s, postRequest("/a", "x", "Connection: keep-alive\r\n", last), 200, nil},
		{s, "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n" + last + "\r\n", 200, nil},
		{s, "HEAD /-/channels/a HTTP/1.1\r\nHost: h\r\n" + last + "\r\n", 200, nil},
		{s, "GET /-/channels/a HTTP/1.1\r\nHost: h\r\n" + last + "\r\n", 200, nil},
		{s, "OPTIONS * HTTP/1.1\r\nHost: h\r\n" + last + "\r\n", 204, nil},
		{s, poll("/a?wait=0"), 204, nil},
		{bare, poll("/a?wait=0"), 204, nil},
		{s, poll("/kept?since=first&wait=9"), 200, nil},
		{s, poll("/kept?since=other-1&wait=9"), 410, nil},
		{bare, poll("/a?since=x-1&wait=9"), 410, nil},
		{bare, poll("/a?wait=9"), 200, func(s *testServer) { s.publish(t, "a", "one") }},
		{s, poll("/a?wait=9"), 200, func(s *testServer) {
			var both sync.WaitGroup
			both.Add(1)
			s.servers[0].loop.Run(func(*poller.Loop) { both.Wait() }) // they come in one turn
			s.hub.Publish([]byte("a"), []byte("one"))
			s.hub.Publish([]byte("a"), []byte("two"))
			both.Done()
		}},
		{s, poll("/a?wait=9"), 410, func(s *testServer) { s.hub.Interrupted(0) }},
		{bare, poll("/a?wait=9"), 410, func(s *testServer) { s.hub.Interrupted(0) }},
		{s, postRequest("/a", "bus down", last), 503, nil},
	} {
		bus.mu.Lock()
		if bus.fate = channel.FatePublished; c.status == 503 {
			bus.fate = channel.FateUnpublished
		}
		bus.mu.Unlock()
		client := c.s.connect(t)
		client.send([]byte(c.request))
		if c.then != nil {
			c.s.waitForPolls(t, 1)
			c.then(c.s)
		}
		method, _, _ := strings.Cut(c.request, " ")
		if r, _ := client.reply(method); r.StatusCode != c.status || !r.Close {
			t.Errorf("%q: %s %v", c.request, r.Status, r.Header)
		}
		if b, err := client.ReadByte(); err != io.EOF {
			t.Errorf("%q: %q, %v follows the last answer", c.request, b, err)
		}
		client.Close()
	}
	s.checkNothingLeft(t)
	bare.checkNothingLeft(t)
}

// What is counted of requests that wait is what they hold: the end of a long read does
// not hold all of it.
func TestRequestsThatWaitHoldWhatIsCounted(t *testing.T) {
	long := "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 7<<10) + "\r\n\r\n"
	for name, tail := range map[string]string{
		"a request":        "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n",
		"half a request":   "GET /-/c10m.js HT",
		"a byte":           "G",
		"a quarter of all": strings.Repeat(long, 3) + "G",
	} {
		s, bus := startHTTP(t, nil, func(settings *epoll.Config, _ *Shared) { settings.Options.DeferAccept = false })
		bus.hold()
		stream := postRequest("/news", "first") + strings.Repeat(long, 6) + postRequest("/news", "second") + tail
		clients := make([]*rawClient, 40)
		for i := range clients {
			clients[i] = s.connect(t)
		}
		waitFor(t, "all are accepted", func() bool { return s.poller.Loops()[0].Stats().Connections.Load() == int64(len(clients)) })
		before := heapBytes()
		s.onLoops(func(l *poller.Loop, server *Server) {
			l.Walk(0, len(clients), func(fd uint32) { server.received(fd, copy(server.scratch[:], stream), 0) })
		})
		bus.next() // so that the second waits, and the tail behind it
		counted := 0
		s.onLoops(func(_ *poller.Loop, server *Server) {
			for _, c := range server.cold {
				if string(c.request) != tail {
					t.Errorf("%s: %d bytes wait, want %d", name, len(c.request), len(tail))
				}
			}
			counted = server.exchange.requestBytes
		})
		held := heapBytes() - before
		if least := len(clients) * len(tail); counted < least || counted > 5*least+len(clients)*8 || held-counted > len(clients)<<13 {
			t.Errorf("%s: %d bytes are counted, and %d held, for %d", name, counted, held, least)
		}
		bus.release()
		for _, c := range clients {
			c.Close()
		}
		s.checkNothingLeft(t)
	}
}

// heapBytes says what is reachable.
func heapBytes() int {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		request string
		want    route
		chosen  *protocol
	}{
		{upgradeRequest("/news"), routeUpgrade, nil},
		{"GET /news HTTP/1.1\r\nHost: h\r\n\r\n", routeInvite, nil},
		{"GET /news HTTP/1.1\r\nHost: h\r\nAccept: text/html, text/event-stream;q=0.9\r\n\r\n", routeProtocol, eventStream},
		{"GET /news HTTP/1.1\r\nHost: h\r\nACCEPT:text/event-stream\r\n\r\n", routeProtocol, eventStream},
		{"GET /news HTTP/1.1\r\nHost: h\r\nAccept: text/event-streams\r\n\r\n", routeInvite, nil},
		{edit("Host: h", "Host: h\r\nAccept: text/event-stream"), routeUpgrade, nil},
		{"GET /news?since=first&wait=30 HTTP/1.1\r\nHost: h\r\n\r\n", routeProtocol, longPoll},
		{"GET /news?await=30 HTTP/1.1\r\nHost: h\r\n\r\n", routeInvite, nil},
		{"POST /news?wait=1 HTTP/1.1\r\nHost: h\r\n\r\n", routePublish, nil},
		{"PUT /news HTTP/1.1\r\nHost: h\r\n\r\n", routeMethod, nil},
		{"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", routePreflight, nil},
		{"GET /-/demo HTTP/1.1\r\nHost: h\r\n\r\n", routePage, nil},
		{"HEAD /-/demo HTTP/1.1\r\nHost: h\r\n\r\n", routePage, nil},
		{"HEAD /news?wait=1 HTTP/1.1\r\nHost: h\r\n\r\n", routeProtocol, longPoll},
		{"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", routePage, nil},
		{"GET http://h/-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n", routePage, nil},
	} {
		h, _ := headOf(c.request)
		if got, chosen := routeOf(h); got != c.want || chosen != c.chosen {
			t.Errorf("%q goes to %d and %p, want %d and %p", c.request, got, chosen, c.want, c.chosen)
		}
	}
}
