package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"c10m/conn/reasons"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

func TestPublishWithRedisCLI(t *testing.T) {
	s := servertest.StartServer(t, 0)
	news, sport := s.Dial(t, "news"), s.Dial(t, "sport")
	if got := servertest.RedisCLI(t, s.Bus, "PUBLISH", "news", "hello"); got != "1" {
		t.Fatalf("PUBLISH printed %q", got)
	}
	if got := news.Next(t); got != "hello" {
		t.Fatalf("the client of news got %q", got)
	}
	if got := servertest.RedisCLI(t, s.Bus, "PUBLISH", "sport", "2:1"); got != "1" || sport.Next(t) != "2:1" {
		t.Fatalf("the other channel: %q", got)
	}
	if got := servertest.RedisCLI(t, s.Bus, "PUBSUB", "NUMSUB", "news", "nobody"); strings.Join(strings.Fields(got), " ") != "news 1 nobody 0" {
		t.Fatalf("NUMSUB printed %q", got)
	}
	if !s.Healthy() || !s.Ready() {
		t.Fatalf("health: %s, ready: %s", s.Get("/healthz"), s.Get("/readyz"))
	}
}

func TestTwoServersShareARedisThatRestarts(t *testing.T) {
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	bus := fmt.Sprintf("redis://127.0.0.1:%d", port)
	servers := []*servertest.Server{servertest.StartServer(t, 0, "--bus", bus, "--gap", "ignore"), servertest.StartServer(t, 0, "--bus", bus, "--gap", "ignore")}
	var clients []*servertest.Client
	for _, s := range servers {
		servertest.Eventually(t, "health is green", func() bool { return s.Healthy() })
		clients = append(clients, s.Dial(t, "news"))
	}
	servertest.RedisCLI(t, port, "PUBLISH", "news", "one")
	for i, c := range clients {
		if got := c.Next(t); got != "one" {
			t.Fatalf("the client of server %d got %q", i, got)
		}
	}
	redis.Cmd.Process.Kill()
	redis.Wait()
	for _, s := range servers {
		servertest.Eventually(t, "health is red", func() bool { return !s.Healthy() })
	}
	servertest.StartRedis(t, port)
	for _, s := range servers {
		servertest.Eventually(t, "health is green again", func() bool { return s.Healthy() })
		if gaps := s.Metric("c10m_bus_gaps_total"); gaps != 1 {
			t.Errorf("%v gaps counted", gaps)
		}
	}
	servertest.RedisCLI(t, port, "PUBLISH", "news", "two")
	for i, c := range clients {
		if got := c.Next(t); got != "two" {
			t.Fatalf("after the restart the client of server %d got %q", i, got)
		}
	}
}

func TestTheEmbeddedBusIsTheRedisOfASecondServer(t *testing.T) {
	first := servertest.StartServer(t, 0)
	second := servertest.StartServer(t, 0, "--bus", fmt.Sprintf("redis://127.0.0.1:%d", first.Bus))
	servertest.Eventually(t, "the second is ready", func() bool { return second.Ready() })
	a, b := first.Dial(t, "news"), second.Dial(t, "news")
	// One connection here, and the second server as a subscriber.
	if got := servertest.RedisCLI(t, first.Bus, "PUBLISH", "news", "hello"); got != "2" {
		t.Fatalf("PUBLISH printed %q", got)
	}
	if a.Next(t) != "hello" || b.Next(t) != "hello" {
		t.Fatal("not both got it")
	}
}

// heapObjects asks for the objects that are live after a collection. It is the least of some
// readings, since a reading also counts what others have allocated between the collection
// and itself.
func heapObjects(t *testing.T, s *servertest.Server) int {
	t.Helper()
	const before = "\n# HeapObjects = "
	least := math.MaxInt
	for range 5 {
		_, rest, _ := strings.Cut(s.Get("/debug/pprof/heap?gc=1&debug=1"), before)
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(line)
		if err != nil {
			t.Fatalf("the profile does not tell the heap's objects: %v", err)
		}
		least = min(least, n)
	}
	return least
}

