package redisbus

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/bus"
	"c10m/bus/bustest"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// program finds a program on PATH that the tests need.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not on PATH: run the tests with `make test`, which provides it", name)
	}
	return path
}

// A redisServer is a real Redis on a port of its own.
type redisServer struct {
	t    testing.TB
	addr string
	dir  string
	args []string
	proc *exec.Cmd
}

func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &redisServer{t: t, addr: listener.Addr().String(), dir: t.TempDir(), args: args}
	listener.Close()
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	s.proc = exec.Command(program(s.t, "redis-server"), append([]string{
		"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir}, s.args...)...)
	if err := s.proc.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "redis-server answers", func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(hang))
		_, _ = conn.Write([]byte("PING\r\n"))
		n, _ := conn.Read(make([]byte, 16))
		return n > 0
	})
}

func (s *redisServer) kill() {
	if s.proc != nil {
		_ = s.proc.Process.Kill()
		_ = s.proc.Wait()
		s.proc = nil
	}
}

func (s *redisServer) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.proc.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// connect subscribes with intervals that suit a test.
func connect(t testing.TB, url string, door bus.Door, log *zap.Logger) *Redis {
	t.Helper()
	r, err := ConnectRedis(RedisConfig{
		URL:                 url,
		ProbeInterval:       50 * time.Millisecond,
		ProbeTimeout:        500 * time.Millisecond,
		ReconnectBackoffMin: 10 * time.Millisecond,
		ReconnectBackoffMax: 100 * time.Millisecond,
	}, door, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, r) })
	return r
}

func waitUp(t testing.TB, b bus.Bus, up bool) bus.Health {
	t.Helper()
	eventually(t, fmt.Sprintf("health up=%v; now %+v", up, b.Health()), func() bool { return b.Health().Up == up })
	return b.Health()
}

