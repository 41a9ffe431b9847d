package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

// status connects from an address of the loopback network and returns the status
// of the answer: 101, or why not.
func status(t *testing.T, s *servertest.Server, from string, header http.Header) int {
	t.Helper()
	got := 101
	dialer := ws.Dialer{
		Timeout:       time.Minute,
		NetDial:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
		Header:        ws.HandshakeHeaderHTTP(header),
		OnStatusError: func(status int, _ []byte, _ io.Reader) { got = status },
	}
	c, _, _, err := dialer.Dial(t.Context(), fmt.Sprintf("ws://127.0.0.1:%d/news", s.Port))
	if err == nil {
		t.Cleanup(func() { c.Close() })
	} else if got == 101 {
		t.Fatalf("dial: %v", err)
	}
	return got
}

// The flags reach the loops, with one descriptor table and with many.
func TestWhoGetsIn(t *testing.T) {
	for _, tables := range []string{"shared", "private"} {
		t.Run(tables, func(t *testing.T) {
			s := servertest.StartServer(t, 4000, "--fd-tables", tables, "--origin", "https://*.example.com,null",
				"--address-connections", "3", "--trusted", "127.1.0.0/16", "--forwarded-for")
			origin := func(o string) http.Header { return http.Header{"Origin": {o}} }
			for i, c := range []struct {
				from   string
				header http.Header
				want   int
			}{
				{"127.0.0.2", nil, 101},
				{"127.0.0.2", origin("https://a.example.com"), 101},
				{"127.0.0.2", origin("https://evil.test"), 403},
				{"127.0.0.3", nil, 101},
				{"127.0.0.3", nil, 101},
				{"127.0.0.3", nil, 101},
				{"127.0.0.3", nil, 429},
				{"127.1.0.1", nil, 400},
				{"127.1.0.1", http.Header{"X-Forwarded-For": {"192.0.2.1"}}, 101},
				{"127.1.0.1", http.Header{"X-Forwarded-For": {"127.0.0.3, 127.1.2.3"}}, 429},
			} {
				if got := status(t, s, c.from, c.header); got != c.want {
					t.Fatalf("connection %d, from %s: %d, want %d", i, c.from, got, c.want)
				}
			}
			for reason, want := range map[string]float64{
				"request_origin": 1, "request_address_connections": 2, "request_forwarded_for": 1, "request_gone": 0,
			} {
				if got := s.Metric(fmt.Sprintf(`c10m_closes_total{reason=%q}`, reason)); got != want {
					t.Errorf("%s: %v, want %v", reason, got, want)
				}
			}
			if n := s.Metric("c10m_client_addresses"); n != 3 {
				t.Errorf("%v addresses", n)
			}
		})
	}
}

// What was refused for another reason counts as a handshake all the same.
func TestHandshakeRatePerAddress(t *testing.T) {
	s := servertest.StartServer(t, 0, "--origin", "null", "--address-rate", "1/h", "--address-burst", "3")
	for i, want := range []int{101, 403, 101, 429, 429} {
		origin := http.Header{"Origin": {"null"}}
		if want == 403 {
			origin = http.Header{"Origin": {"https://evil.test"}}
		}
		if got := status(t, s, "127.0.0.2", origin); got != want {
			t.Fatalf("handshake %d: %d, want %d", i, got, want)
		}
	}
	if got := status(t, s, "127.0.0.3", nil); got != 101 {
		t.Errorf("another address: %d", got)
	}
	if got := s.Metric(`c10m_closes_total{reason="request_address_rate"}`); got != 2 {
		t.Errorf("%v handshakes were too many", got)
	}
}

// The admin address on all interfaces, with its password.
func TestAdminPassword(t *testing.T) {
	s := servertest.StartServer(t, 0, "--admin-password", "s3cret")
	if got := s.Get("/metrics"); !strings.HasPrefix(got, "401") {
		t.Errorf("/metrics: %.40s", got)
	}
	if got := s.Get("/readyz"); !strings.HasPrefix(got, "200") {
		t.Errorf("/readyz: %.40s", got)
	}
}
