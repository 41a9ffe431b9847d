package conn

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire/wiretest"
	"c10m/poller"

	"golang.org/x/sys/unix"
)

func pollRequest(target string, lines ...string) []byte {
	return []byte("GET " + target + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "") + "\r\n")
}

// poll asks and does not wait for the answer.
func (c *rawClient) poll(target string, lines ...string) { c.send(pollRequest(target, lines...)) }

// answered reads an answer and returns its payloads.
func (c *rawClient) answered(status int) (response *http.Response, payloads []string) {
	c.t.Helper()
	response, messages := wiretest.ReadPoll(c.t, c.Reader)
	if response.StatusCode != status {
		c.t.Fatalf("%s %v %q, want %d", response.Status, response.Header, messages, status)
	}
	for _, m := range messages {
		_, payload, _ := strings.Cut(m, " ")
		payloads = append(payloads, payload)
	}
	return response, payloads
}

func (c *rawClient) expectPolled(payloads ...string) *http.Response {
	c.t.Helper()
	response, got := c.answered(200)
	if !slices.Equal(got, payloads) {
		c.t.Fatalf("got %.200q, want %.200q", got, payloads)
	}
	return response
}

func openPolls(s *testServer) int64 {
	return s.sum(func(s *Server) int64 { return s.Stats().OpenPolls.Load() })
}

func (s *testServer) waitForPolls(t testing.TB, n int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d polls wait", n), func() bool {
		// A client may have its answer before the loop has counted its poll off.
		s.onLoops(func(*poller.Loop, *Server) {})
		return openPolls(s) == int64(n)
	})
}

func withHistory(messages int) Config {
	config := testConfig()
	config.History = channel.NewHistory(channel.HistoryConfig{Messages: messages})
	return config
}

func TestPollsWaitForTheNextMessage(t *testing.T) {
	s := startServer(t, 2, testConfig())
	const n = 20
	var pollers []*rawClient
	for range n {
		pollers = append(pollers, s.connect(t))
	}
	other, socket, events := s.connect(t), s.upgrade(t, "/news"), s.events(t, "/news")
	other.poll("/other?wait=60")
	for _, payload := range []string{"hello", "", "\xff\r\n", strings.Repeat("x", 300_000)} {
		for _, c := range pollers {
			c.poll("/news?wait=60")
		}
		s.waitForPolls(t, n+1)
		if members := s.publish(t, "news", payload); members != n+2 {
			t.Fatalf("%d members of %d", members, n+2)
		}
		position := ""
		for _, c := range pollers {
			r := c.expectPolled(payload)
			if p := r.Header.Get("C10m-Position"); position == "" {
				position = p
			} else if p != position {
				t.Fatalf("positions %q and %q", p, position)
			}
		}
		events.expectPayloads(payload)
		if f, err := socket.frame(); err != nil || f.payload != payload {
			t.Fatalf("the WebSocket got %.80v %v", f, err)
		}
		if got := s.publish(t, "news", "nobody polls"); got != 2 {
			t.Fatalf("%d members while nobody polls", got)
		}
		events.expectPayloads("nobody polls")
		socket.expect(message("nobody polls"))
	}
	closeAll(append(pollers, other, socket, events.rawClient))
	s.checkNothingLeft(t)
	if got := s.counts(); got[reasons.RequestsDone] != n || got[reasons.ClientGone] != 3 {
		t.Errorf("reasons %v", got)
	}
}