func publishAt(t testing.TB, addr, ch, payload string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	n, err := client.Publish(ctx, ch, payload).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func has(want ...doorMessage) func([]doorMessage) bool {
	return func(all []doorMessage) bool { return fmt.Sprint(all) == fmt.Sprint(want) }
}

func TestRedisDelivers(t *testing.T) {
	server := startRedis(t)
	door := newDoor(nil)
	r := connect(t, "redis://"+server.addr, door, zap.NewNop())
	waitUp(t, r, true)
	var want []doorMessage
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	defer client.Close()
	pipe := client.Pipeline()
	for i := range 1000 {
		m := bustest.To(fmt.Sprintf("ch%d", i%7), fmt.Sprint("m\x00\r\n", i))
		pipe.Publish(t.Context(), m.Channel, m.Payload)
		want = append(want, m)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	door.Wait(t, "all in order", has(want...))
	publishAt(t, server.addr, "-/private", "not for the Door")
	publishAt(t, server.addr, "big", strings.Repeat("x", bustest.PayloadBytesMax+1))
	publishAt(t, server.addr, "last", "z")
	door.Wait(t, "the rest", has(append(want, bustest.To("last", "z"))...))
	s := r.Stats()
	if s.MessagesIn != 1002 || s.Dropped["refused"] != 1 || s.ReservedIn < 2 || s.Gaps != 0 || s.Reconnects != 0 {
		t.Errorf("stats %+v", s)
	}
	if s.ProbeRoundTripSeconds <= 0 || s.ProbeRoundTripSeconds > hang.Seconds() {
		t.Errorf("round trip %v seconds", s.ProbeRoundTripSeconds)
	}
}

func TestRedisKilledAndRestarted(t *testing.T) {
	server := startRedis(t)
	door := newDoor(nil)
	r := connect(t, "redis://"+server.addr, door, zap.NewNop())
	if up := waitUp(t, r, true); up.Gaps != 0 || up.Reason != "" {
		t.Fatalf("health at first %+v", up)
	}
	publishAt(t, server.addr, "a", "1")
	door.Wait(t, "before", has(bustest.To("a", "1")))
	for gap := uint64(1); gap <= 2; gap++ {
		server.kill()
		eventually(t, "red with a gap", func() bool { h := r.Health(); return !h.Up && h.Gaps == gap && h.Reason != "" })
		if h := r.Health(); h.GapFrom.IsZero() || !h.GapTo.IsZero() {
			t.Errorf("an open gap: %+v", h)
		}
		server.start()
		h := waitUp(t, r, true)
		if h.Gaps != gap || h.Reason != "" || !h.GapTo.After(h.GapFrom) {
			t.Errorf("after gap %d: %+v", gap, h)
		}
		publishAt(t, server.addr, "a", fmt.Sprint(gap+1))
		door.Wait(t, "after", func(all []doorMessage) bool { return len(all) == int(gap)+1 })
	}
	if s := r.Stats(); s.Reconnects != 2 || s.Gaps != 2 {
		t.Errorf("stats %+v", s)
	}
}

// TestRedisConnectionKilled is the case that go-redis hides: it would resubscribe
// inside of the failed receive.
func TestRedisConnectionKilled(t *testing.T) {
	server := startRedis(t)
	r := connect(t, "redis://"+server.addr, newDoor(nil), zap.NewNop())
	waitUp(t, r, true)
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	defer client.Close()
	if n, err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Int(); n != 1 || err != nil {
		t.Fatalf("killed %d subscribers: %v", n, err)
	}
	eventually(t, "the gap is counted", func() bool { return r.Health().Gaps == 1 })
	waitUp(t, r, true)
	if s := r.Stats(); s.Reconnects != 1 {
		t.Errorf("reconnects %d", s.Reconnects)
	}
	if stats := client.Info(t.Context(), "commandstats").Val(); !strings.Contains(stats, "cmdstat_psubscribe:calls=2,") {
		t.Errorf("somebody else subscribed again: %s", stats)
	}
}

// TestRedisBackoffStartsAnew: a subscription that worked clears the failures of
// before. If it did not, the last waits here would be minutes.
func TestRedisBackoffStartsAnew(t *testing.T) {
	server := startRedis(t)
	r, err := ConnectRedis(RedisConfig{URL: "redis://" + server.addr, ReconnectBackoffMin: time.Millisecond, ReconnectBackoffMax: time.Hour}, newDoor(nil), nopLog)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBus(t, r)
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	defer client.Close()
	for gap := uint64(1); gap <= 20; gap++ {
		waitUp(t, r, true)
		if err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a gap", func() bool { return r.Health().Gaps == gap })
	}
	waitUp(t, r, true)
}

func TestRedisFrozen(t *testing.T) {
	server := startRedis(t)
	door := newDoor(nil)
	r := connect(t, "redis://"+server.addr, door, zap.NewNop())
	waitUp(t, r, true)
	server.signal(syscall.SIGSTOP)
	h := waitUp(t, r, false)
	if !strings.Contains(h.Reason, "probe") && !strings.Contains(h.Reason, "nothing came") {
		t.Errorf("reason %q", h.Reason)
	}
	if r.Stats().ProbesLost == 0 && r.Health().Gaps == 0 {
		t.Errorf("neither a probe lost nor a gap: %+v", r.Stats())
	}
	server.signal(syscall.SIGCONT)
	waitUp(t, r, true)
	publishAt(t, server.addr, "a", "1")
	door.Wait(t, "after the thaw", has(bustest.To("a", "1")))
}

func TestRedisFrozenForLong(t *testing.T) {
	server := startRedis(t)
	r := connect(t, "redis://"+server.addr, newDoor(nil), zap.NewNop())
	waitUp(t, r, true)
	server.signal(syscall.SIGSTOP)
	eventually(t, "the dead subscription is given up", func() bool { return r.Health().Gaps == 1 })
	server.signal(syscall.SIGCONT)
	waitUp(t, r, true)
}

func TestRedisUnreachableAtStart(t *testing.T) {
	server := startRedis(t)
	server.kill()
	r := connect(t, "redis://"+server.addr, newDoor(nil), zap.NewNop())
	eventually(t, "the reason names the address", func() bool { return strings.Contains(r.Health().Reason, "refused") })
	h := r.Health()
	if h.Up || h.Gaps != 0 || !strings.Contains(h.Reason, server.addr) {
		t.Errorf("health %+v", h)
	}
	server.start()
	if h := waitUp(t, r, true); h.Gaps != 0 {
		t.Errorf("a gap without ever having been up: %+v", h)
	}
}

func TestRedisPassword(t *testing.T) {
	const secret, user = "s3cret-%x", "default"
	server := startRedis(t, "--requirepass", "another")
	core, logs := observer.New(zapcore.DebugLevel)
	for name, url := range map[string]string{
		"wrong": "redis://default:s3cret-%25x@" + server.addr,
		"none":  "redis://" + server.addr,
	} {
		r := connect(t, url, newDoor(nil), zap.New(core))
		eventually(t, name+": the reason is the password", func() bool {
			return strings.Contains(r.Health().Reason, "refuses the user or the password")
		})
		if strings.Contains(r.Health().Reason, "s3cret") {
			t.Errorf("%s: the reason tells the password: %s", name, r.Health().Reason)
		}
		closeBus(t, r)
	}
	r := connect(t, "redis://default:s3cret-%25x@"+server.addr, newDoor(nil), zap.New(core))
	eventually(t, "red", func() bool { return strings.Contains(r.Health().Reason, "password") })
	client := redis.NewClient(&redis.Options{Addr: server.addr, Password: "another"})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "requirepass", secret).Err(); err != nil {
		t.Fatal(err)
	}
	waitUp(t, r, true)
	for _, line := range logs.All() {
		if text := fmt.Sprint(line.Message, line.ContextMap()); strings.Contains(text, "s3cret") {
			t.Errorf("the log tells the password: %s", text)
		}
	}
}

func TestRedisURL(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:6379", "http://:s3cret@h", "redis://:s3cret@", "redis://:s3cret%zz@h:1",
		"redis://u:s3cret@h:1/no-number", "redis://u:s3cret@h:1?nonsense=1", "redis://u:s3c/ret@h:1", "embedded"} {
		_, err := ConnectRedis(RedisConfig{URL: url}, newDoor(nil), zap.NewNop())
		if err == nil {
			t.Errorf("%q was taken", url)
		} else if strings.Contains(err.Error(), "s3c") || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "--bus") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestRedisRubbish: the other end is no Redis, and says things that make
// go-redis panic or wait.
func TestRedisRubbish(t *testing.T) {
	answers := []string{"", "HTTP/1.1 400 Bad Request\r\n\r\n", "*0\r\n*0\r\n*0\r\n*0\r\n"}
	// As much of a handshake as go-redis may want, a subscription, and then an
	// integer where a string has to be, or nothing.
	for n := range 5 {
		subscribed := strings.Repeat("-ERR no\r\n", n) + confirmed("*", "psubscribe", "*", 1)
		answers = append(answers, subscribed+"*1\r\n:1\r\n", subscribed+"*0\r\n",
			subscribed+"*2\r\n$8\r\npmessage\r\n:4\r\n", subscribed+":1\r\n")
	}
	for _, answer := range answers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		dials := make(chan struct{}, 1000)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(answer))
				_ = conn.(*net.TCPConn).CloseWrite()
				t.Cleanup(func() { conn.Close() })
				select {
				case dials <- struct{}{}:
				default:
				}
			}
		}()
		r := connect(t, "redis://"+listener.Addr().String(), newDoor(nil), zap.NewNop())
		for range 3 {
			select {
			case <-dials:
			case <-time.After(hang):
				t.Fatalf("%q: no dial any more", answer)
			}
		}
		if h := r.Health(); h.Up || h.Reason == "" {
			t.Errorf("%q: health %+v", answer, h)
		}
		closeBus(t, r)
	}
}

