package conn

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/poller"
	"c10m/poller/epoll"
)

var ofOrigin = regexp.MustCompile("Access-Control-Allow-Origin: [^*]*\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n")

// undressed is an answer as it was made, before it had its Date and its page.
func undressed(t testing.TB, answer []byte) []byte {
	t.Helper()
	status, rest, _ := bytes.Cut(answer, []byte("\r\nDate: "))
	date, rest, isDated := bytes.Cut(rest, []byte("\r\n"))
	if at, err := http.ParseTime(string(date)); !isDated || err != nil || time.Since(at).Abs() > time.Hour || bytes.IndexByte(status, '\n') >= 0 {
		t.Fatalf("%q has not its Date: %v", answer, err)
	}
	return join(status, []byte("\r\n"), ofOrigin.ReplaceAll(rest, []byte("Access-Control-Allow-Origin: *\r\n")))
}

// expectRefusal reads one whole refusal and the end of the stream.
func (c *rawClient) expectRefusal(t *testing.T, status int, reason reasons.Reason, header string) {
	t.Helper()
	response, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("the stream does not end cleanly: %v after %q", err, response)
	}
	response = undressed(t, response)
	if !slices.ContainsFunc(reason.RefusalsFrom(reason.Retry()), func(r []byte) bool { return bytes.Equal(r, response) }) {
		t.Fatalf("got %q, want the refusal for %v", response, reason)
	}
	if !strings.HasPrefix(string(response), fmt.Sprintf("HTTP/1.1 %d ", status)) ||
		!strings.Contains(string(response), "\r\n"+header) {
		t.Fatalf("got %q, want status %d and %q", response, status, header)
	}
}

// TestBadRequests sends every bad request whole, with more behind it, and cut
// in two at some places.
func TestBadRequests(t *testing.T) {
	s := startServer(t, 2, testConfig())
	bystander := s.upgrade(t, "/bystander")
	want := map[reasons.Reason]int{reasons.ClientGone: 1}
	for _, c := range badRequests {
		play := func(name string, pieces ...string) {
			isRefused := t.Run(c.name+"/"+name, func(t *testing.T) {
				want[c.reason]++
				client := s.connect(t)
				for i, piece := range pieces {
					if i > 0 {
						s.onLoops(func(*poller.Loop, *Server) {})
					}
					client.send([]byte(piece))
				}
				client.expectRefusal(t, c.status, c.reason, c.header)
				client.Close()
			})
			if !isRefused {
				t.FailNow() // each of those that are taken in waits long for an end
			}
		}
		play("whole", c.request)
		play("with more behind it", c.request+"\r\n\r\nmore")
		for _, at := range []int{1, 2, 5, len(c.request) / 2, len(c.request) - 1} {
			if at > 0 && at < len(c.request) {
				play(fmt.Sprint("cut at ", at), c.request[:at], c.request[at:])
			}
		}
	}
	s.publish(t, "bystander", "still here?")
	bystander.expect(message("still here?"))
	bystander.Close()
	s.checkNothingLeft(t)
	if got := s.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("reasons %v, want %v", got, want)
	}
	if n := s.sum(func(s *Server) int64 { return int64(s.Stats().Handshakes.Load()) }); n != 1 {
		t.Errorf("%d handshakes", n)
	}
}

func TestGoodRequests(t *testing.T) {
	s := startServer(t, 1, testConfig())
	for i, request := range []string{
		upgradeRequest("/news"),
		edit("/news", "/news?token=/x%zz"),
		edit("/news", "ws://example.org/news"),
		edit("/news", "http://example.org/ne%77s?x"),
		edit("Host: h", "hOST:h"),
		edit("keep-alive, Upgrade", "upgrade"),
		edit("Upgrade: websocket", "UPGRADE:   WebSocket  "),
		edit("websocket", "h2c, websocket"),
		edit("keep-alive, Upgrade", "keep-alive\r\nConnection: Upgrade"),
		edit("GET", "\r\n\r\nGET"),
		edit("HTTP/1.1", "HTTP/1.2"),
		edit("Host: h", "Host: h\r\nContent-Length: 0"),
		requestOf(RequestBytesDefault),
	} {
		c := s.connect(t)
		c.send([]byte(request))
		c.expectUpgrade()
		if n := s.publish(t, "news", "to all"); n != i+1 {
			t.Errorf("%.70q: the channel has %d members, want %d", request, n, i+1)
		}
		c.expect(message("to all"))
	}
}