func TestPollsTimeOut(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		kernel := &testKernel{}
		config := testConfig()
		if keeps {
			config = withHistory(10)
		}
		config.PingInterval = 0
		s := startServer(t, 1, config, kernel.install)
		kernel.clock.Store(kernel.Linux.Now())
		c, long := s.connect(t), s.connect(t)
		long.poll("/news?wait=999") // is cut to 120
		c.poll("/news?wait=10")
		s.waitForPolls(t, 2)
		s.step(kernel, 9*time.Second)
		if openPolls(s) != 2 {
			t.Fatal("a poll ended too early")
		}
		s.publish(t, "news", "hello")
		c.expectPolled("hello")
		long.expectPolled("hello")
		// Its entry is due in a second, and must not end the next poll.
		c.poll("/news?wait=10")
		s.waitForPolls(t, 1)
		s.step(kernel, 8*time.Second)
		if openPolls(s) != 1 {
			t.Fatal("a poll was ended by the time of the one before")
		}
		s.step(kernel, 4*time.Second)
		r, _ := c.answered(204)
		if position := r.Header.Get("C10m-Position"); (position != "") != keeps || r.Close {
			t.Errorf("keeps %v: position %q, the last %v", keeps, position, r.Close)
		} else if keeps { // nothing is missed from there on
			s.publish(t, "news", "between two polls")
			c.poll("/news?wait=10&since=" + position)
			c.expectPolled("between two polls")
		}
		long.poll("/news?wait=999")
		s.waitForPolls(t, 1)
		s.step(kernel, 118*time.Second)
		if openPolls(s) != 1 {
			t.Fatal("a poll ended too early")
		}
		s.step(kernel, 4*time.Second)
		long.answered(204)
		closeAll([]*rawClient{c, long})
		s.checkNothingLeft(t)
		s.onLoops(func(_ *poller.Loop, server *Server) {
			if server.longPolls.polls.Len() > 4 {
				t.Errorf("%d entries are left of 5 polls", server.longPolls.polls.Len())
			}
		})
	}
}

// A message that comes in the turn in which a poll is over is its answer.
func TestPollsTimeOutBesideAMessage(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Linux.Now())
	c := s.connect(t)
	c.poll("/news?wait=10")
	s.waitForPolls(t, 1)
	published := make(chan bool)
	s.onLoops(func(l *poller.Loop, _ *Server) {
		kernel.clock.Add(int64(time.Minute)) // which the next turn sees
		l.Run(func(l *poller.Loop) {
			<-published // and stands in the mailbox
			l.TickNow()
		})
	})
	receipt, err := s.hub.Publish([]byte("news"), []byte("just in time"))
	if err != nil {
		t.Fatal(err)
	}
	close(published)
	c.expectPolled("just in time")
	if n := receipt.Wait(); n != 1 {
		t.Errorf("it went to %d", n)
	}
	c.Close()
	s.checkNothingLeft(t)
}

func TestPollsContinue(t *testing.T) {
	s := startServer(t, 1, withHistory(100))
	c := s.connect(t)
	c.poll("/news?wait=0")
	r, _ := c.answered(204)
	start := r.Header.Get("C10m-Position")
	if start == "" {
		t.Fatal("no position")
	}
	c.poll("/news?wait=0&since=first")
	c.answered(204)
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i))
		s.publish(t, "news", want[i])
	}
	for _, since := range []string{start, "first"} {
		c.poll("/news?wait=60&since=" + since)
		r := c.expectPolled(want[:channel.ResponseMessagesMax]...)
		c.poll("/news?wait=60&since=" + r.Header.Get("C10m-Position"))
		r = c.expectPolled(want[channel.ResponseMessagesMax:]...)
		c.poll("/news?since=" + r.Header.Get("C10m-Position") + "&wait=60")
		s.waitForPolls(t, 1)
		s.publish(t, "news", "live")
		c.expectPolled("live")
		want = append(want[1:], "live")
	}
	c.poll("/news?wait=60&since=" + start)
	r, _ = c.answered(410)
	now := r.Header.Get("C10m-Position")
	c.poll("/news?wait=0&since=" + now)
	c.answered(204)
	// A poll goes by since alone: its position was never an event's.
	c.poll("/news?wait=0&lastEventId="+start+"&since="+now, "Last-Event-ID: "+start+"\r\n")
	c.answered(204)
	// By bytes.
	for range 3 {
		s.publish(t, "news", strings.Repeat("x", 100<<10))
	}
	c.poll("/news?wait=60&since=" + now)
	if _, got := c.answered(200); len(got) != 2 {
		t.Errorf("%d messages of 100 KiB in an answer", len(got))
	}
	c.Close()
	s.checkNothingLeft(t)
}