// TestRedisLateProbeKeepsTheStream: a Door that blocks for longer than all
// timeouts delays the probe behind messages. Giving up the subscription then
// would lose what waits in it.
func TestRedisLateProbeKeepsTheStream(t *testing.T) {
	server := startRedis(t)
	door := newDoor(nil)
	hold := make(chan struct{})
	door.Before = func(string) { <-hold }
	r := connect(t, "redis://"+server.addr, door, zap.NewNop())
	waitUp(t, r, true)
	var want []doorMessage
	for i := range 100 {
		publishAt(t, server.addr, "a", fmt.Sprint(i))
		want = append(want, bustest.To("a", fmt.Sprint(i)))
	}
	eventually(t, "three probes late", func() bool { return r.Stats().ProbesLost >= 3 })
	if h := r.Health(); h.Up {
		t.Error("green although messages do not get through")
	}
	close(hold)
	door.Wait(t, "the backlog", has(want...))
	if h := waitUp(t, r, true); h.Gaps != 0 {
		t.Errorf("health %+v", h)
	}
}

func TestRedisCloseWhileFrozen(t *testing.T) {
	server := startRedis(t)
	r := connect(t, "redis://"+server.addr, newDoor(nil), zap.NewNop())
	waitUp(t, r, true)
	server.signal(syscall.SIGSTOP)
	closeBus(t, r)
	closeBus(t, r)
	server.signal(syscall.SIGCONT)
	if h := r.Health(); h.Up {
		t.Errorf("health after Close %+v", h)
	}
}

func TestBackoff(t *testing.T) {
	low, high := 100*time.Millisecond, 5*time.Second
	for failures := range 200 {
		bound := high
		if failures < 6 {
			bound = low << failures
		}
		var most time.Duration
		for range 200 {
			most = max(most, backoff(failures, low, high))
		}
		if most > bound || most < bound/2 {
			t.Errorf("failure %d: the longest wait of 200 is %v, with a bound of %v", failures, most, bound)
		}
	}
}
