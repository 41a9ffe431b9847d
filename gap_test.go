package main

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"c10m/internal/servertest"
)

// What was published while Redis was away is in no history, so a client that was not
// there to be told comes back to hear that its position is gone.
func TestPositionsDoNotSurviveAGap(t *testing.T) {
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	s := servertest.StartServer(t, 0, "--bus", fmt.Sprintf("redis://127.0.0.1:%d", port), "--bus-probe", "200ms", "--history", "10", "--drain", "0s")
	servertest.Eventually(t, "the bus works", s.Healthy)
	poll := func(query string, status int, payload string) (position string) {
		t.Helper()
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/news?%s", s.Port, query))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != status || status == 200 && string(body) != payload {
			t.Fatalf("%s: %d %q %v, want %d %q", query, r.StatusCode, body, err, status, payload)
		}
		return r.Header.Get("C10m-Position")
	}
	start := poll("wait=0", 204, "")
	servertest.RedisCLI(t, port, "PUBLISH", "news", "one")
	one := poll("wait=10&since="+start, 200, "one")
	redis.Cmd.Process.Kill()
	redis.Wait()
	servertest.Eventually(t, "the bus is down", func() bool { return !s.Healthy() })
	servertest.StartRedis(t, port)
	servertest.RedisCLI(t, port, "PUBLISH", "news", "heard by nobody, perhaps")
	servertest.Eventually(t, "the bus works again", s.Healthy)
	now := poll("wait=0&since="+one, 410, "")
	servertest.RedisCLI(t, port, "PUBLISH", "news", "two")
	poll("wait=10&since="+now, 200, "two")
}
