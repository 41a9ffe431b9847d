package main

import (
	"bufio"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

func say(t *testing.T, c *servertest.Client, opcode ws.OpCode, payload string) {
	t.Helper()
	if err := wsutil.WriteClientMessage(c, opcode, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// What a client says is heard by its channel, itself included, by whoever
// subscribes at the bus, and by nobody else; and a Redis between two servers
// changes nothing but the way.
func TestPublishOwn(t *testing.T) {
	s := servertest.StartServer(t, 0, "--publish", "own")
	t.Run("embedded", func(t *testing.T) { checkPublishOwn(t, s, s, s.Bus) })

	port := servertest.FreePort(t)
	servertest.StartRedis(t, port)
	bus := fmt.Sprintf("redis://127.0.0.1:%d", port)
	a, b := servertest.StartServer(t, 0, "--publish", "own", "--bus", bus), servertest.StartServer(t, 0, "--bus", bus)
	for _, server := range []*servertest.Server{a, b} {
		servertest.Eventually(t, "the bus works", server.Healthy)
	}
	t.Run("redis", func(t *testing.T) { checkPublishOwn(t, a, b, port) })
}

// checkPublishOwn has clients of one server speak, and others hear it.
func checkPublishOwn(t *testing.T, speaking, listening *servertest.Server, bus int) {
	speaker, other, elsewhere := speaking.Dial(t, "room"), listening.Dial(t, "room"), listening.Dial(t, "news")
	ears := subscribeAt(t, bus, "room")
	for i := range 200 {
		say(t, speaker, ws.OpText, fmt.Sprint(i))
	}
	say(t, speaker, ws.OpBinary, "\xff\x00")
	for i := range 200 {
		for _, c := range []*servertest.Client{speaker, other} {
			if got := c.Next(t); got != fmt.Sprint(i) {
				t.Fatalf("message %d: %q", i, got)
			}
		}
		if got := ears(); got != fmt.Sprint(i) {
			t.Fatalf("message %d at the bus: %q", i, got)
		}
	}
	if got, opcode, err := wsutil.ReadServerData(speaker); err != nil || string(got) != "\xff\x00" || opcode != ws.OpBinary {
		t.Errorf("bytes came back as %q, %v %v", got, opcode, err)
	}
	servertest.RedisCLI(t, bus, "PUBLISH", "news", "the first")
	if got := elsewhere.Next(t); got != "the first" {
		t.Errorf("another channel heard %q", got)
	}
}

// subscribeAt runs redis-cli SUBSCRIBE and returns what gives its messages.
func subscribeAt(t *testing.T, port int, channel string) (next func() string) {
	t.Helper()
	cli := exec.Command("redis-cli", "-p", fmt.Sprint(port), "SUBSCRIBE", channel)
	out, err := cli.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cli.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(time.Minute, func() { cli.Process.Kill() })
	t.Cleanup(func() { guard.Stop(); cli.Process.Kill(); cli.Wait() })
	lines := bufio.NewScanner(out)
	skip := func(n int) {
		for range n {
			if !lines.Scan() {
				t.Fatalf("redis-cli ended: %v", lines.Err())
			}
		}
	}
	skip(3) // the confirmation
	return func() string {
		skip(3) // "message", the channel, the payload
		return lines.Text()
	}
}

// While the Redis is gone a client that speaks is told to try again later, and
// those that only listen stay (--gap ignore: else they are told of the gap).
func TestPublishOwnWithoutItsRedis(t *testing.T) {
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	s := servertest.StartServer(t, 0, "--publish", "own", "--gap", "ignore", "--bus", fmt.Sprintf("redis://127.0.0.1:%d", port))
	servertest.Eventually(t, "the bus works", s.Healthy)
	speaker, listener := s.Dial(t, "room"), s.Dial(t, "room")
	say(t, speaker, ws.OpText, "before")
	if speaker.Next(t) != "before" || listener.Next(t) != "before" {
		t.Fatal("before")
	}
	redis.Cmd.Process.Kill()
	redis.Wait()
	say(t, speaker, ws.OpText, "lost")
	if code := speaker.CloseCode(); code != 1013 {
		t.Errorf("the speaker was closed with %d, want 1013", code)
	}
	servertest.Eventually(t, "it is counted", func() bool {
		return s.Metric(`c10m_closes_total{reason="publish_failed"}`) == 1 && s.Metric("c10m_client_messages_failed_total") == 1
	})
	servertest.StartRedis(t, port)
	servertest.Eventually(t, "the bus works again", s.Healthy)
	again := s.Dial(t, "room")
	say(t, again, ws.OpText, "after")
	if got := again.Next(t); got != "after" {
		t.Errorf("after: %q", got)
	}
	if got := listener.Next(t); got != "after" {
		t.Errorf("the listener heard %q", got)
	}
}
