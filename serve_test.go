package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
)

func TestPublishWithRedisCLI(t *testing.T) {
	s := startServer(t, 0)
	news, sport := s.dial(t, "news"), s.dial(t, "sport")
	if got := redisCLI(t, s.bus, "PUBLISH", "news", "hello"); got != "1" {
		t.Fatalf("PUBLISH printed %q", got)
	}
	if got := news.next(t); got != "hello" {
		t.Fatalf("the client of news got %q", got)
	}
	if got := redisCLI(t, s.bus, "PUBLISH", "sport", "2:1"); got != "1" || sport.next(t) != "2:1" {
		t.Fatalf("the other channel: %q", got)
	}
	if got := redisCLI(t, s.bus, "PUBSUB", "NUMSUB", "news", "nobody"); strings.Join(strings.Fields(got), " ") != "news 1 nobody 0" {
		t.Fatalf("NUMSUB printed %q", got)
	}
	if !strings.HasPrefix(s.get("/healthz"), "200") || !strings.HasPrefix(s.get("/readyz"), "200") {
		t.Fatalf("health: %s, ready: %s", s.get("/healthz"), s.get("/readyz"))
	}
}

func TestTwoServersShareARedisThatRestarts(t *testing.T) {
	port := freePort(t)
	redis := startRedis(t, port)
	bus := fmt.Sprintf("redis://127.0.0.1:%d", port)
	servers := []*server{startServer(t, 0, "--bus", bus), startServer(t, 0, "--bus", bus)}
	var clients []*client
	for _, s := range servers {
		eventually(t, "health is green", func() bool { return strings.HasPrefix(s.get("/healthz"), "200") })
		clients = append(clients, s.dial(t, "news"))
	}
	redisCLI(t, port, "PUBLISH", "news", "one")
	for i, c := range clients {
		if got := c.next(t); got != "one" {
			t.Fatalf("the client of server %d got %q", i, got)
		}
	}
	redis.cmd.Process.Kill()
	redis.wait()
	for _, s := range servers {
		eventually(t, "health is red", func() bool { return strings.HasPrefix(s.get("/healthz"), "503") })
	}
	startRedis(t, port)
	for _, s := range servers {
		eventually(t, "health is green again", func() bool { return strings.HasPrefix(s.get("/healthz"), "200") })
		if gaps := s.metric("c10m_bus_gaps_total"); gaps != 1 {
			t.Errorf("%v gaps counted", gaps)
		}
	}
	redisCLI(t, port, "PUBLISH", "news", "two")
	for i, c := range clients {
		if got := c.next(t); got != "two" {
			t.Fatalf("after the restart the client of server %d got %q", i, got)
		}
	}
}

func TestTheEmbeddedBusIsTheRedisOfASecondServer(t *testing.T) {
	first := startServer(t, 0)
	second := startServer(t, 0, "--bus", fmt.Sprintf("redis://127.0.0.1:%d", first.bus))
	eventually(t, "the second is ready", func() bool { return strings.HasPrefix(second.get("/readyz"), "200") })
	a, b := first.dial(t, "news"), second.dial(t, "news")
	// One connection here, and the second server as a subscriber.
	if got := redisCLI(t, first.bus, "PUBLISH", "news", "hello"); got != "2" {
		t.Fatalf("PUBLISH printed %q", got)
	}
	if a.next(t) != "hello" || b.next(t) != "hello" {
		t.Fatal("not both got it")
	}
}

// More connections than the hard nofile limit, in one process. The limit is
// made small, so that the same test is cheap and runs where the real limit is
// large.
func TestMoreConnectionsThanTheNofileLimit(t *testing.T) {
	const nofile, connections, messages = 4000, 20_000, 3
	s := startServer(t, nofile, "--max-connections", fmt.Sprint(connections))
	goroutines, objects := s.metric("go_goroutines"), s.heapObjects()
	load := start(t, "sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, nofile), filepath.Join(binaries, "10m-client"),
		"saturate", "127.0.0.1", fmt.Sprint(connections), "--first-port", fmt.Sprint(s.port), "--messages", fmt.Sprint(messages),
		"--bus", fmt.Sprintf("127.0.0.1:%d", s.bus), "--json", "--timeout", "30s")
	eventually(t, "all are connected", func() bool { return s.metric("c10m_connections_open") == connections })
	if grown := s.metric("go_goroutines") - goroutines; grown > 5 {
		t.Errorf("%v goroutines more with %d connections", grown, connections)
	}
	if grown := s.heapObjects() - objects; grown > connections/20 {
		t.Errorf("%v heap objects more with %d connections", grown, connections)
	}
	if status := load.wait(); status != 0 {
		t.Fatalf("the load client exits with %d", status)
	}
	var summary map[string]any
	if err := json.Unmarshal([]byte(load.stdout.String()), &summary); err != nil {
		t.Fatalf("%v: %s", err, load.stdout.String())
	}
	t.Logf("resident memory with %d connections: %.1f MB; client: %v", connections, s.metric("process_resident_memory_bytes")/1e6, summary)
	eventually(t, "all are gone", func() bool { return s.metric("c10m_connections") == 0 })
	if n := s.metric("c10m_deliveries_total"); n != connections*messages {
		t.Errorf("%v deliveries of %d", n, connections*messages)
	}
	for _, name := range []string{"c10m_members", "c10m_channels", "c10m_logs", "c10m_blocked_members"} {
		if n := s.metric(name); n != 0 {
			t.Errorf("%s is %v after all left", name, n)
		}
	}
}

