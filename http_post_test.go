package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"c10m/internal/servertest"
)

// The public ports' POST, as the README shows it: everybody hears the message, and
// the answer says to how many it went, and its id, which grows.
func TestPostOnThePublicPort(t *testing.T) {
	s := servertest.StartServer(t, 0, "--publish", "own")
	here := s.Dial(t, "room/1")
	life, last := "", 0
	for i := range 10 {
		body := fmt.Sprintf("message %d", i)
		answer := curlPost(t, s, "/room%2F1", body)
		id := idField.FindStringSubmatch(answer)
		if id == nil || withoutID(answer) != `{"channel":"room/1","connections":1,"subscribers":0} 200` {
			t.Fatalf("got %s", answer)
		}
		number, _ := strconv.Atoi(id[2])
		if life != "" && id[1] != life || number <= last {
			t.Errorf("id %v after %s-%d", id, life, last)
		}
		life, last = id[1], number
		if got := here.Next(t); got != body {
			t.Errorf("heard %q, want %q", got, body)
		}
	}
	// curl asks first whether it may send so much (Expect: 100-continue).
	large := strings.Repeat("\x00\xffline\n", 149_000)
	if got := withoutID(curlPost(t, s, "/room%2F1", large)); got != `{"channel":"room/1","connections":1,"subscribers":0} 200` || here.Next(t) != large {
		t.Errorf("%d bytes: %s", len(large), got)
	}
	if got := curlPost(t, s, "/room%2F1", strings.Repeat(large, 2)); !strings.HasSuffix(got, " 413") {
		t.Errorf("a message that is too long: %s", got)
	}
	if got := s.Metric("c10m_http_requests_total"); got != 11 {
		t.Errorf("%v requests are counted", got)
	}
}

// With a Redis, the answer says how many connections the channel has here; without
// it, that nothing was published.
func TestPostWithItsRedis(t *testing.T) {
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	s := servertest.StartServer(t, 0, "--publish", "own", "--bus", fmt.Sprintf("redis://127.0.0.1:%d", port))
	servertest.Eventually(t, "the bus works", s.Healthy)
	c := s.Dial(t, "news")
	if got := curlPost(t, s, "/news", "hello"); got != `{"channel":"news","connections":1,"subscribers":1} 200` || c.Next(t) != "hello" {
		t.Errorf("got %s", got)
	}
	redis.Cmd.Process.Kill()
	redis.Wait()
	servertest.Eventually(t, "health is red", func() bool { return !s.Healthy() })
	if got := curlPost(t, s, "/news", "lost"); !strings.HasSuffix(got, " 503") || !strings.Contains(got, "was not published") {
		t.Errorf("without it: %s", got)
	}
}

// curlPost is curl's answer on the public port, and its status.
func curlPost(t *testing.T, s *servertest.Server, path, body string, fields ...string) string {
	t.Helper()
	return curlTo(t, s.Port, path, body, fields...)
}

func curlTo(t *testing.T, port int, path, body string, fields ...string) string {
	t.Helper()
	arguments := []string{"-sS", "--max-time", "60", "--data-binary", "@-", "-w", "%{http_code}", fmt.Sprintf("http://127.0.0.1:%d%s", port, path)}
	for _, field := range fields {
		arguments = append(arguments, "-H", field)
	}
	command := exec.Command("curl", arguments...)
	command.Stdin = bytes.NewReader([]byte(body))
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.ReplaceAll(string(out), "\n", " ")
}
