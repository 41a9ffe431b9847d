package main

import (
	"fmt"
	"strings"
	"testing"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

// A message that is repeated with its key reaches its subscribers once, through whichever
// door of the server each of the two came, and every repeat is answered as the first.
func TestKeysOverAllDoors(t *testing.T) {
	port := servertest.FreePort(t)
	servertest.StartRedis(t, port)
	for name, bus := range map[string]string{"embedded": "embedded", "redis": fmt.Sprintf("redis://127.0.0.1:%d", port)} {
		t.Run(name, func(t *testing.T) {
			s := servertest.StartServer(t, 0, "--publish", "own", "--bus", bus)
			servertest.Eventually(t, "the bus works", s.Healthy)
			here, c := s.Dial(t, "news"), dialTwoWay(t, s, "")
			first := curlPost(t, s, "/news", "one", "Idempotency-Key: k")
			for range 2 {
				if again := curlPost(t, s, "/news", "one", `Idempotency-Key: "k"`); again != first {
					t.Errorf("a repeat is answered with %s, the first with %s", again, first)
				}
				say(t, c, ws.OpText, "PUB news k\none")
				expectCommands(t, c, "OK PUB news")
				if again := curlTo(t, s.Admin, "/publish/news", "one", "Idempotency-Key: k"); again != first {
					t.Errorf("the admin address answers a repeat with %s, the first was %s", again, first)
				}
			}
			say(t, c, ws.OpText, "PUB news k\nanother")
			expectCommands(t, c, "ERR PUB news key_reused k")
			if got := curlPost(t, s, "/news", "another", "Idempotency-Key: k"); !strings.HasSuffix(got, " 422") {
				t.Errorf("another message with the key: %s", got)
			}
			if got := curlPost(t, s, "/news", "one", "Idempotency-Key: two words"); !strings.HasSuffix(got, " 400") {
				t.Errorf("what is no key: %s", got)
			}
			curlPost(t, s, "/news", "last")
			for _, want := range []string{"one", "last"} {
				if got := here.Next(t); got != want {
					t.Errorf("heard %q, want %q", got, want)
				}
			}
			if n := s.Metric("c10m_publish_repeats_total"); n != 6 {
				t.Errorf("%v repeats are counted", n)
			}
		})
	}
}