// heapObjects asks for the objects that are live after a collection.
func (s *server) heapObjects() float64 {
	s.get("/debug/pprof/heap?gc=1")
	return s.metric("go_memstats_heap_objects")
}

// readers dials so many clients that read until they are closed. check waits for
// that, and wants 1012 (service restart) and then the end of the server.
func (s *server) readers(t *testing.T, connections int) (check func()) {
	t.Helper()
	codes := make([]chan ws.StatusCode, connections)
	for i := range codes {
		c := s.dial(t, "news")
		codes[i] = make(chan ws.StatusCode, 1)
		go func() {
			codes[i] <- c.closeCode()
			c.Close()
		}()
	}
	return func() {
		t.Helper()
		for i := range codes {
			if code := <-codes[i]; code != 1012 {
				t.Fatalf("connection %d was closed with %d", i, code)
			}
		}
		if status := s.wait(); status != 0 {
			t.Fatalf("exit status %d", status)
		}
	}
}

func TestSIGTERMDrains(t *testing.T) {
	s := startServer(t, 0, "--drain", "2s")
	check := s.readers(t, 200)
	s.signal(syscall.SIGTERM)
	check()
}

// A flood of messages must not keep the operator's word from the loops.
func TestSIGTERMDrainsUnderAFloodOfMessages(t *testing.T) {
	// Skip: on a busy machine these readers may be slow, and are to stay.
	s := startServer(t, 0, "--drain", "1s", "--slow", "skip")
	check := s.readers(t, 20)
	for range 2 {
		publisher, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.bus))
		if err != nil {
			t.Fatal(err)
		}
		defer publisher.Close()
		go io.Copy(io.Discard, publisher)
		go func() {
			batch := []byte(strings.Repeat("PUBLISH news xxxx\r\n", 1000))
			for {
				if _, err := publisher.Write(batch); err != nil {
					return
				}
			}
		}()
	}
	eventually(t, "the loops are busy", func() bool { return s.metric("c10m_messages_in_total") > 20_000 })
	s.signal(syscall.SIGTERM)
	check()
}

func TestASecondSignalEndsTheServerNow(t *testing.T) {
	s := startServer(t, 0, "--drain", "1h")
	s.dial(t, "news")
	s.signal(syscall.SIGTERM)
	eventually(t, "it drains", func() bool { return strings.Contains(s.output.String(), "draining") })
	if !strings.HasPrefix(s.get("/readyz"), "503") {
		t.Errorf("ready while draining: %s", s.get("/readyz"))
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port)); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	s.signal(syscall.SIGINT)
	if status := s.wait(); status != 1 {
		t.Fatalf("exit status %d", status)
	}
}

func TestANewServerStartsOnThePortsOfADrainingOne(t *testing.T) {
	old := startServer(t, 0)
	young := startServer(t, 0, "--listen", fmt.Sprintf("127.0.0.1:%d", old.port))
	young.port = old.port
	old.signal(syscall.SIGTERM)
	old.wait()
	c := young.dial(t, "news")
	if redisCLI(t, young.bus, "PUBLISH", "news", "hello") != "1" || c.next(t) != "hello" {
		t.Fatal("the new server does not serve")
	}
}