// A client that polls with its position gets everything once, whatever is
// published between and during its polls.
func TestPollersGetEverythingOnce(t *testing.T) {
	s := startServer(t, 2, withHistory(100_000))
	const messages = 2000
	var pollers []*rawClient
	var positions [8]string
	for i := range positions {
		c := s.connect(t)
		c.poll("/news?wait=0")
		r, _ := c.answered(204)
		pollers, positions[i] = append(pollers, c), r.Header.Get("C10m-Position")
	}
	var working sync.WaitGroup
	for i, c := range pollers {
		working.Go(func() {
			for next := 0; next < messages; {
				c.Write(pollRequest("/news?wait=60&since=" + positions[i]))
				response, got := wiretest.ReadPoll(t, c.Reader)
				for _, m := range got {
					if _, payload, _ := strings.Cut(m, " "); payload != fmt.Sprint(next) {
						t.Errorf("poller %d: message %q where %d is due", i, m, next)
						return
					}
					next++
				}
				if positions[i] = response.Header.Get("C10m-Position"); response.StatusCode != 200 {
					t.Errorf("poller %d: %s", i, response.Status)
					return
				}
			}
		})
	}
	for i := range messages {
		s.hub.Publish([]byte("news"), []byte(fmt.Sprint(i)))
		if i%7 == 0 {
			time.Sleep(time.Duration(i%11) * 50 * time.Microsecond)
		}
	}
	working.Wait()
	waited := s.sum(func(s *Server) int64 { return int64(s.ChannelStats().Deliveries.Load()) })
	resent := s.sum(func(s *Server) int64 { return int64(s.Stats().Resent.Load()) })
	if waited == 0 || resent == 0 || waited+resent != int64(messages*len(pollers)) {
		t.Errorf("%d messages came to polls that waited, %d of the history: %d were due", waited, resent, messages*len(pollers))
	}
	closeAll(pollers)
	s.checkNothingLeft(t)
}

func TestPollsWithoutHistory(t *testing.T) {
	for _, config := range []Config{testConfig(), withHistory(0)} {
		s := startServer(t, 1, config)
		s.publish(t, "news", "before")
		c := s.connect(t)
		c.poll("/news?wait=60&since=abcdefgh-0")
		r, _ := c.answered(410)
		if position := r.Header.Get("C10m-Position"); (position != "") != (config.History != nil) {
			t.Errorf("position %q", position)
		}
		c.poll("/news?wait=0")
		c.answered(204)
		c.poll("/news?wait=60&since=")
		s.waitForPolls(t, 1)
		s.publish(t, "news", "hello")
		c.expectPolled("hello")
		c.Close()
		s.checkNothingLeft(t)
	}
}

// What comes behind a poll that waits is answered after it, and in order.
func TestPollsPipelined(t *testing.T) {
	s := startServer(t, 1, testConfig())
	c := s.connect(t)
	c.send(join(pollRequest("/a?wait=60"), pollRequest("/b?wait=60"), pollRequest("/c?wait=0")))
	s.waitForPolls(t, 1)
	c.poll("/d?wait=60")
	if n := s.publish(t, "b", "nobody polls there yet"); n != 0 {
		t.Errorf("%d members", n)
	}
	s.publish(t, "a", "one")
	c.expectPolled("one")
	waitFor(t, "the second poll waits", func() bool { return s.hub.Count([]string{"b"})[0] == 1 })
	s.publish(t, "b", "two")
	c.expectPolled("two")
	c.answered(204)
	waitFor(t, "the last poll waits", func() bool { return s.hub.Count([]string{"d"})[0] == 1 })
	c.send([]byte("GET /e?wait=0 HTTP/1.1\r\nHo"))
	s.publish(t, "d", "three")
	c.expectPolled("three")
	c.send([]byte("st: h\r\n\r\n"))
	c.answered(204)
	c.Close()
	s.checkNothingLeft(t)
}

