package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

// dialTwoWay opens a connection of the subprotocol c10m.v1.
func dialTwoWay(t *testing.T, s *servertest.Server, path string) *servertest.Client {
	t.Helper()
	return s.Dial(t, path, "c10m.v1")
}

// next returns the next answer or delivery, without ids and positions.
func nextCommand(t *testing.T, c *servertest.Client) string {
	t.Helper()
	line, payload, _ := strings.Cut(c.Next(t), "\n")
	words := strings.Split(line, " ")
	switch {
	case words[0] == "MSG" && len(words) == 3:
		return "MSG " + words[1] + ": " + payload
	case words[0] == "OK":
		return strings.Join(words[:3], " ")
	}
	return line
}

func expectCommands(t *testing.T, c *servertest.Client, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := nextCommand(t, c); got != w {
			t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// Clients of one server speak to those of another through a Redis, and an own bus
// does the same for one server; channels do not mix, and positions continue.
func TestTwoWay(t *testing.T) {
	s := servertest.StartServer(t, 0, "--publish", "own", "--history", "10")
	t.Run("embedded", func(t *testing.T) { checkTwoWay(t, s, s) })
	port := servertest.FreePort(t)
	servertest.StartRedis(t, port)
	bus := fmt.Sprintf("redis://127.0.0.1:%d", port)
	a := servertest.StartServer(t, 0, "--publish", "own", "--bus", bus, "--history", "10")
	b := servertest.StartServer(t, 0, "--publish", "own", "--bus", bus, "--history", "10")
	for _, server := range []*servertest.Server{a, b} {
		servertest.Eventually(t, "the bus works", server.Healthy)
	}
	t.Run("redis", func(t *testing.T) { checkTwoWay(t, a, b) })
}

func checkTwoWay(t *testing.T, s, other *servertest.Server) {
	alice, bob := dialTwoWay(t, s, ""), dialTwoWay(t, other, "bob")
	expectCommands(t, bob, "OK SUB bob")
	say(t, alice, ws.OpText, "SUB alice%2F1")
	say(t, alice, ws.OpText, "SUB all")
	say(t, bob, ws.OpText, "SUB all")
	expectCommands(t, alice, "OK SUB alice/1", "OK SUB all")
	expectCommands(t, bob, "OK SUB all")
	for i := range 50 {
		say(t, alice, ws.OpText, fmt.Sprint("PUB bob\noffer ", i))
		expectCommands(t, bob, fmt.Sprint("MSG bob: offer ", i))
		say(t, bob, ws.OpBinary, fmt.Sprint("PUB alice%2f1\nanswer ", i))
		expectCommands(t, alice, fmt.Sprint("MSG alice/1: answer ", i))
	}
	say(t, alice, ws.OpText, "PUB all\nboth")
	expectCommands(t, alice, "MSG all: both")
	expectCommands(t, bob, "MSG all: both")
	say(t, bob, ws.OpText, "UNSUB bob")
	say(t, bob, ws.OpText, "SUB bob first")
	expectCommands(t, bob, "OK UNSUB bob", "OK SUB bob")
	for i := 40; i < 50; i++ { // of the history of 10
		expectCommands(t, bob, fmt.Sprint("MSG bob: offer ", i))
	}
	say(t, bob, ws.OpText, "SUB all x-1") // it has it
	expectCommands(t, bob, "OK SUB all")
	say(t, bob, ws.OpText, "UNSUB all")
	say(t, bob, ws.OpText, "SUB all x-1") // of no life of ours
	expectCommands(t, bob, "OK UNSUB all")
	if got := nextCommand(t, bob); !strings.HasPrefix(got, "GAP all ") {
		t.Errorf("got %q", got)
	}
	expectCommands(t, bob, "OK SUB all")
}

// A backend that subscribes to one channel hears a thousand clients, each of whom
// it answers on a channel of its own.
func TestTwoWayFanIn(t *testing.T) {
	const clients = 1000
	s := servertest.StartServer(t, 0, "--publish", "own")
	backend := dialTwoWay(t, s, "backend")
	expectCommands(t, backend, "OK SUB backend")
	for i := range clients {
		c := dialTwoWay(t, s, fmt.Sprint("client ", i))
		say(t, c, ws.OpText, fmt.Sprint("PUB backend\n", i))
		defer expectCommands(t, c, fmt.Sprintf("OK SUB client%%20%d", i), fmt.Sprintf("MSG client%%20%d: hello %d", i, i))
	}
	heard := make(map[string]bool)
	for range clients {
		from, isMessage := strings.CutPrefix(nextCommand(t, backend), "MSG backend: ")
		if !isMessage || heard[from] {
			t.Fatalf("got %q, twice: %v", from, heard[from])
		}
		heard[from] = true
		say(t, backend, ws.OpText, "PUB "+url.PathEscape("client "+from)+"\nhello "+from)
	}
}

// When the bus is down, who publishes is told, and keeps his connection.
func TestTwoWayWithoutItsRedis(t *testing.T) {
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	s := servertest.StartServer(t, 0, "--publish", "own", "--bus", fmt.Sprintf("redis://127.0.0.1:%d", port), "--bus-probe", "200ms", "--gap", "ignore")
	servertest.Eventually(t, "the bus works", s.Healthy)
	c := dialTwoWay(t, s, "a")
	expectCommands(t, c, "OK SUB a")
	redis.Cmd.Process.Kill()
	servertest.Eventually(t, "the bus is down", func() bool { return !s.Healthy() })
	say(t, c, ws.OpText, "PUB b/1\nlost")
	say(t, c, ws.OpText, "PING")
	for range 2 { // the failure takes the way of the bus, and PONG does not
		if got := nextCommand(t, c); got != "ERR PUB b/1 bus_down" && got != "PONG" {
			t.Errorf("got %q", got)
		}
	}
	servertest.StartRedis(t, port)
	servertest.Eventually(t, "the bus works again", s.Healthy)
	say(t, c, ws.OpText, "PUB a\nhere again")
	expectCommands(t, c, "MSG a: here again")
}
