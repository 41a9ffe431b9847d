package conn

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"c10m/access"
	"c10m/conn/admission"
	"c10m/poller"
)

// varies are the fields of an answer that two who ask the same may get otherwise.
var varies = regexp.MustCompile(`Retry-After: \d+|Date: [^\r]*`)

// ends says all of a connection and returns all that it is answered until its end.
func (c *rawClient) ends(request string) (head, body string) {
	c.t.Helper()
	c.send([]byte(request))
	c.CloseWrite()
	all, err := io.ReadAll(c.Reader)
	if err != nil {
		c.t.Fatalf("%.80q: %v after %q", request, err, all)
	}
	head, body, isWhole := strings.Cut(string(all), "\r\n\r\n")
	if !isWhole {
		c.t.Fatalf("%.80q: half an answer, %q", request, all)
	}
	c.Close()
	return varies.ReplaceAllString(head, ""), body
}

// HEAD is answered with the head of what GET is answered with (RFC 9110, 9.3.2),
// whatever that is, and with nothing behind it: a client would take that for the next
// answer.
func TestHeadIsAnsweredWithoutBody(t *testing.T) {
	origins, err := access.ParseOrigins([]string{"https://good.example"})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := startHTTP(t, func(c *Config) { c.Access.Origins = origins })
	for _, c := range []struct{ rest, status string }{
		{" /-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n", "200"},
		{" /-/channels/a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n", "200"},
		{" /-/channels/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200"},
		{" /-/channels/ HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{" /-/channels HTTP/1.1\r\nHost: h\r\n\r\n", "404"},
		{" /-/none HTTP/1.1\r\nHost: h\r\n\r\n", "404"},
		{" /-/c10m.js HTTP/1.1\r\nHost: h\r\nOrigin: https://bad.example\r\n\r\n", "403"},
		{" /-/channels/a HTTP/1.1\r\nHost: h\r\nOrigin: https://bad.example\r\n\r\n", "403"},
		{" /-/c10m.js HTTP/1.1\r\n\r\n", "400"},
		{" /news HTTP/1.1\r\nHost: h\r\n\r\n", "426"},
		{" /news HTTP/1.1\r\nHost: h\r\nOrigin: https://bad.example\r\n\r\n", "403"},
		{" / HTTP/1.1\r\nHost: h\r\n\r\n", "200"},
		{" / HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n", "200"},
		{" /news?wait=x HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{" /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{" /%2d/x HTTP/1.1\r\nHost: h\r\n\r\n", "404"},
		{" /news HTTP/1.1\r\n\r\n", "400"},
		{" /news HTTP/1.0\r\n\r\n", "426"},
		{" /news HTTP/2.0\r\nHost: h\r\n\r\n", "505"},
		{" /news HTTP/1.1\nHost: h\r\n\r\n", "400"},
		{" /news HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", RequestBytesDefault) + "\r\n\r\n", "431"},
	} {
		want, wantBody := s.connect(t).ends("GET" + c.rest)
		got, body := s.connect(t).ends("HEAD" + c.rest)
		if !strings.HasPrefix(want, "HTTP/1.1 "+c.status+" ") || wantBody == "" {
			t.Errorf("GET%.60q: %q %q, want %s", c.rest, want, wantBody, c.status)
		}
		if got != want || body != "" {
			t.Errorf("HEAD%.60q: %q %q, want %q", c.rest, got, body, want)
		}
	}
	// What makes a GET an upgrade does not make a HEAD one.
	for _, request := range []string{
		edit("GET", "HEAD"), "HEAD /news HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
	} {
		if head, body := s.connect(t).ends(request); !strings.HasPrefix(head, "HTTP/1.1 426 ") || body != "" {
			t.Errorf("%q: %q %q", request, head, body)
		}
	}
	s.checkNothingLeft(t)
}

// Neither has one what HEAD is answered when the server cannot.
func TestHeadThatTheServerCannotAnswer(t *testing.T) {
	kernel := &testKernel{}
	s, _ := startHTTP(t, func(c *Config) { c.PingInterval = 0 }, kernel.install)
	kernel.clock.Store(kernel.Now())
	s.onLoops(func(_ *poller.Loop, server *Server) { server.exchange.counts = countsMax })
	count := "HEAD /-/channels/a HTTP/1.1\r\nHost: h\r\n\r\n"
	if head, body := s.connect(t).ends(count); !strings.HasPrefix(head, "HTTP/1.1 429 ") || body != "" {
		t.Errorf("too many ask: %q %q", head, body)
	}
	s.onLoops(func(_ *poller.Loop, server *Server) { server.exchange.counts = 0 })
	for name, before := range map[string]string{"first": "", "next": postRequest("/a", "x")} {
		late := s.connect(t)
		late.send([]byte(before + count[:20]))
		if before != "" {
			late.reply("POST")
		}
		waitFor(t, "it is there", func() bool { return s.requestBytes() == 20 })
		for range 2 + int(handshakeTimeout/exchangeLook) {
			s.step(kernel, exchangeLook+time.Second)
		}
		all, err := io.ReadAll(late.Reader)
		if head, body, _ := strings.Cut(string(all), "\r\n\r\n"); err != nil || !strings.HasPrefix(head, "HTTP/1.1 408 ") || body != "" {
			t.Errorf("the %s request is late: %q %v", name, all, err)
		}
		late.Close()
	}
	s.checkNothingLeft(t)
}

// Nor if its client is turned away for its address.
func TestHeadIsTurnedAwayWithoutBody(t *testing.T) {
	request := "HEAD /-/none HTTP/1.1\r\nHost: h\r\n"
	for name, c := range map[string]struct {
		from, request, status string
		edit                  func(*admission.Access)
	}{
		"at once":           {"127.0.0.2", request + "\r\n", "429", nil},
		"by X-Forwarded":    {"127.1.0.1", request + "X-Forwarded-For: 127.0.0.2\r\n\r\n", "429", func(a *admission.Access) { a.ForwardedFor = true }},
		"by PROXY":          {"127.1.0.1", proxyV1("127.0.0.2") + request + "\r\n", "429", func(a *admission.Access) { a.ProxyProtocol = true }},
		"no X-Forwarded":    {"127.1.0.1", request + "X-Forwarded-For: x\r\n\r\n", "400", func(a *admission.Access) { a.ForwardedFor = true }},
		"no PROXY header":   {"127.1.0.1", request + "\r\n", "400", func(a *admission.Access) { a.ProxyProtocol = true }},
		"refused as others": {"127.0.0.3", request + "\r\n", "404", nil},
	} {
		config := gateConfig(t, access.AddressLimits{Connections: 1}, c.edit)
		s := startServer(t, 1, config)
		first := s.from(t, "127.0.0.2")
		first.expectStatus(101, "")
		if head, body := s.from(t, c.from).ends(c.request); !strings.HasPrefix(head, "HTTP/1.1 "+c.status+" ") || body != "" {
			t.Errorf("%s: %q %q", name, head, body)
		}
		first.Close()
		s.checkNothingLeft(t)
	}
}