func TestPollsEnd(t *testing.T) {
	s := startServer(t, 1, testConfig())
	last, gone, reset, behind := s.connect(t), s.connect(t), s.connect(t), s.connect(t)
	last.poll("/news?wait=60", "Connection: close\r\n")
	gone.poll("/news?wait=60")
	reset.poll("/news?wait=60")
	behind.send(join(pollRequest("/news?wait=60"), pollRequest("/news?wait=60")))
	s.waitForPolls(t, 4)
	gone.Close()
	reset.SetLinger(0)
	reset.Close()
	behind.SetLinger(0)
	behind.Close()
	s.waitForPolls(t, 1)
	s.publish(t, "news", "hello")
	last.expectPolled("hello")
	if b, err := last.ReadByte(); err == nil {
		t.Errorf("it is not the last answer: %q follows", b)
	}
	last.Close()
	lastEmpty := s.connect(t)
	lastEmpty.poll("/news?wait=0", "Connection: close\r\n")
	if r, _ := lastEmpty.answered(204); !r.Close {
		t.Error("the answer does not say that it is the last")
	}
	lastEmpty.Close()
	s.checkNothingLeft(t)
	if got := s.counts(); got[reasons.RequestsDone] != 2 || got[reasons.ClientGone] != 1 || got[reasons.ClientReset] != 2 {
		t.Errorf("reasons %v", got)
	}
}

func TestPollsRefused(t *testing.T) {
	config, _ := tokenConfig(t)
	s := startServer(t, 1, config)
	for _, c := range []struct {
		target string
		status int
		reason reasons.Reason
	}{
		{"/news?wait=1", 401, reasons.RequestTokenMissing},
		{"/?wait=1", 400, reasons.RequestChannel},
	} {
		client := s.connect(t)
		client.poll(c.target)
		client.expectRefusal(t, c.status, c.reason, "")
		client.Close()
	}
	s.checkNothingLeft(t)
	s = startServer(t, 1, testConfig())
	for _, wait := range []string{"", "x", "-1", "1.5", "%31"} {
		client := s.connect(t)
		client.poll("/news?wait=" + wait)
		client.expectRefusal(t, 400, reasons.RequestWait, "")
		client.Close()
	}
	s.checkNothingLeft(t)
}

// An answer that does not fit the socket goes on when there is room, and what
// follows it comes after it.
func TestPollsOfSlowReaders(t *testing.T) {
	s := startServer(t, 1, testConfig(), smallSendBuffer)
	slow := s.dialSlow(t)
	payload := strings.Repeat("0123456789", 100_000)
	slow.poll("/news?wait=60")
	s.waitForPolls(t, 1)
	s.publish(t, "news", payload)
	s.waitForPolls(t, 0)
	slow.poll("/news?wait=60")
	s.publish(t, "news", "is missed")
	slow.expectPolled(payload)
	s.waitForPolls(t, 1)
	s.publish(t, "news", "next")
	slow.expectPolled("next")
	slow.poll("/news?wait=60")
	s.waitForPolls(t, 1)
	s.publish(t, "news", payload)
	s.waitForPolls(t, 0)
	if n := s.servers[0].Stats().Pinned.Load(); n == 0 {
		t.Error("what is owed is not counted")
	}
	slow.SetLinger(0)
	slow.Close()
	s.checkNothingLeft(t)
}

// Answers from the history are each connection's own, and bounded all together.
func TestPollsOfSlowReadersAreBounded(t *testing.T) {
	s := startServer(t, 1, withHistory(10), smallSendBuffer)
	for range 3 {
		s.publish(t, "news", strings.Repeat("0123456789", 5_000))
	}
	owe := func(bytes int) {
		s.onLoops(func(_ *poller.Loop, server *Server) { server.outbox.owedBytes += bytes })
	}
	slow := s.dialSlow(t)
	slow.poll("/news?wait=60&since=first")
	waitFor(t, "it is answered", func() bool { return s.servers[0].Stats().Requests.Load() == 1 })
	owe(owedBytesTotalMax)
	another := s.dialSlow(t)
	another.poll("/news?wait=60&since=first")
	waitFor(t, "one more is too many", func() bool { return s.closes(reasons.StateMemory) == 1 })
	owe(-owedBytesTotalMax)
	if _, payloads := slow.answered(200); len(payloads) != 3 {
		t.Errorf("%d messages", len(payloads))
	}
	slow.Close()
	another.Close()
	s.checkNothingLeft(t)
}

