package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

// Descriptors used up by something else than WebSockets: newcomers wait, those
// here live on, nothing spins, and it recovers by itself.
func TestDescriptorsUsedUp(t *testing.T) {
	const nofile = 400
	s := servertest.StartServer(t, nofile, "--fd-tables", "shared")
	old := s.Dial(t, "news")
	var hogs []net.Conn
	for s.Metric("process_open_fds") < nofile-12 {
		hog, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Bus))
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
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
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
	servertest.Eventually(t, "an accept pause", func() bool {
		if upgraded.Load() < newcomers/3 {
			hogs[0].Close()
			hogs = hogs[1:]
		}
		return s.Metric("c10m_accept_pauses_total") > 0
	})
	spins(t, s, old)
	for _, hog := range hogs {
		hog.Close()
	}
	freed := time.Now()
	servertest.Eventually(t, "all newcomers are served", func() bool { return upgraded.Load() == newcomers })
	if servertest.RedisCLI(t, s.Bus, "PUBLISH", "news", "hello") != fmt.Sprint(newcomers+1) || old.Next(t) != "hello" {
		t.Fatal("after the shortage")
	}
	held(t, outcome{fault: "descriptors used up", clients: newcomers + 1, recover: time.Since(freed),
		held: "newcomers wait and are served when there are some; nothing spins; who was here lives on"})
}

// turnsPerSecondMax are for a loop that cannot accept: it tries again 10 times a
// second, and answers pings and our scrapes. One that spins takes some ten
// thousand, also where it has a small part of a processor.
const turnsPerSecondMax = 250

// spins fails if loops take turns that nobody asked for while accepting is paused: over
// 20 pauses, and while an old connection is answered.
func spins(t *testing.T, s *servertest.Server, old *servertest.Client) {
	t.Helper()
	began, turns, pauses := time.Now(), s.Metric("c10m_loop_turn_seconds_count"), s.Metric("c10m_accept_pauses_total")
	pings := 0
	servertest.Eventually(t, "accepting is tried and paused 20 times", func() bool {
		pings++
		old.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("here")))))
		if h, err := ws.ReadHeader(old); err != nil || h.OpCode != ws.OpPong {
			t.Fatalf("the old connection: %v %v", h, err)
		}
		io.ReadFull(old, make([]byte, 4))
		return s.Metric("c10m_accept_pauses_total") >= pauses+20
	})
	turns, pauses = s.Metric("c10m_loop_turn_seconds_count")-turns, s.Metric("c10m_accept_pauses_total")-pauses
	most := s.Metric("c10m_loops") * turnsPerSecondMax * time.Since(began).Seconds()
	t.Logf("%v turns in %v, of %v pauses and %d pings; at most %.0f", turns, time.Since(began), pauses, pings, most)
	if turns > most {
		t.Errorf("it spins: %v turns in %v, of %v pauses and %d pings", turns, time.Since(began), pauses, pings)
	}
}

