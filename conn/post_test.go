package conn

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"

	"github.com/golang-jwt/jwt/v5"
)

// Every request that cannot be answered with what was asked for ends its
// connection with a reason of its own.
func TestPlainRequestsThatAreRefused(t *testing.T) {
	origins, err := access.ParseOrigins([]string{"https://good.example"})
	if err != nil {
		t.Fatal(err)
	}
	s, bus := startHTTP(t, func(c *Config) { c.Access.Origins = origins })
	want := make(map[reasons.Reason]int)
	for _, c := range []struct {
		request string
		status  int
		reason  reasons.Reason
	}{
		{postRequest("/news", strings.Repeat("x", 200_001)), 413, reasons.RequestTooBig},
		{"POST /news HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413, reasons.RequestTooBig},
		{"POST /news HTTP/1.1\r\nHost: h\r\n\r\n", 411, reasons.RequestLength},
		{"POST /news HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 411, reasons.RequestLength},
		{postRequest("/news", "x", "Transfer-Encoding: chunked\r\n"), 400, reasons.RequestMalformed},
		{postRequest("/news", "x", "Content-Length: 1\r\n"), 400, reasons.RequestMalformed},
		{"POST /news HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx", 400, reasons.RequestMalformed},
		{"POST /news HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\nx", 400, reasons.RequestMalformed},
		{"POST /news HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400, reasons.RequestMalformed},
		{postRequest("/news", "x", "Host: i\r\n"), 400, reasons.RequestHostInvalid},
		{postRequest("/news", "x", "X : y\r\n"), 400, reasons.RequestMalformed},
		{postRequest("/news", "x", "Content-Length\v: 2\r\n"), 400, reasons.RequestMalformed},
		{postRequest("/news", "x", "X(y): z\r\n"), 400, reasons.RequestMalformed},
		{postRequest("/news", "x", " folded\r\n"), 400, reasons.RequestMalformed},
		{postRequest("/news", "x", "X: a\rb\r\n"), 400, reasons.RequestMalformed},
		{postRequest("/news", "x", "X: a\nContent-Length: 2\r\n"), 400, reasons.RequestMalformed},
		{"POST /news HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 400, reasons.RequestHost},
		{"POST /news HTTP/2.0\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 505, reasons.RequestVersion},
		{"POST /news HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, reasons.RequestMalformed},
		{postRequest("/news", "x", "Content-Encoding: gzip\r\n"), 415, reasons.RequestEncoding},
		{postRequest("/", "x"), 400, reasons.RequestChannel},
		{postRequest("/%zz", "x"), 400, reasons.RequestChannel},
		{postRequest("/news\rX:y", "x"), 400, reasons.RequestMalformed},
		{postRequest("/news\tHTTP/1.1", "x"), 400, reasons.RequestChannel},
		{postRequest("/news\x7f", "x"), 400, reasons.RequestChannel},
		{postRequest("/-/channels/news", "x"), 404, reasons.RequestReserved},
		{postRequest("/news", "x", "Origin: https://bad.example\r\n"), 403, reasons.RequestOrigin},
		{"OPTIONS /news HTTP/1.1\r\nHost: h\r\nOrigin: https://bad.example\r\n\r\n", 403, reasons.RequestOrigin},
		{"GET /-/c10m.js HTTP/1.1\r\nHost: h\r\nOrigin: null\r\n\r\n", 403, reasons.RequestOrigin},
		{"GET /-/c10m.js HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 400, reasons.RequestMalformed},
		{"OPTIONS /news HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, reasons.RequestMalformed},
		{"GET /-/none HTTP/1.1\r\nHost: h\r\n\r\n", 404, reasons.RequestReserved},
		{"GET /-/channels/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, reasons.RequestChannel},
		{"PUT /news HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 405, reasons.RequestMethod},
		{"GET /news HTTP/1.1\r\nHost: h\r\n\r\n", 426, reasons.RequestNoUpgrade},
	} {
		for _, before := range []string{"", postRequest("/first", "", "Origin: https://good.example\r\n")} {
			client := s.connect(t)
			client.send([]byte(before + c.request))
			if before != "" {
				if r, _ := client.reply("POST"); r.StatusCode != 200 {
					t.Fatalf("%q: %s", before, r.Status)
				}
			}
			client.expectRefusal(t, c.status, c.reason, "Connection: close")
			client.Close()
			want[c.reason]++
		}
	}
	if got := bus.all(); slices.ContainsFunc(got, func(m string) bool { return m != "first: " }) {
		t.Errorf("published %q", got)
	}
	s.checkNothingLeft(t)
	if got := s.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("reasons %v, want %v", got, want)
	}
}

func TestPostNeedsPublishing(t *testing.T) {
	s := startServer(t, 1, testConfig())
	c := s.connect(t)
	c.send([]byte(postRequest("/news", "x")))
	c.expectRefusal(t, 403, reasons.RequestPublish, "")
	c.Close()
	s.checkNothingLeft(t)
}

// With tokens, whoever publishes needs one that says so, and whoever asks for the
// connections of a channel one that lets him subscribe to it.
func TestPlainRequestsNeedTokens(t *testing.T) {
	tokens, w := tokenConfig(t)
	s, bus := startHTTP(t, func(c *Config) { c.Tokens = tokens.Tokens })
	bearer := func(claims jwt.MapClaims) string {
		claims["aud"], claims["exp"] = "us", w.unix.Load()+60
		return "Authorization: Bearer " + sign(t, tokenSecret, claims) + "\r\n"
	}
	publishes, subscribes := bearer(jwt.MapClaims{"publish": "n*"}), bearer(jwt.MapClaims{"subscribe": "n*"})
	get := "GET /-/channels/news HTTP/1.1\r\nHost: h\r\n%s\r\n"
	c := s.connect(t)
	c.send([]byte(postRequest("/news", "x", publishes) + fmt.Sprintf(get, subscribes) + "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n"))
	c.expectReply("POST", 200, published("news", 1, 0))
	c.expectReply("GET", 200, `{"channel":"news","connections":0}`+"\n")
	c.expectReply("GET", 200, "script")
	c.Close()
	for _, c := range []struct {
		request string
		status  int
		reason  reasons.Reason
	}{
		{postRequest("/news", "x"), 401, reasons.RequestTokenMissing},
		{postRequest("/news", "x", subscribes), 403, reasons.RequestTokenPublish},
		{postRequest("/sport", "x", publishes), 403, reasons.RequestTokenPublish},
		{postRequest("/news", "x", publishes[:len(publishes)-4], "\r\n"), 401, reasons.RequestTokenInvalid},
		{fmt.Sprintf(get, ""), 401, reasons.RequestTokenMissing},
		{fmt.Sprintf(get, publishes), 403, reasons.RequestTokenChannel},
	} {
		client := s.connect(t)
		client.send([]byte(c.request))
		client.expectRefusal(t, c.status, c.reason, "")
		client.Close()
	}
	if got := bus.all(); !slices.Equal(got, []string{"news: x"}) {
		t.Errorf("published %q", got)
	}
	s.checkNothingLeft(t)
}

// While answers are to come, messages that are there are published, and nothing
// else is done or read.
func TestAnswersComeInOrder(t *testing.T) {
	s, bus := startHTTP(t, nil)
	bus.hold()
	c := s.connect(t)
	page := "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n"
	c.send([]byte(postRequest("/a", "1") + postRequest("/b", "2") + page + postRequest("/c", "3") + postRequest("/d", "4")[:20]))
	bus.wait(t, "a: 1", "b: 2")
	c.send([]byte(postRequest("/d", "4")[20:] + "nonsense\r\n"))
	waitFor(t, "it is not read from", func() (held bool) {
		s.onLoops(func(_ *poller.Loop, server *Server) {
			for _, c := range server.cold {
				held = c.held
			}
		})
		return held
	})
	bus.wait(t, "a: 1", "b: 2")
	bus.release()
	c.expectReply("POST", 200, published("a", 1, 0))
	c.expectReply("POST", 200, published("b", 1, 1))
	c.expectReply("GET", 200, "script")
	c.expectReply("POST", 200, published("c", 1, 2))
	c.expectReply("POST", 200, published("d", 1, 3))
	c.expectRefusal(t, 400, reasons.RequestMalformed, "")
	c.Close()
	s.checkNothingLeft(t)
}

// A counterOf counts when the test says so.
type counterOf chan int

func (c counterOf) Count(channels []string) []int  { return []int{<-c} }
func (c counterOf) Presence(string) []channel.Part { return nil }

// The loops that are counted on, and the bus, know nothing of each other: a message
// that comes behind a request to count waits for it.
func TestCountsAreAnsweredInOrder(t *testing.T) {
	s, bus := startHTTP(t, nil)
	counter := make(counterOf)
	s.shared.CountWith(counter)
	c := s.connect(t)
	count := "GET /-/channels/news HTTP/1.1\r\nHost: h\r\n\r\n"
	c.send([]byte(postRequest("/a", "1") + count + postRequest("/b", "2") + postRequest("/c", "3") + count))
	c.expectReply("POST", 200, published("a", 1, 0))
	bus.wait(t, "a: 1")
	counter <- 7
	c.expectReply("GET", 200, "{\"channel\":\"news\",\"connections\":7}\n")
	c.expectReply("POST", 200, published("b", 1, 1))
	c.expectReply("POST", 200, published("c", 1, 2))
	counter <- 8
	c.expectReply("GET", 200, "{\"channel\":\"news\",\"connections\":8}\n")
	c.Close()
	s.checkNothingLeft(t)
}

// More requests at once than are answered in one go.
func TestManyRequestsAtOnce(t *testing.T) {
	s, _ := startHTTP(t, nil)
	c := s.connect(t)
	const many = 5*exchangesPerReadMax + 1
	c.send([]byte(strings.Repeat("HEAD /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n", many) + strings.Repeat(postRequest("/a", "xyz"), many)))
	for range many {
		c.expectReply("HEAD", 200, "")
	}
	for i := range many {
		c.expectReply("POST", 200, published("a", 3, i))
	}
	c.Close()
	s.checkNothingLeft(t)
	if n := s.servers[0].Stats().Requests.Load(); n != 2*many {
		t.Errorf("%d requests were counted", n)
	}
}

// Under overload a client hears so, with when to try again, and keeps its
// connection; so it does if the bus is down.
func TestPostsThatFail(t *testing.T) {
	s, bus := startHTTP(t, nil)
	stats := s.servers[0].Stats()
	c := s.connect(t)
	expectFailure := func(what wire.Failure) {
		t.Helper()
		r := c.expectReply("POST", what.Status, what.Text+"\n")
		after := ""
		if what.RetrySeconds > 0 {
			after = fmt.Sprint(what.RetrySeconds)
		}
		if r.Header.Get("Retry-After") != after || r.Close {
			t.Errorf("%q: %v", what.Text, r.Header)
		}
	}
	bus.full.Store(true)
	c.send([]byte(postRequest("/a", "full")))
	expectFailure(publishBusy)
	bus.full.Store(false)
	bus.refusing.Store(true)
	c.send([]byte(postRequest("/a", "at the hard limit")))
	expectFailure(publishBusy)
	bus.refusing.Store(false)
	if n := stats.PublishesRefused.Load(); n != 2 {
		t.Errorf("%d refused", n)
	}
	for i, what := range publishFailures {
		fate := channel.Fate(i)
		if fate == channel.FatePublished {
			continue
		}
		bus.mu.Lock()
		bus.fate = fate
		bus.mu.Unlock()
		c.send([]byte(postRequest("/a", "down")))
		expectFailure(what)
	}
	if n := stats.PublishesFailed.Load(); n != 3 {
		t.Errorf("%d failed", n)
	}
	c.Close()
	s.checkNothingLeft(t)
}

// A message has its key however its body comes. What is no key is refused before anything
// is published.
func TestKeysOfPosts(t *testing.T) {
	_, _, badKey := reasons.RequestIdempotencyKey.Told()
	badKey += "\n"
	s, bus := startHTTP(t, nil)
	c := s.connect(t)
	request := postRequest("/a", "xyz", "idempotency-key: \"k 1\"\r\n")
	c.send([]byte(request))
	c.expectReply("POST", 400, badKey)
	for i, field := range []string{"idempotency-key: k\r\n", "Idempotency-Key: \"k\" \r\n", "Idempotency-Key:k\r\n"} {
		c := s.connect(t)
		request := postRequest("/a", "xyz", field)
		c.send([]byte(request[:len(request)-1-i]))
		waitFor(t, "the head is read", func() bool { return s.servers[0].Stats().HTTP.Load() > 0 })
		c.send([]byte(request[len(request)-1-i:]))
		c.expectReply("POST", 200, published("a", 3, i))
		c.Close()
		waitFor(t, "it is gone", func() bool { return s.servers[0].Stats().HTTP.Load() == 0 })
	}
	d := s.connect(t)
	d.send([]byte(postRequest("/a", "xyz", "Idempotency-Key: k\r\nIdempotency-Key: k\r\n")))
	d.expectReply("POST", 400, badKey)
	if !slices.Equal(bus.keys, []string{"k", "k", "k"}) {
		t.Errorf("keys %q", bus.keys)
	}
	c.Close()
	d.Close()
	s.checkNothingLeft(t)
}

// A body is whole however it comes, and a client that waits for leave to send it
// gets it.
func TestBodiesInPieces(t *testing.T) {
	s, bus := startHTTP(t, nil)
	payload := strings.Repeat("0123456789", 20_000)
	want := "long: " + payload
	for _, size := range []int{1 << 10, 65_536, 150_000} {
		bus.forget()
		c := s.connect(t)
		c.send([]byte(postRequest("/long", payload, "Expect: 100-continue\r\n")[:len(postRequest("/long", payload, "Expect: 100-continue\r\n"))-len(payload)]))
		if line, err := c.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		if line, _ := c.ReadString('\n'); line != "\r\n" {
			t.Fatalf("behind it: %q", line)
		}
		rest := payload + postRequest("/next", "n")
		for len(rest) > 0 {
			n := min(size, len(rest))
			c.send([]byte(rest[:n]))
			s.onLoops(func(*poller.Loop, *Server) {})
			rest = rest[n:]
		}
		c.expectReply("POST", 200, published("long", len(payload), 0))
		c.expectReply("POST", 200, published("next", 1, 1))
		bus.wait(t, want, "next: n")
		c.Close()
	}
	s.checkNothingLeft(t)
}

// What bodies hold that are not complete is limited, in bytes and in time.
func TestUnfinishedBodiesAreLimited(t *testing.T) {
	kernel := &testKernel{}
	s, bus := startHTTP(t, func(c *Config) { c.InboundBytesTotal, c.PingInterval = 300_000, 0 }, kernel.install)
	kernel.clock.Store(kernel.Now())
	held := func() (n int) {
		s.onLoops(func(_ *poller.Loop, server *Server) { n = server.inboundBytes })
		return n
	}
	request := postRequest("/a", strings.Repeat("x", 150_000))
	var clients []*rawClient
	for i := range 2 {
		c := s.connect(t)
		c.send([]byte(request[:len(request)-10]))
		waitFor(t, "the body is there", func() bool { return held() >= (i+1)*149_000 })
		clients = append(clients, c)
	}
	third := s.connect(t)
	third.send([]byte(request[:len(request)-10]))
	third.expectRefusal(t, 503, reasons.RequestMemory, "Retry-After: ")
	third.Close()
	clients[0].send([]byte(request[len(request)-10:]))
	clients[0].expectReply("POST", 200, published("a", 150_000, 0))
	for range int(bodyTimeout/exchangeLook) + 1 {
		s.step(kernel, exchangeLook)
	}
	clients[1].expectRefusal(t, 408, reasons.RequestTimeout, "")
	for _, c := range clients {
		c.Close()
	}
	s.checkNothingLeft(t)
	if len(bus.all()) != 1 {
		t.Errorf("%d were published", len(bus.all()))
	}
}

// An answer that comes when its connection is gone is nobody else's.
func TestAnswerForSomebodyWhoLeft(t *testing.T) {
	s, bus := startHTTP(t, nil)
	bus.hold()
	leaves := s.connect(t)
	leaves.send([]byte(postRequest("/a", "1")))
	bus.wait(t, "a: 1")
	leaves.SetLinger(0)
	leaves.Close()
	waitFor(t, "the reset", func() bool { return s.closes(reasons.ClientReset) == 1 })
	waitFor(t, "it is gone", func() bool { return s.poller.Loops()[0].Stats().Connections.Load() == 0 })
	next := s.connect(t)
	next.send([]byte(postRequest("/b", "22")))
	bus.wait(t, "a: 1", "b: 22")
	bus.testPublisher.mu.Lock()
	from := bus.from
	bus.testPublisher.mu.Unlock()
	if a, b := from[0], from[1]; uint32(a) != uint32(b) || a == b {
		t.Fatalf("this test wants the same descriptor again: %x after %x", a, b)
	}
	bus.release()
	next.expectReply("POST", 200, published("b", 2, 1))
	next.Close()
	s.checkNothingLeft(t)
}

// A client that ends its side once it has asked, as netcat does, gets its answers.
func TestHalfClosedClientGetsItsAnswers(t *testing.T) {
	s, bus := startHTTP(t, nil)
	bus.hold()
	c := s.connect(t)
	c.send([]byte(postRequest("/a", "1") + "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n"))
	c.CloseWrite()
	bus.wait(t, "a: 1")
	s.onLoops(func(*poller.Loop, *Server) {})
	bus.release()
	c.expectReply("POST", 200, published("a", 1, 0))
	c.expectReply("GET", 200, "script")
	if _, err := c.ReadByte(); err != io.EOF {
		t.Errorf("behind them: %v", err)
	}
	s.checkNothingLeft(t)
	if n := s.closes(reasons.RequestsDone); n != 1 {
		t.Errorf("reasons %v", s.counts())
	}
}

// A client that does not take its answers is not asked for more, gets all of them
// when it does, and is ended if it never does.
func TestAnswersThatWaitForRoom(t *testing.T) {
	kernel := &testKernel{}
	s, _ := startHTTP(t, func(c *Config) { c.PingInterval = 0 }, kernel.install)
	kernel.clock.Store(kernel.Now())
	page := "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n"
	takes, never := s.connect(t), s.connect(t)
	waits := func(n int) {
		t.Helper()
		waitFor(t, "answers wait", func() (all bool) {
			owing := 0
			s.onLoops(func(_ *poller.Loop, server *Server) {
				for _, c := range server.cold {
					if c.owes() && len(c.request) == 2*len(page) {
						owing++
					}
				}
			})
			return owing == n
		})
	}
	kernel.room.Store(11)
	takes.send([]byte(strings.Repeat(page, 3)))
	waits(1)
	kernel.room.Store(0)
	s.step(kernel, time.Second) // the loop tries again: it was told that there is room, and there was none
	for range 3 {
		takes.expectReply("GET", 200, "script")
	}
	kernel.room.Store(11)
	never.send([]byte(strings.Repeat(page, 3)))
	waits(1)
	for range int(answerTimeout/exchangeLook) + 1 {
		s.step(kernel, exchangeLook)
	}
	waitFor(t, "it is ended", func() bool { return s.closes(reasons.WriteDeadline) == 1 })
	takes.Close()
	never.Close()
	s.checkNothingLeft(t)
}

// A drain ends who waits for nothing, answers whom it owes an answer, and tells
// those who have not asked completely.
func TestDrainOfExchanges(t *testing.T) {
	s, bus := startHTTP(t, nil)
	idle, half, body, pending := s.connect(t), s.connect(t), s.connect(t), s.connect(t)
	for _, c := range []*rawClient{idle, half} {
		c.send([]byte(postRequest("/a", "")))
		c.reply("POST")
	}
	half.send([]byte("POST /a"))
	body.send([]byte(postRequest("/a", "body")[:50]))
	bus.hold()
	pending.send([]byte(postRequest("/b", "1")))
	bus.wait(t, "a: ", "a: ", "b: 1")
	waitFor(t, "all are there", func() (all bool) {
		s.onLoops(func(_ *poller.Loop, server *Server) { all = len(server.cold) == 3 })
		return all
	})
	done := make(chan struct{})
	go func() { Drain(s.servers, 0); close(done) }()
	if rest, err := io.ReadAll(idle.Reader); err != nil || len(rest) > 0 {
		t.Errorf("who waits for nothing gets %q, %v", rest, err)
	}
	for _, c := range []*rawClient{half, body} {
		c.expectRefusal(t, 503, reasons.RequestDraining, "")
		c.Close()
	}
	bus.release()
	pending.expectReply("POST", 200, published("b", 1, 2))
	idle.Close()
	pending.Close()
	<-done
	s.checkNothingLeft(t)
	// The drain comes to who is owed an answer before the answer, or after it.
	if s.closes(reasons.Draining) < 1 || s.closes(reasons.RequestDraining) != 2 || s.closes(reasons.Draining)+s.closes(reasons.RequestsDone) != 2 {
		t.Errorf("reasons %v", s.counts())
	}
}

// Answers are the last ones on their connections when the server has no room for
// connections that wait.
func TestFullServerKeepsNoConnections(t *testing.T) {
	s, _ := startHTTP(t, func(c *Config) { c.ConnectionsMax = 1 })
	member := s.upgrade(t, "/news")
	for _, request := range []string{postRequest("/a", ""), "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n", "GET /-/channels/a HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n"} {
		c := s.connect(t)
		c.send([]byte(request))
		method, _, _ := strings.Cut(request, " ")
		if r, _ := c.reply(method); r.StatusCode/100 != 2 || !r.Close {
			t.Errorf("%q: %v", request, r)
		}
		if _, err := c.ReadByte(); err != io.EOF {
			t.Errorf("%q: the connection goes on: %v", request, err)
		}
		c.Close()
	}
	member.Close()
	s.checkNothingLeft(t)
	if n := s.closes(reasons.RequestsDone); n != 4 {
		t.Errorf("reasons %v", s.counts())
	}
}

// A browser that has a page is told that it is the same.
func TestPagesHaveTags(t *testing.T) {
	s, _ := startHTTP(t, nil)
	c := s.connect(t)
	get := func(field string) *http.Response {
		c.send([]byte("GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n" + field + "\r\n"))
		r, _ := c.reply("GET")
		return r
	}
	tag := get("").Header.Get("Etag")
	for field, want := range map[string]int{
		tag: 304, `W/` + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, strings.Trim(tag, `"`): 200,
	} {
		if r := get("If-None-Match: " + field + "\r\n"); r.StatusCode != want || r.Header.Get("Etag") != tag {
			t.Errorf("%s: %s", field, r.Status)
		}
	}
	c.Close()
	s.checkNothingLeft(t)
}
