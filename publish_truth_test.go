package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

// A password is changed at a live Redis: connections that stand outlive it, and no new
// one begins. Whoever publishes, by whatever way, is told that it was not published,
// from the first message on, and health says why. The probe is so long that none comes
// meanwhile: it is not by chance that the server knew already.
func TestNothingIsAcknowledgedAfterThePasswordChanged(t *testing.T) {
	const down = "refuses the user or the password"
	for _, way := range []string{"plain", "c10m.v1", "post", "admin", "batch"} {
		t.Run(way, func(t *testing.T) {
			port := servertest.FreePort(t)
			servertest.StartRedis(t, port, "--requirepass", "old")
			s := servertest.StartServer(t, 0, "--publish", "own", "--bus", fmt.Sprintf("redis://:old@127.0.0.1:%d", port), "--bus-probe", "1h")
			servertest.Eventually(t, "the bus works", s.Healthy)
			plain, twoWay := s.Dial(t, "room"), dialTwoWay(t, s, "room")
			expectCommands(t, twoWay, "OK SUB room")
			servertest.RedisCLI(t, port, "-a", "old", "--no-auth-warning", "CONFIG", "SET", "requirepass", "new")
			switch way {
			case "plain":
				say(t, plain, ws.OpText, "lost")
				if code := plain.CloseCode(); code != 1013 {
					t.Errorf("closed with %d", code)
				}
			case "c10m.v1":
				say(t, twoWay, ws.OpText, "PUB room\nlost")
				expectCommands(t, twoWay, "ERR PUB room bus_down")
			case "post":
				wantDown(t, fmt.Sprintf("http://127.0.0.1:%d/room", s.Port), "lost", "was not published")
			case "admin":
				wantDown(t, fmt.Sprintf("http://127.0.0.1:%d/publish/room", s.Admin), "lost", "WRONGPASS")
			case "batch":
				wantDown(t, fmt.Sprintf("http://127.0.0.1:%d/publish", s.Admin), `[{"channel":"room","data":"lost"}]`, `"published":"no"`)
			}
			r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", s.Admin))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if text, _ := io.ReadAll(r.Body); r.StatusCode != 503 || !strings.Contains(string(text), down) {
				t.Errorf("health: %d %s", r.StatusCode, text)
			}
			if n := s.Metric(`c10m_bus_unpublished_total{reason="unreached"}`); n != 1 {
				t.Errorf("counted %g", n)
			}
		})
	}
}

func wantDown(t *testing.T, url, body, want string) {
	t.Helper()
	r, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(string(text), want) {
		t.Errorf("%s: %d %v %s %v", url, r.StatusCode, r.Header, text, err)
	}
}
