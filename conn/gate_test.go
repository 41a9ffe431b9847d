package conn

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"c10m/access"
	"c10m/conn/admission"
	"c10m/conn/reasons"
	"c10m/poller"
	"c10m/poller/epoll"

	"github.com/gobwas/ws"
)

// gateConfig is a server with limits, whose trusted proxies are 127.1.0.0/16.
func gateConfig(t testing.TB, limits access.AddressLimits, edit func(*admission.Access)) Config {
	t.Helper()
	trusted, err := access.ParseNetworks([]string{"127.1.0.0/16"})
	if err != nil {
		t.Fatal(err)
	}
	config := testConfig()
	config.Access = admission.Access{Addresses: access.NewAddresses(limits), DescriptorsMax: 1 << 20, Trusted: trusted}
	if edit != nil {
		edit(&config.Access)
	}
	return config
}

// from connects from an address of the loopback network.
func (s *testServer) from(t testing.TB, address string) *rawClient {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c, err := dialer.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	return newRawClient(t, c)
}

// ask sends a request after a prefix and returns the status of the answer.
func (c *rawClient) ask(prefix string, fields ...string) *http.Response {
	c.t.Helper()
	c.send([]byte(prefix + strings.Replace(upgradeRequest("/news"), "Host: h\r\n", "Host: h\r\n"+strings.Join(append(fields, ""), "\r\n"), 1)))
	return c.response()
}

func (c *rawClient) expectStatus(want int, prefix string, fields ...string) {
	c.t.Helper()
	r := c.ask(prefix, fields...)
	if r.StatusCode != want {
		c.t.Fatalf("%s, want %d", r.Status, want)
	}
	if want != http.StatusSwitchingProtocols {
		if body, err := io.ReadAll(c.Reader); err != nil || len(body) == 0 {
			c.t.Errorf("after %d: %q, %v", want, body, err)
		}
	}
}

func proxyV1(client string) string {
	return "PROXY TCP4 " + client + " 127.0.0.1 4000 443\r\n"
}

func proxyV2(command byte, client string) string {
	body := ""
	family := byte(0)
	if client != "" {
		family = 0x11
		body = string(net.ParseIP(client).To4()) + "\x7f\x00\x00\x01\x0f\xa0\x01\xbb" + "\x04\x00\x01x"
	}
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + body
}

func TestConnectionsPerAddress(t *testing.T) {
	for _, private := range []bool{false, true} {
		t.Run(fmt.Sprintf("private=%v", private), func(t *testing.T) {
			config := gateConfig(t, access.AddressLimits{Connections: 2}, func(a *admission.Access) { a.PrivateFDTables = private })
			s := startServer(t, 2, config, func(settings *epoll.Config, _ *Shared) { settings.PrivateFDTables = private })
			first, second := s.from(t, "127.0.0.2"), s.from(t, "127.0.0.2")
			first.expectStatus(101, "")
			second.expectStatus(101, "")
			third := s.from(t, "127.0.0.2")
			if r := third.ask(""); r.StatusCode != 429 || r.Header.Get("Retry-After") == "" {
				t.Fatalf("%s %v", r.Status, r.Header)
			}
			s.from(t, "127.0.0.3").expectStatus(101, "")
			for range 20 {
				s.from(t, "127.1.0.1").expectStatus(101, "") // a proxy's own
			}
			if n := s.publish(t, "news", "hello"); n != 23 {
				t.Errorf("a message goes to %d", n)
			}
			first.send(clientClose(1000, ""))
			first.frames()
			waitFor(t, "the place is free again", func() bool {
				c := s.from(t, "127.0.0.2")
				defer c.Close()
				return c.ask("").StatusCode == 101
			})
			if s.closes(reasons.RequestAddressConnections) == 0 {
				t.Errorf("%v", s.counts())
			}
			s.poller.Stop()
			if n := config.Access.Addresses.Count(); n != 0 {
				t.Errorf("%d addresses are left", n)
			}
		})
	}
}