// An answer to an upgrade request: its status and its Retry-After.
func askToJoin(t *testing.T, s *servertest.Server) (status int, retryAfter string) {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil {
		t.Fatalf("no connection, not even for a 503: %v", err)
	}
	defer c.Close()
	c.SetDeadline(patience.Deadline())
	fmt.Fprint(c, "GET /news HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	answer := make([]byte, 4096)
	n, err := c.Read(answer)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if _, err := fmt.Sscanf(string(answer[:n]), "HTTP/1.1 %d ", &status); err != nil {
		t.Fatalf("it answers %q", answer[:n])
	}
	_, after, _ := strings.Cut(string(answer[:n]), "Retry-After: ")
	retryAfter, _, _ = strings.Cut(after, "\r\n")
	return status, retryAfter
}

// expectRefused wants 503, and a time to come back that is not always the same.
func expectRefused(t *testing.T, s *servertest.Server, reason string, tries int) {
	t.Helper()
	metric := fmt.Sprintf(`c10m_closes_total{reason=%q}`, reason)
	before := s.Metric(metric)
	times := make(map[string]bool)
	for range tries {
		status, after := askToJoin(t, s)
		seconds, err := strconv.Atoi(after)
		if status != http.StatusServiceUnavailable || err != nil || seconds < 1 {
			t.Fatalf("a newcomer was answered %d with Retry-After %q", status, after)
		}
		times[after] = true
	}
	if len(times) < 2 {
		t.Errorf("all %d are to come back after %v s", tries, times)
	}
	if n := s.Metric(metric) - before; n != float64(tries) {
		t.Errorf("%v counted as %s of %d", n, reason, tries)
	}
}

func TestTheConnectionLimit(t *testing.T) {
	const limit = 50
	s := servertest.StartServer(t, 0, "--max-connections", fmt.Sprint(limit), "--loops", "1")
	var inside []*servertest.Client
	for range limit {
		inside = append(inside, s.Dial(t, "news"))
	}
	expectRefused(t, s, "request_full", 20)
	if !s.Ready() {
		t.Error("not ready, though its limit is the operator's own")
	}
	if n := servertest.RedisCLI(t, s.Bus, "PUBLISH", "news", "hello"); n != fmt.Sprint(limit) {
		t.Errorf("PUBLISH printed %s", n)
	}
	for _, c := range inside {
		if got := c.Next(t); got != "hello" {
			t.Fatalf("one who is inside got %q", got)
		}
	}
	inside[0].Close()
	freed := time.Now()
	servertest.Eventually(t, "the place is free", func() bool { return s.Metric("c10m_connections_open") == limit-1 })
	if status, _ := askToJoin(t, s); status != http.StatusSwitchingProtocols {
		t.Errorf("with a free place a newcomer was answered %d", status)
	}
	held(t, outcome{fault: "--max-connections reached", clients: limit, recover: time.Since(freed),
		held: "newcomers get 503 with Retry-After, those inside live on, a free place is taken"})
}

// fillMemory has a reader that does not read keep so many bytes of its channel's
// log that memory is short, and checks what a server does then.
func fillMemory(t *testing.T, s *servertest.Server, fault string, bytes float64) {
	t.Helper()
	slow := s.Dial(t, "much")
	old := s.Dial(t, "news")
	bus := crowdBus(t, s)
	message := make([]byte, 1<<20)
	for i := range message {
		message[i] = 'a'
	}
	for sent := 0; s.Metric("c10m_log_bytes") < bytes; {
		if sent > 2048 {
			t.Fatal("2 GiB were published, and are not in the log")
		}
		for range 8 {
			if err := bus.Publish("much", message); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		servertest.Eventually(t, "the bus has answered", func() bool { _, answers := bus.Receivers(); return answers == sent })
	}
	servertest.Eventually(t, "newcomers are refused", func() bool { return s.Metric("c10m_memory_short") == 1 })
	expectRefused(t, s, "request_memory_limit", 10)
	if page := s.Get("/readyz"); !strings.HasPrefix(page, "503 memory is short") || !s.Healthy() {
		t.Errorf("/readyz: %s, /healthz: %s", page, s.Get("/healthz"))
	}
	if servertest.RedisCLI(t, s.Bus, "PUBLISH", "news", "hello") != "1" || old.Next(t) != "hello" {
		t.Error("who was here does not live on")
	}
	slow.Close()
	freed := time.Now()
	servertest.Eventually(t, "there is memory again", func() bool { return s.Ready() && s.Metric("c10m_memory_short") == 0 })
	took := time.Since(freed)
	if status, _ := askToJoin(t, s); status != http.StatusSwitchingProtocols {
		t.Errorf("with memory again a newcomer was answered %d", status)
	}
	if n := strings.Count(s.Output.String(), "memory is short"); n != 1 {
		t.Errorf("it was logged %d times that memory is short", n)
	}
	held(t, outcome{fault: fault, clients: 2, recover: took,
		held: "newcomers get 503 with Retry-After, those inside live on, readyz is red; it admits again by itself"})
}

// memoryFlags are of a server whose logs may fill its memory.
var memoryFlags = []string{"--log-bytes", "4GiB", "--log-bytes-total", "8GiB",
	"--message-bytes", "1MiB", "--write-deadline", "10m", "--max-connections", "1000"}

func TestMaxMemoryIsReached(t *testing.T) {
	const limit = 128 << 20
	s := servertest.StartServer(t, 0, append(memoryFlags, "--max-memory", fmt.Sprint(limit))...)
	fillMemory(t, s, "--max-memory reached", limit)
}

// The limit of a real cgroup, where this test may make one. Where it may not,
// TestMaxMemoryIsReached and tuning's own tests have to do, and it is skipped.
func TestTheCgroupsMemoryIsUsedUp(t *testing.T) {
	const limit = 384 << 20
	group, err := makeMemoryCgroup(t, limit)
	if err != nil {
		t.Skipf("no cgroup with a memory limit can be made here (%v): the flag's limit stands in for it", err)
	}
	s := startInCgroup(t, group, memoryFlags...)
	if n := s.Metric("c10m_memory_limit_bytes"); n != limit {
		t.Fatalf("the nearest limit is %v", n)
	}
	// Short from 1/8 of what was free at the start on.
	fillMemory(t, s, "the memory of the server's cgroup ("+group.version+") used up", limit*9/10)
}

// startInCgroup starts a server in a cgroup.
func startInCgroup(t *testing.T, group memoryCgroup, args ...string) *servertest.Server {
	t.Helper()
	s := &servertest.Server{Port: servertest.FreePort(t), Bus: servertest.FreePort(t), Admin: servertest.FreePort(t)}
	s.Process = servertest.Start(t, "sh", append([]string{"-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(group.dir, "cgroup.procs"),
		servertest.Binary("10m-server"), "--listen", fmt.Sprintf("127.0.0.1:%d", s.Port),
		"--bus-listen", fmt.Sprintf("127.0.0.1:%d", s.Bus), "--admin", fmt.Sprintf("127.0.0.1:%d", s.Admin)}, args...)...)
	servertest.Eventually(t, "the server's greeting", func() bool {
		if s.Ended() {
			t.Fatalf("the server ended:\n%s", s.Output.String())
		}
		return strings.Contains(s.Output.String(), "connect:") && s.Get("/metrics") != ""
	})
	return s
}

// A memoryCgroup is a cgroup of a test.
type memoryCgroup struct {
	version, dir string
}

// makeMemoryCgroup makes a cgroup below the test's own, or below one of that one's
// parents: in v2 a cgroup with processes gives its controllers to no child
// (cgroups(7)).
func makeMemoryCgroup(t *testing.T, limit int) (group memoryCgroup, err error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return group, err
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return group, err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // device, directory, type, options (fstab(5))
		v2 := fields[2] == "cgroup2"
		if !v2 && !(fields[2] == "cgroup" && strings.Contains(fields[3]+",", ",memory,")) {
			continue
		}
		for line := range strings.Lines(string(own)) {
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(parts) != 3 || v2 != (parts[1] == "") || !v2 && !strings.Contains(","+parts[1]+",", ",memory,") {
				continue
			}
			for at := parts[2]; ; at = filepath.Dir(at) {
				if group, err = newMemoryCgroup(t, v2, filepath.Join(fields[1], at), limit); err == nil || at == "/" {
					break
				}
			}
			if err == nil {
				return group, nil
			}
		}
	}
	return group, fmt.Errorf("tried all that are mounted: %w", err)
}

func newMemoryCgroup(t *testing.T, v2 bool, parent string, limit int) (memoryCgroup, error) {
	group := memoryCgroup{"v1", filepath.Join(parent, fmt.Sprintf("c10m-test-%d", os.Getpid()))}
	file := "memory.limit_in_bytes"
	if v2 {
		group.version, file = "v2", "memory.max"
	}
	if err := os.Mkdir(group.dir, 0o755); err != nil {
		return group, err
	}
	// os.WriteFile would make a file that is not there.
	f, err := os.OpenFile(filepath.Join(group.dir, file), os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprint(f, limit)
		f.Close()
	}
	if err != nil {
		os.Remove(group.dir)
		return group, err
	}
	// Cleanups run in reverse: the server, which is started later, is gone then.
	t.Cleanup(func() {
		for end := patience.Deadline(); os.Remove(group.dir) != nil && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
	})
	return group, nil
}
