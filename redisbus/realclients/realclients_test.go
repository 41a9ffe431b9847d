/*
Package realclients holds the tests that run Redis clients which others wrote against
the embedded bus: redis-py, ioredis and node-redis, each with a scenario of its own, and
rueidis. go-redis is in the tests of package redisbus.

Each is played twice, at the bus and at a real Redis, through a line that is cut when the
scenario asks for it. What the bus refuses and Redis does not fails the test, also where
the client makes nothing of it.

scripts/install-test-deps installs Node, redis-py and, by package-lock.json, the rest.
*/
package realclients

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"c10m/channel"
	"c10m/internal/patience"
	"c10m/internal/servertest"
	"c10m/redisbus"
)

const password = "pw"

// membersOfNews is how many WebSockets the bus says that the channel "news" has.
const membersOfNews = 3

// A door has these WebSockets, and drops what they get.
type door struct{}

func (door) Publish(name, _ []byte) (*channel.Receipt, error) {
	r := channel.NewReceipt(1)
	r.Settle(members(string(name)))
	return r, nil
}

func (door) Count(names []string) []int {
	counts := make([]int, len(names))
	for i, name := range names {
		counts[i] = members(name)
	}
	return counts
}

func (door) Channels(func(string) bool, int) []string { return nil }

func members(name string) int {
	if name == "news" {
		return membersOfNews
	}
	return 0
}

// A line carries connections to a server, cuts them, and notes the errors it answers.
type line struct {
	server string
	port   int

	mu     sync.Mutex
	conns  map[net.Conn]bool
	errors map[string]bool
}

func newLine(t *testing.T, server string) *line {
	t.Helper()
	l := &line{server: server, conns: map[net.Conn]bool{}, errors: map[string]bool{}}
	listener := servertest.Accept(t, "127.0.0.1", l.carry)
	l.port = listener.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() { listener.Close(); l.cut() })
	return l
}

func (l *line) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	l.mu.Lock()
	l.conns[client], l.conns[server] = true, true
	l.mu.Unlock()
	go func() {
		defer client.Close()
		defer server.Close()
		answers := bufio.NewReader(server)
		for {
			answer, err := answers.ReadSlice('\n')
			if bytes.HasPrefix(answer, []byte("-")) {
				l.mu.Lock()
				l.errors[strings.TrimSpace(string(answer))] = true
				l.mu.Unlock()
			}
			if _, w := client.Write(answer); w != nil || err != nil && err != bufio.ErrBufferFull {
				return
			}
		}
	}()
	piece := make([]byte, 64<<10)
	for {
		n, err := client.Read(piece)
		if _, w := server.Write(piece[:n]); w != nil || err != nil {
			return
		}
	}
}

// cut ends all connections there are.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
		delete(l.conns, c)
	}
}

// startBus is an embedded bus, and its address.
func startBus(t *testing.T) string {
	t.Helper()
	b, err := redisbus.ListenEmbedded(redisbus.EmbeddedConfig{Addr: "127.0.0.1:0", Password: password}, door{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b.Addr().String()
}

// atBoth plays a scenario at a Redis and at the bus. It gets a line, and how many
// WebSockets are on "news".
func atBoth(t *testing.T, play func(t *testing.T, l *line, here int)) {
	port := servertest.FreePort(t)
	servertest.StartRedis(t, port, "--requirepass", password)
	redis := newLine(t, fmt.Sprintf("127.0.0.1:%d", port))
	t.Run("Redis", func(t *testing.T) { play(t, redis, 0) })

	bus := newLine(t, startBus(t))
	t.Run("bus", func(t *testing.T) { play(t, bus, membersOfNews) })

	redis.mu.Lock()
	defer redis.mu.Unlock()
	bus.mu.Lock()
	defer bus.mu.Unlock()
	for refusal := range bus.errors {
		if !redis.errors[refusal] {
			t.Errorf("the bus answered %q, and Redis did not: it answered %v", refusal, redis.errors)
		}
	}
}

// program plays a scenario that another program has, which must take the steps.
func program(t *testing.T, name, script string, steps ...string) {
	atBoth(t, func(t *testing.T, l *line, here int) {
		ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
		defer cancel()
		c := exec.CommandContext(ctx, name, script, fmt.Sprint(l.port), password, fmt.Sprint(here))
		var complaints bytes.Buffer
		c.Stderr = &complaints
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var taken []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			switch step, ok := strings.CutPrefix(lines.Text(), "step: "); {
			case ok:
				taken = append(taken, step)
			case lines.Text() == "cut":
				l.cut()
				fmt.Fprintln(in)
			default:
				t.Errorf("it said %q", lines.Text())
			}
		}
		if err := c.Wait(); err != nil {
			t.Fatalf("%v, after %q: %s", err, taken, complaints.String())
		}
		for _, step := range steps {
			if !slices.Contains(taken, step) {
				t.Errorf("the step %q was not taken: %q", step, taken)
			}
		}
	})
}

var steps = []string{"publish", "subscribe", "pipeline", "multi", "reconnect"}

func TestRedisPy(t *testing.T) {
	// Of the distribution, which need not be the first in the path.
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import redis").Run(); err != nil {
		t.Fatal("redis-py is not there: run make test, which installs it")
	}
	program(t, python, "redis_py.py", append(steps, "no cluster")...)
}

func TestIoredis(t *testing.T) {
	program(t, node(t, "ioredis"), "ioredis.mjs", append(steps, "no cluster")...)
}

func TestNodeRedis(t *testing.T) {
	program(t, node(t, "redis"), "node_redis.mjs", append(steps, "RESP2", "RESP3", "cache")...)
}

func node(t *testing.T, module string) string {
	if _, err := os.Stat("node_modules/" + module); err != nil {
		t.Fatalf("the npm package %s is not there: run make test, which installs it", module)
	}
	return servertest.Find(t, "node", "nodejs")
}