func TestRequestTimeout(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install, func(settings *epoll.Config, _ *Shared) {
		settings.Options.DeferAccept = false // so that silence is seen at once
	})
	kernel.clock.Store(kernel.Now())
	silent, half := s.connect(t), s.connect(t)
	half.send([]byte("GET /news HTTP/1.1\r\nHost"))
	waitFor(t, "both are there", func() bool { return s.servers[0].Stats().Unfinished.Load() == 2 && s.requestBytes() > 0 })
	done := s.upgrade(t, "/news") // in time, and not ended for it later
	s.step(kernel, handshakeTimeout*9/10)
	// Saying more does not win more time.
	half.send([]byte(": h\r\n"))
	waitFor(t, "more is there", func() bool { return s.requestBytes() == len("GET /news HTTP/1.1\r\nHost: h\r\n") })
	if n := s.servers[0].Stats().Unfinished.Load(); n != 2 {
		t.Fatalf("%d unfinished before their time is over", n)
	}
	s.step(kernel, handshakeTimeout/5)
	for _, c := range []*rawClient{silent, half} {
		c.expectRefusal(t, 408, reasons.RequestTimeout, "Connection: close")
		c.Close()
	}
	s.publish(t, "news", "still here?")
	done.expect(message("still here?"))
	done.Close()
	s.checkNothingLeft(t)
	if got := s.counts(); len(got) != 2 || got[reasons.RequestTimeout] != 2 || got[reasons.ClientGone] != 1 {
		t.Errorf("reasons %v", got)
	}
}

// A flood of silent newcomers comes due together, and is sent away in bounded
// steps.
func TestTimeoutsOfAFloodAreSpread(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install)
	kernel.clock.Store(kernel.Now())
	const flood = 2*timers.LatePerTickMax + 50
	clients := make([]*rawClient, flood)
	for i := range clients {
		clients[i] = s.connect(t)
		clients[i].send([]byte("GET "))
	}
	waitFor(t, "the flood", func() bool { return s.servers[0].Stats().Unfinished.Load() == flood })
	kernel.clock.Add(int64(handshakeTimeout) + 1)
	s.onLoops(func(*poller.Loop, *Server) {}) // the loop ticks once by itself
	s.onLoops(func(_ *poller.Loop, server *Server) {
		before := server.Stats().Closes[reasons.RequestTimeout].Load()
		if next := server.Tick(); next > server.loop.Now()+int64(timers.TickMin) {
			t.Errorf("the next tick is %d ns away", next-server.loop.Now())
		}
		if n := server.Stats().Closes[reasons.RequestTimeout].Load() - before; n > timers.LatePerTickMax {
			t.Errorf("one tick ended %d", n)
		}
	})
	for range 3 {
		s.step(kernel, timers.TickMin)
	}
	for _, c := range clients {
		c.expectRefusal(t, 408, reasons.RequestTimeout, "")
		c.Close()
	}
	s.checkNothingLeft(t)
}

func TestConnectionLimit(t *testing.T) {
	config := testConfig()
	config.ConnectionsMax = 3
	s := startServer(t, 1, config)
	var inside []*rawClient
	for range 3 {
		inside = append(inside, s.upgrade(t, "/news"))
	}
	c := s.connect(t)
	c.send([]byte(upgradeRequest("/news")))
	c.expectRefusal(t, http.StatusServiceUnavailable, reasons.RequestFull, "Retry-After: ")
	c.Close()
	inside[0].Close()
	waitFor(t, "a place is free", func() bool { return s.shared.Open() == 2 })
	s.upgrade(t, "/news").Close()
	if n := s.closes(reasons.RequestFull); n != 1 {
		t.Errorf("%d were refused", n)
	}
	for _, c := range inside[1:] {
		c.Close()
	}
	s.checkNothingLeft(t)
}