// More connections than the hard nofile limit, in one process. The limit is
// made small, so that the same test is cheap and runs where the real limit is
// large.
func TestMoreConnectionsThanTheNofileLimit(t *testing.T) {
	const nofile, connections, messages = 4000, 20_000, 3
	s := servertest.StartServer(t, nofile, "--max-connections", fmt.Sprint(connections))
	goroutines, objects := s.Metric("go_goroutines"), heapObjects(t, s)
	load := servertest.Start(t, "sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, nofile), servertest.Binary("10m-client"),
		"saturate", "127.0.0.1", fmt.Sprint(connections), "--first-port", fmt.Sprint(s.Port), "--messages", fmt.Sprint(messages),
		"--bus", fmt.Sprintf("127.0.0.1:%d", s.Bus), "--json", "--timeout", "30s")
	servertest.Eventually(t, "all are connected", func() bool { return s.Metric("c10m_connections_open") == connections })
	if grown := s.Metric("go_goroutines") - goroutines; grown > 5 {
		t.Errorf("%v goroutines more with %d connections", grown, connections)
	}
	if grown := heapObjects(t, s) - objects; grown > connections/20 {
		t.Errorf("%v heap objects more with %d connections", grown, connections)
	}
	if status := load.Wait(); status != 0 {
		t.Fatalf("the load client exits with %d", status)
	}
	var summary map[string]any
	if err := json.Unmarshal([]byte(load.Stdout.String()), &summary); err != nil {
		t.Fatalf("%v: %s", err, load.Stdout.String())
	}
	t.Logf("resident memory with %d connections: %.1f MB; client: %v", connections, s.Metric("process_resident_memory_bytes")/1e6, summary)
	servertest.Eventually(t, "all are gone", func() bool { return s.Metric("c10m_connections") == 0 })
	if n := s.Metric("c10m_deliveries_total"); n != connections*messages {
		t.Errorf("%v deliveries of %d", n, connections*messages)
	}
	for _, name := range []string{"c10m_members", "c10m_channels", "c10m_logs", "c10m_blocked_members"} {
		if n := s.Metric(name); n != 0 {
			t.Errorf("%s is %v after all left", name, n)
		}
	}
}

// readers dials so many clients that read until they are closed. check waits for
// that, and wants 1012 (service restart) or another code, and then the end of the server.
func readers(t *testing.T, s *servertest.Server, connections int, orElse ...ws.StatusCode) (check func()) {
	t.Helper()
	codes := make([]chan ws.StatusCode, connections)
	for i := range codes {
		c := s.Dial(t, "news")
		codes[i] = make(chan ws.StatusCode, 1)
		go func() {
			codes[i] <- c.CloseCode()
			c.Close()
		}()
	}
	return func() {
		t.Helper()
		for i := range codes {
			if code := <-codes[i]; code != 1012 && !slices.Contains(orElse, code) {
				t.Fatalf("connection %d was closed with %d", i, code)
			}
		}
		if status := s.Wait(); status != 0 {
			t.Fatalf("exit status %d", status)
		}
	}
}

func TestSIGTERMDrains(t *testing.T) {
	s := servertest.StartServer(t, 0, "--drain", "2s")
	check := readers(t, s, 200)
	s.Signal(syscall.SIGTERM)
	check()
}

// A flood of messages must not keep the operator's word from the loops.
func TestSIGTERMDrainsUnderAFloodOfMessages(t *testing.T) {
	// Skip: on a busy machine these readers may be slow, and are to stay.
	s := servertest.StartServer(t, 0, "--drain", "1s", "--slow", "skip")
	check := readers(t, s, 20, reasons.CodeMissedMessages) // those that are behind
	for range 2 {
		publisher, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Bus))
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
	servertest.Eventually(t, "the loops are busy", func() bool { return s.Metric("c10m_messages_in_total") > 20_000 })
	s.Signal(syscall.SIGTERM)
	check()
}