// Whoever does not even ask is counted as well, from the accept on.
func TestSilentConnectionsAreCounted(t *testing.T) {
	config := gateConfig(t, access.AddressLimits{Connections: 2}, nil)
	s := startServer(t, 1, config, func(settings *epoll.Config, _ *Shared) { settings.Options.DeferAccept = false })
	first, second := s.from(t, "127.0.0.2"), s.from(t, "127.0.0.2")
	waitFor(t, "both are accepted", func() bool { return s.sum(func(s *Server) int64 { return s.Stats().Unfinished.Load() }) == 2 })
	third := s.from(t, "127.0.0.2")
	if r := third.response(); r.StatusCode != 429 {
		t.Errorf("%s", r.Status)
	}
	first.Close()
	second.Close()
	s.checkNothingLeft(t)
	if n := config.Access.Addresses.Count(); n != 0 {
		t.Errorf("%d addresses are left", n)
	}
}

func TestHandshakesPerSecondAndAddress(t *testing.T) {
	kernel := &testKernel{}
	kernel.clock.Store(1e12)
	config := gateConfig(t, access.AddressLimits{RatePerSecond: 0.1, Burst: 2}, nil)
	s := startServer(t, 1, config, kernel.install)
	for _, want := range []int{101, 101, 429} {
		s.from(t, "127.0.0.2").expectStatus(want, "")
	}
	if r := s.from(t, "127.0.0.2").ask(""); r.StatusCode != 429 || len(r.Header.Get("Retry-After")) != 2 {
		t.Errorf("%s, Retry-After %q", r.Status, r.Header.Get("Retry-After"))
	}
	s.from(t, "127.0.0.3").expectStatus(101, "")
	kernel.clock.Add(10e9)
	s.onLoops(func(*poller.Loop, *Server) {}) // the turn after this one sees the new time
	for _, want := range []int{101, 429} {
		s.from(t, "127.0.0.2").expectStatus(want, "")
	}
	if n := s.closes(reasons.RequestAddressRate); n != 3 {
		t.Errorf("%v", s.counts())
	}
}

// The client that a PROXY header names is the one that counts, in whatever
// pieces the header comes.
func TestProxyHeaderAtEverySplit(t *testing.T) {
	for name, header := range map[string]string{"v1": proxyV1("192.0.2.1"), "v2": proxyV2(0x21, "192.0.2.1")} {
		t.Run(name, func(t *testing.T) {
			config := gateConfig(t, access.AddressLimits{Connections: 1}, func(a *admission.Access) { a.ProxyProtocol = true })
			s := startServer(t, 1, config, func(settings *epoll.Config, _ *Shared) { settings.Options.DeferAccept = false })
			whole := header + upgradeRequest("/news")
			for at := 1; at <= len(header)+20; at++ {
				c := s.from(t, "127.1.0.1")
				c.send([]byte(whole[:at]))
				waitFor(t, "the first piece is read", func() bool { return s.pieceIsRead() })
				c.send([]byte(whole[at:]))
				c.expectUpgrade()
				s.from(t, "127.1.0.1").expectStatus(429, header)
				s.from(t, "127.1.0.1").expectStatus(101, proxyV1("192.0.2.77"))
				c.send(clientClose(1000, ""))
				c.frames()
				s.abortOpen(t)
			}
			// And byte by byte.
			c := s.from(t, "127.1.0.1")
			for i := range len(whole) {
				c.send([]byte{whole[i]})
			}
			c.expectUpgrade()
			s.from(t, "127.1.0.1").expectStatus(429, header)
			c.Close()
			s.checkNothingLeft(t)
			if n := config.Access.Addresses.Count(); n != 0 {
				t.Errorf("%d addresses are left", n)
			}
		})
	}
}

// pieceIsRead reports whether the one unfinished connection waits for more: it
// holds its piece, or, at the end of a PROXY header, nothing.
func (s *testServer) pieceIsRead() bool {
	read := false
	s.onLoops(func(l *poller.Loop, server *Server) {
		for fd, c := range server.cold {
			if l.Record(fd).Phase == phaseRequest {
				read = len(c.request) > 0 || !c.proxy.isTrusted && !c.proxy.hasHeader
			}
		}
	})
	return read
}

// abortOpen ends what is open and waits until it is gone.
func (s *testServer) abortOpen(t *testing.T) {
	t.Helper()
	s.onLoops(func(l *poller.Loop, server *Server) {
		l.Walk(0, 1<<20, func(fd uint32) { server.end(fd, reasons.Stopped) })
	})
	waitFor(t, "all are gone", func() bool { return s.poller.Loops()[0].Stats().Connections.Load() == 0 })
}