// Descriptors used up by something else than WebSockets: newcomers wait, those
// here live on, nothing spins, and it recovers by itself.
func TestDescriptorsUsedUp(t *testing.T) {
	const nofile = 400
	s := startServer(t, nofile, "--fd-tables", "shared")
	old := s.dial(t, "news")
	var hogs []net.Conn
	for s.metric("process_open_fds") < nofile-12 {
		hog, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.bus))
		if err != nil {
			t.Fatal(err)
		}
		defer hog.Close()
		fmt.Fprint(hog, "PING\r\n")
		hog.Read(make([]byte, 16))
		hogs = append(hogs, hog)
	}
	var upgraded atomic.Int64
	const newcomers = 30
	for range newcomers {
		go func() {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			fmt.Fprintf(c, "GET /news HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			if n, _ := c.Read(make([]byte, 512)); n > 12 {
				upgraded.Add(1)
			}
		}()
	}
	// The admin pages need a descriptor, too, and may have to wait for it:
	// free a few once the loops have hit the limit.
	eventually(t, "an accept pause", func() bool {
		if upgraded.Load() < newcomers/3 {
			hogs[0].Close()
			hogs = hogs[1:]
		}
		return s.metric("c10m_accept_pauses_total") > 0
	})
	busy, turns := s.metric("process_cpu_seconds_total"), s.metric("c10m_loop_turn_seconds_count")
	for range 5 {
		old.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("here")))))
		if h, err := ws.ReadHeader(old); err != nil || h.OpCode != ws.OpPong {
			t.Fatalf("the old connection: %v %v", h, err)
		}
		old.Read(make([]byte, 4))
	}
	t.Logf("%v s of CPU, %v turns while out of descriptors", s.metric("process_cpu_seconds_total")-busy, s.metric("c10m_loop_turn_seconds_count")-turns)
	for _, hog := range hogs {
		hog.Close()
	}
	eventually(t, "all newcomers are served", func() bool { return upgraded.Load() == newcomers })
	if redisCLI(t, s.bus, "PUBLISH", "news", "hello") != fmt.Sprint(newcomers+1) || old.next(t) != "hello" {
		t.Fatal("after the shortage")
	}
}

func TestWhatAnOperatorDoesWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := startServer(t, 0)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--listen", "nonsense"}, "there is no port"},
		{[]string{"--listen", taken.Addr().String()}, "another program uses that port"},
		{[]string{"--listen", "192.0.2.1:80"}, "does not have that address"},
		{[]string{"--bus-listen", fmt.Sprintf("127.0.0.1:%d", s.bus)}, "--bus-listen"},
		{[]string{"--bus-listen", "0.0.0.0:6380"}, "password"},
		{[]string{"--bus", "http://x"}, "redis://"},
		{[]string{"--admin", "0.0.0.0:0"}, "loopback"},
		{[]string{"--admin", fmt.Sprintf("127.0.0.1:%d", s.admin)}, "--admin"},
		{[]string{"--log-bytes", "many"}, "is not a size"},
		{[]string{"--message-bytes", "2MiB"}, "--log-bytes"},
		{[]string{"--ping-interval", "10ms"}, "--ping-interval"},
		{[]string{"--max-connections", "1000000", "--fd-tables", "shared", "--loops", "1"}, "nofile"},
		{[]string{"--write-deadline", "2000h"}, "--write-deadline"},
		{[]string{"--listen", ""}, "--listen is empty"},
		{[]string{"--slow", "maybe"}, "--slow"},
		{[]string{"--no-such-flag"}, "unknown flag"},
	} {
		port := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		args := append([]string{"--listen", port, "--bus-listen", "127.0.0.1:0", "--admin", "off"}, c.args...)
		p := start(t, "sh", append([]string{"-c", `ulimit -n 20000; exec "$0" "$@"`, filepath.Join(binaries, "10m-server")}, replaceFlag(args, c.args[0])...)...)
		if status := p.wait(); status == 0 || !strings.Contains(p.output.String(), c.says) {
			t.Errorf("%v: status %d, does not say %q:\n%s", c.args, status, c.says, p.output.String())
		}
	}
}

// replaceFlag drops a default of the test that the case sets itself, since
// --listen may be repeated.
func replaceFlag(args []string, flag string) []string {
	if args[0] == flag {
		return args[2:]
	}
	return args
}

func TestDoctor(t *testing.T) {
	out, err := exec.Command(filepath.Join(binaries, "10m-server"), "doctor", "--connections", "10000").CombinedOutput()
	if exit, ok := err.(*exec.ExitError); err != nil && !ok || ok && exit.ExitCode() != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, setting := range []string{"nofile", "fs.file-max", "fs.nr_open", "fs.epoll.max_user_watches", "net.core.somaxconn",
		"net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_mem", "ehash", "net.ipv4.tcp_max_orphans", "net.ipv4.tcp_max_tw_buckets",
		"net.core.netdev_max_backlog", "conntrack", "cgroup memory"} {
		if !strings.Contains(string(out), setting) {
			t.Errorf("the doctor does not mention %s:\n%s", setting, out)
		}
	}
}