func TestASecondSignalEndsTheServerNow(t *testing.T) {
	s := servertest.StartServer(t, 0, "--drain", "1h")
	s.Dial(t, "news")
	s.Signal(syscall.SIGTERM)
	// The signal's line comes first; each loop closes its listener in a turn of its own.
	servertest.Eventually(t, "it is not ready", func() bool { return strings.HasPrefix(s.Get("/readyz"), "503") })
	servertest.Eventually(t, "it does not listen", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	s.Signal(syscall.SIGINT)
	if status := s.Wait(); status != 1 {
		t.Fatalf("exit status %d", status)
	}
}

func TestANewServerStartsOnThePortsOfADrainingOne(t *testing.T) {
	old := servertest.StartServer(t, 0)
	young := servertest.StartServer(t, 0, "--listen", fmt.Sprintf("127.0.0.1:%d", old.Port))
	young.Port = old.Port
	old.Signal(syscall.SIGTERM)
	old.Wait()
	c := young.Dial(t, "news")
	if servertest.RedisCLI(t, young.Bus, "PUBLISH", "news", "hello") != "1" || c.Next(t) != "hello" {
		t.Fatal("the new server does not serve")
	}
}

func TestWhatAnOperatorDoesWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := servertest.StartServer(t, 0)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--listen", "nonsense"}, "there is no port"},
		{[]string{"--listen", taken.Addr().String()}, "another program uses that port"},
		{[]string{"--listen", "192.0.2.1:80"}, "does not have that address"},
		{[]string{"--bus-listen", fmt.Sprintf("127.0.0.1:%d", s.Bus)}, "--bus-listen"},
		{[]string{"--bus-listen", "0.0.0.0:6380"}, "password"},
		{[]string{"--bus", "http://x"}, "redis://"},
		{[]string{"--admin", "0.0.0.0:0"}, "--admin-password"},
		{[]string{"--bus-password-file", "/no/such/file"}, "--bus-password-file: cannot read the password"},
		{[]string{"--admin-password-file", "/dev/null"}, "--admin-password-file: cannot read the password: /dev/null has to be a regular file"},
		{[]string{"--bus-password", "a", "--bus-password-file", "b"}, "--bus-password and --bus-password-file are both given"},
		{[]string{"--admin-password", "a", "--admin-password-file", "b"}, "--admin-password and --admin-password-file are both given"},
		{[]string{"--admin-password-file", ""}, "--admin-password-file is empty"},
		{[]string{"--origin", "example.com"}, "--origin"},
		{[]string{"--trusted", "10.1.2.3/8"}, "10.0.0.0/8"},
		{[]string{"--proxy-protocol"}, "--trusted"},
		{[]string{"--forwarded-for"}, "--trusted"},
		{[]string{"--address-connections", "-1"}, "--address-connections"},
		{[]string{"--address-rate", "10"}, "is no rate"},
		{[]string{"--address-rate", "0.1/s"}, "is no rate"},
		{[]string{"--address-rate", "NaN/s"}, "is no rate"},
		{[]string{"--address-burst", "10"}, "--address-rate"},
		{[]string{"--admin", fmt.Sprintf("127.0.0.1:%d", s.Admin)}, "--admin"},
		{[]string{"--log-bytes", "many"}, "is not a size"},
		{[]string{"--message-bytes", "2MiB"}, "--log-bytes"},
		{[]string{"--ping-interval", "10ms"}, "--ping-interval"},
		{[]string{"--max-connections", "1000000", "--fd-tables", "shared", "--loops", "1"}, "nofile"},
		{[]string{"--write-deadline", "2000h"}, "--write-deadline"},
		{[]string{"--listen", ""}, "--listen is empty"},
		{[]string{"--accept-rate", "-1"}, "--accept-rate"},
		{[]string{"--sweep-rate", "10"}, "--sweep-rate"},
		{[]string{"--sweep-rate", "fast"}, "--sweep-rate"},
		{[]string{"--max-memory", "4K"}, "--max-memory"},
		{[]string{"--max-memory", "1MiB"}, "64MiB"},
		{[]string{"--slow", "maybe"}, "--slow"},
		{[]string{"--no-such-flag"}, "unknown flag"},
	} {
		port := fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t))
		args := append([]string{"--listen", port, "--bus-listen", "127.0.0.1:0", "--admin", "off"}, c.args...)
		p := servertest.Start(t, "sh", append([]string{"-c", `ulimit -n 20000; exec "$0" "$@"`, servertest.Binary("10m-server")}, replaceFlag(args, c.args[0])...)...)
		if status := p.Wait(); status == 0 || !strings.Contains(p.Output.String(), c.says) {
			t.Errorf("%v: status %d, does not say %q:\n%s", c.args, status, c.says, p.Output.String())
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
	out, err := exec.Command(servertest.Binary("10m-server"), "doctor", "--connections", "10000").CombinedOutput()
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

// A server that cannot start for its bus or its admin pages ends before it listens
// for clients: where another one has the same ports, its newcomers would be reset.
// That it was in time shows in what it complains of if both are wrong.
func TestAServerThatCannotStartTakesNoNewcomers(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for _, args := range [][]string{{"--bus-listen", address}, {"--admin", address}, {"--bus", "redis://"}} {
		args := append([]string{"--listen", address}, args...)
		for _, other := range [][2]string{{"--bus-listen", "127.0.0.1:0"}, {"--admin", "off"}} {
			if !slices.Contains(args, other[0]) {
				args = append(args, other[:]...)
			}
		}
		p := servertest.Start(t, servertest.Binary("10m-server"), args...)
		if status := p.Wait(); status <= 0 || !strings.Contains(p.Output.String(), args[2]) {
			t.Errorf("%v: status %d, it complains of something else:\n%s", args, status, p.Output.String())
		}
	}
}
