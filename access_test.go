package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
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

// Passwords from files, which change at SIGHUP. A file with a fault changes nothing, and
// whoever gave the former password stays.
func TestPasswordFiles(t *testing.T) {
	file := newKeyFile(t)
	file.write("first-s3cret\n")
	s := servertest.StartServer(t, 0, "--bus-password-file", file.path, "--admin-password-file", file.path)
	if out := s.Output.String(); !strings.Contains(out, "-a PASSWORD") || !strings.Contains(out, "-u admin:PASSWORD") {
		t.Errorf("the greeting names no password:\n%s", out)
	}
	opens := func(password string) (bus, admin bool) {
		t.Helper()
		request, err := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/metrics", s.Admin), nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			request.SetBasicAuth("admin", password)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		args := []string{"PING"}
		if password != "" {
			args = []string{"--no-auth-warning", "-a", password, "PING"}
		}
		return servertest.RedisCLI(t, s.Bus, args...) == "PONG", answer.StatusCode == 200
	}
	peer, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Bus))
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	says := func(command, answer string) {
		t.Helper()
		got := make([]byte, len(answer))
		fmt.Fprint(peer, command+"\r\n")
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != answer {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
	says("AUTH first-s3cret", "+OK\r\n")
	for i, step := range []struct{ holds, says, opens, refused string }{
		{"first-s3cret", "", "first-s3cret", "next-s3cret"},
		{"next-s3cret\n", "were read again", "next-s3cret", "first-s3cret"},
		{"\n", "stay as they were", "next-s3cret", "first-s3cret"},
	} {
		if i > 0 {
			file.write(step.holds)
			s.Signal(syscall.SIGHUP)
			servertest.Eventually(t, "both are answered", func() bool { return strings.Count(s.Output.String(), "SIGHUP: ") == 2*i })
			for _, flag := range []string{"--bus-password-file", "--admin-password-file"} {
				if want := "SIGHUP: the contents of " + flag + " " + step.says; !strings.Contains(s.Output.String(), want) {
					t.Errorf("%q is not logged:\n%s", want, s.Output.String())
				}
			}
		}
		if bus, admin := opens(step.opens); !bus || !admin {
			t.Errorf("%q: the right password opens the bus: %t, the pages: %t", step.holds, bus, admin)
		}
		for _, wrong := range []string{step.refused, ""} {
			if bus, admin := opens(wrong); bus || admin {
				t.Errorf("%q: %q opens the bus: %t, the pages: %t", step.holds, wrong, bus, admin)
			}
		}
		says("PING", "+PONG\r\n")
	}
	if strings.Contains(s.Output.String(), "s3cret") {
		t.Errorf("a password is in the log:\n%s", s.Output.String())
	}
}