// Who has to send a header and does not is refused; who must not and does, too.
func TestProxyHeaderFromTheRightPeersOnly(t *testing.T) {
	s := startServer(t, 1, gateConfig(t, access.AddressLimits{Connections: 100}, func(a *admission.Access) { a.ProxyProtocol = true }))
	for _, c := range []struct {
		from, prefix string
		status       int
		reason       reasons.Reason
	}{
		{"127.1.0.1", "", 400, reasons.RequestProxyHeader},
		{"127.1.0.1", "PROXY TCP4 x y 1 2\r\n", 400, reasons.RequestProxyHeader},
		{"127.1.0.1", proxyV2(0x22, ""), 400, reasons.RequestProxyHeader},
		{"127.1.0.1", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, reasons.RequestProxyHeader},
		{"127.1.0.1", proxyV1("192.0.2.1") + proxyV1("192.0.2.1"), 400, reasons.RequestMalformed},
		{"127.0.0.2", proxyV1("192.0.2.1"), 400, reasons.RequestMalformed},
		{"127.0.0.2", proxyV2(0x21, "192.0.2.1"), 400, reasons.RequestMalformed},
		{"127.1.0.1", proxyV1("192.0.2.1"), 101, reasons.None},
		{"127.1.0.1", proxyV2(0x20, ""), 101, reasons.None},
		{"127.1.0.1", proxyV2(0x21, ""), 101, reasons.None},
		{"127.1.0.1", "PROXY UNKNOWN\r\n", 101, reasons.None},
		{"127.0.0.2", "", 101, reasons.None},
	} {
		before := s.counts()
		s.from(t, c.from).expectStatus(c.status, c.prefix)
		if c.reason == reasons.None {
			continue
		}
		if got := s.counts()[c.reason] - before[c.reason]; got != 1 {
			t.Errorf("%s %.20q: %v", c.from, c.prefix, s.counts())
		}
	}
}

// A header that never ends is given up by its length or its time, as a request is.
func TestEndlessProxyHeaders(t *testing.T) {
	kernel := &testKernel{}
	kernel.clock.Store(1e12)
	config := gateConfig(t, access.AddressLimits{}, func(a *admission.Access) { a.ProxyProtocol = true })
	s := startServer(t, 1, config, kernel.install)
	long := s.from(t, "127.1.0.1")
	long.send([]byte("PROXY UNKNOWN " + strings.Repeat("x", 200)))
	if r := long.response(); r.StatusCode != 400 {
		t.Errorf("%s", r.Status)
	}
	late := s.from(t, "127.1.0.1")
	late.send([]byte(proxyV1("192.0.2.1")))
	waitFor(t, "it is read", func() bool { return s.sum(func(s *Server) int64 { return s.Stats().Unfinished.Load() }) == 1 })
	s.step(kernel, handshakeTimeout+1)
	if r := late.response(); r.StatusCode != 408 {
		t.Errorf("%s", r.Status)
	}
	if got := s.counts(); got[reasons.RequestProxyHeader] != 1 || got[reasons.RequestTimeout] != 1 {
		t.Errorf("%v", got)
	}
}