// While memory is short newcomers are refused, whoever is here stays, and both
// ends by itself.
func TestNoNewcomersWhileMemoryIsShort(t *testing.T) {
	s := startServer(t, 2, testConfig())
	inside := s.upgrade(t, "/news")
	s.shared.MemoryShort.Store(true)
	c := s.connect(t)
	c.send([]byte(upgradeRequest("/news")))
	c.expectRefusal(t, http.StatusServiceUnavailable, reasons.RequestNoMemory, "Retry-After: ")
	c.Close()
	s.publish(t, "news", "still here?")
	inside.expect(message("still here?"))
	s.shared.MemoryShort.Store(false)
	later := s.upgrade(t, "/news")
	if n := s.closes(reasons.RequestNoMemory); n != 1 {
		t.Errorf("%d were refused", n)
	}
	later.Close()
	inside.Close()
	s.checkNothingLeft(t)
}

// The bytes that unfinished requests may hold are limited for all of them
// together, for the first piece of a request and for each later one.
func TestRequestMemoryIsLimited(t *testing.T) {
	s := startServer(t, 1, testConfig())
	hold := func(n int) {
		s.onLoops(func(_ *poller.Loop, server *Server) { server.exchange.requestBytes += n })
	}
	early := s.connect(t)
	early.send([]byte("GET /news "))
	waitFor(t, "the first piece", func() bool { return s.requestBytes() == len("GET /news ") })
	hold(requestBytesTotalMax)
	late := s.connect(t)
	late.send([]byte("GET /news "))
	late.expectRefusal(t, 503, reasons.RequestMemory, "Retry-After: ")
	early.send([]byte("HTTP/1.1\r\n"))
	early.expectRefusal(t, 503, reasons.RequestMemory, "Retry-After: ")
	whole := s.upgrade(t, "/news") // needs no memory
	hold(-requestBytesTotalMax)
	for _, c := range []*rawClient{early, late, whole} {
		c.Close()
	}
	s.checkNothingLeft(t)
}

// The same for the number of connections with state outside their record.
func TestColdStatesAreLimited(t *testing.T) {
	s := startServer(t, 1, testConfig())
	fill := func(on bool) {
		s.onLoops(func(_ *poller.Loop, server *Server) {
			for fd := uint32(1 << 20); len(server.cold) < coldMax && on; fd++ {
				server.cold[fd] = nil
			}
			for fd, c := range server.cold {
				if c == nil && !on {
					delete(server.cold, fd)
				}
			}
		})
	}
	member := s.upgrade(t, "/news")
	fill(true)
	half := s.connect(t)
	half.send([]byte("GET /news "))
	half.expectRefusal(t, 503, reasons.RequestMemory, "")
	s.upgrade(t, "/news").Close() // one piece needs no state
	member.send(clientPing("x")[:3])
	if got := member.frames(); !slices.Equal(got, []wireFrame{closing(1013)}) {
		t.Errorf("half a frame that cannot be kept: %v", got)
	}
	fill(false)
	half.Close()
	member.Close()
	s.checkNothingLeft(t)
	if s.closes(reasons.StateMemory) != 1 || s.closes(reasons.RequestMemory) != 1 {
		t.Errorf("reasons %v", s.counts())
	}
}

// A first read that was interrupted does not free a newcomer from its time.
func TestInterruptedFirstReadKeepsItsTimeout(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install)
	kernel.clock.Store(kernel.Now())
	kernel.interrupt.Store(true)
	c := s.connect(t)
	c.send([]byte("GET "))
	waitFor(t, "it is there", func() bool { return s.servers[0].Stats().Unfinished.Load() == 1 })
	s.step(kernel, handshakeTimeout+1)
	c.expectRefusal(t, 408, reasons.RequestTimeout, "")
	c.Close()
	s.checkNothingLeft(t)
}