// A drain answers polls with 204, and they come back over new connections.
func TestPollsAreDrained(t *testing.T) {
	var polls []*rawClient
	var kept *rawClient
	d := startHeldDrain(t, 10*time.Second, func(s *testServer) {
		for range 5 {
			c := s.connect(t)
			c.poll("/news?wait=60")
			polls = append(polls, c)
		}
		kept = s.connect(t)
		kept.poll("/news?wait=0")
		kept.answered(204)
		s.waitForPolls(t, 5)
	})
	kept.poll("/news?wait=60")
	kept.expectRefusal(t, 503, reasons.RequestDraining, "Retry-After: ")
	d.pass(6 * time.Second)
	for _, c := range polls {
		if r, _ := c.answered(204); !r.Close {
			t.Error("the answer does not say that it is the last")
		}
	}
	d.end(t)
	if got := d.counts(); got[reasons.Draining] != 5 || got[reasons.RequestDraining] != 1 {
		t.Errorf("reasons %v", got)
	}
}

// Whoever polls when messages may have been missed is told, and goes on.
func TestPollsAreToldWhatWasMissed(t *testing.T) {
	s := startServer(t, 1, withHistory(10))
	c := s.connect(t)
	c.poll("/news?wait=60")
	s.waitForPolls(t, 1)
	s.hub.Interrupted(0)
	response, _ := c.answered(410)
	s.publish(t, "news", "hello") // before the next poll
	c.poll("/news?wait=60&since=" + response.Header.Get("C10m-Position"))
	c.expectPolled("hello")
	c.Close()
	s.checkNothingLeft(t)
}

// A poll that waits is nothing on the heap: no cold state, no buffer, no timer.
func TestPollsThatWaitAreNoHeapObjects(t *testing.T) {
	s := startServer(t, 1, testConfig())
	const n = 3000
	var far []int
	t.Cleanup(func() {
		for _, fd := range far {
			unix.Close(fd)
		}
	})
	var port int
	fmt.Sscanf(s.address, "127.0.0.1:%d", &port)
	begin := func(n int) {
		for range n {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			far = append(far, fd)
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(fd, pollRequest("/news?wait=60")); err != nil {
				t.Fatal(err)
			}
		}
		s.waitForPolls(t, len(far))
	}
	objects := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapObjects
	}
	begin(100)
	before := objects()
	begin(n)
	after := objects()
	if grown := int64(after) - int64(before); grown > n/20 {
		t.Errorf("%d heap objects more with %d polls more", grown, n)
	}
	s.onLoops(func(_ *poller.Loop, server *Server) {
		if len(server.cold) > 0 {
			t.Errorf("%d of %d polls have cold state", len(server.cold), n)
		}
	})
	if members := s.publish(t, "news", "hello"); members != len(far) {
		t.Errorf("%d members of %d", members, len(far))
	}
	s.waitForPolls(t, 0)
	for _, fd := range far {
		b := make([]byte, 4096)
		if n, err := unix.Read(fd, b); err != nil || !strings.HasSuffix(string(b[:n]), "\r\n\r\nhello") {
			t.Fatalf("got %q %v", b[:max(n, 0)], err)
		}
	}
}

// A poll that waits has a place among the server's connections, and its connection
// keeps it when it is answered, until it ends.
func TestPollsCountAsConnections(t *testing.T) {
	config := testConfig()
	config.ConnectionsMax = 2
	s := startServer(t, 1, config)
	socket, c, late := s.upgrade(t, "/news"), s.connect(t), s.connect(t)
	c.poll("/news?wait=60")
	s.waitForPolls(t, 1)
	if n := s.shared.Open(); n != 2 {
		t.Errorf("%d connections are counted of 2", n)
	}
	late.poll("/news?wait=60")
	late.expectRefusal(t, 503, reasons.RequestFull, "Retry-After: ")
	s.publish(t, "news", "hello")
	c.expectPolled("hello")
	s.waitForPolls(t, 0)
	c.poll("/news?wait=60") // its place is its own
	s.waitForPolls(t, 1)
	c.Close()
	waitFor(t, "a place is free", func() bool { return s.shared.Open() == 1 })
	again := s.connect(t)
	again.poll("/news?wait=60")
	s.waitForPolls(t, 1)
	closeAll([]*rawClient{socket, late, again})
	s.checkNothingLeft(t)
}