// The checks of load balancers are counted apart from clients that give up.
func TestHealthChecksOfProxies(t *testing.T) {
	for _, c := range []struct {
		name, from, sends string
		reason            reasons.Reason
	}{
		{"LOCAL", "127.1.0.1", proxyV2(0x20, ""), reasons.RequestProxyCheck},
		{"UNKNOWN", "127.1.0.1", "PROXY UNKNOWN\r\n", reasons.RequestProxyCheck},
		{"only connects", "127.1.0.1", "", reasons.RequestProxyCheck},
		{"breaks off its header", "127.1.0.1", "PROXY", reasons.RequestGone},
		{"breaks off its request", "127.1.0.1", proxyV2(0x20, "") + "GET /", reasons.RequestGone},
		{"a client's", "127.1.0.1", proxyV1("192.0.2.1"), reasons.RequestGone},
		{"a client without a proxy", "127.0.0.2", "", reasons.RequestGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t, 1, gateConfig(t, access.AddressLimits{Connections: 1}, func(a *admission.Access) { a.ProxyProtocol = true }),
				func(settings *epoll.Config, _ *Shared) { settings.Options.DeferAccept = false })
			client := s.from(t, c.from)
			client.send([]byte(c.sends))
			client.CloseWrite()
			client.frames()
			s.checkNothingLeft(t)
			if got := s.counts(); len(got) != 1 || got[c.reason] != 1 {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestForwardedForBehindAProxy(t *testing.T) {
	config := gateConfig(t, access.AddressLimits{Connections: 1}, func(a *admission.Access) { a.ForwardedFor = true })
	s := startServer(t, 1, config)
	s.from(t, "127.1.0.1").expectStatus(101, "", "X-Forwarded-For: 192.0.2.1")
	s.from(t, "127.1.0.1").expectStatus(429, "", "X-Forwarded-For: 203.0.113.1, 192.0.2.1")
	s.from(t, "127.1.0.1").expectStatus(429, "", "X-Forwarded-For: 192.0.2.1, 127.1.0.9")
	s.from(t, "127.1.0.1").expectStatus(101, "", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2")
	s.from(t, "127.1.0.1").expectStatus(101, "", "X-Forwarded-For: 127.1.0.8")
	s.from(t, "127.1.0.1").expectStatus(101, "", "X-Forwarded-For: 127.1.0.8")
	s.from(t, "127.1.0.1").expectStatus(101, "", "X-Forwarded-For: unknown")
	s.from(t, "127.1.0.1").expectStatus(400, "", "X-Forwarded-For: 192.0.2.1, rubbish")
	s.from(t, "127.1.0.1").expectStatus(400, "")
	// Whoever is not trusted writes what he likes.
	s.from(t, "127.0.0.2").expectStatus(101, "", "X-Forwarded-For: 192.0.2.5")
	s.from(t, "127.0.0.2").expectStatus(429, "", "X-Forwarded-For: 192.0.2.6")
	if got := s.counts(); got[reasons.RequestForwardedFor] != 2 || got[reasons.RequestAddressConnections] != 3 {
		t.Errorf("%v", got)
	}
	s.poller.Stop()
	if n := config.Access.Addresses.Count(); n != 0 {
		t.Errorf("%d addresses are left", n)
	}
}

// A PROXY header that names another proxy of ours, whose request tells the rest.
func TestProxyHeaderThenForwardedFor(t *testing.T) {
	s := startServer(t, 1, gateConfig(t, access.AddressLimits{Connections: 1}, func(a *admission.Access) { a.ProxyProtocol, a.ForwardedFor = true, true }))
	inner := proxyV2(0x21, "127.1.0.7")
	s.from(t, "127.1.0.1").expectStatus(101, inner, "X-Forwarded-For: 192.0.2.1")
	s.from(t, "127.1.0.1").expectStatus(429, inner, "X-Forwarded-For: 192.0.2.1")
	s.from(t, "127.1.0.1").expectStatus(400, inner)
	s.from(t, "127.1.0.1").expectStatus(101, proxyV2(0x21, "192.0.2.3"), "X-Forwarded-For: 192.0.2.1")
	s.from(t, "127.1.0.1").expectStatus(429, proxyV2(0x21, "192.0.2.3"), "X-Forwarded-For: 192.0.2.4")
}

func TestOrigins(t *testing.T) {
	config := testConfig()
	config.Access.Origins, _ = access.ParseOrigins([]string{"https://*.example.com"})
	s := startServer(t, 1, config)
	s.from(t, "127.0.0.1").expectStatus(101, "", "Origin: https://www.example.com")
	s.from(t, "127.0.0.1").expectStatus(101, "")
	s.from(t, "127.0.0.1").expectStatus(403, "", "Origin: https://example.com.evil.test")
	s.from(t, "127.0.0.1").expectStatus(403, "", "Origin: null")
	if got := s.counts()[reasons.RequestOrigin]; got != 2 {
		t.Errorf("%v", s.counts())
	}
}

// Turned off, the gate asks the kernel nothing and keeps nothing; turned on, it
// keeps 8 bytes.
func TestGateCostsNothingWhenOff(t *testing.T) {
	s := startServer(t, 1, testConfig())
	c := s.upgrade(t, "/news")
	s.onLoops(func(_ *poller.Loop, server *Server) {
		if server.gate.clients.WantsAddress || server.gate.clients != s.shared.gate.NewClients() {
			t.Error("the gate is on")
		}
	})
	s.publish(t, "news", "hello")
	c.expect(wireFrame{opcode: ws.OpText, payload: "hello"})
}
