package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/servertest"
)

// A server that is killed can be started again at once on the same ports, and
// its clients return. They miss what was published meanwhile, in one run, and
// nothing before or after.
func TestCrash(t *testing.T) {
	clients := scale(3000, 15_000)
	port := servertest.FreePort(t)
	servertest.StartRedis(t, port)
	// By default clients that are back before the bus is are told that they may
	// have missed something, and come once more (see the tests of the bus).
	args := []string{"--bus", fmt.Sprintf("redis://127.0.0.1:%d", port), "--gap", "ignore"}
	server := servertest.StartServer(t, 20_000, args...)
	servertest.Eventually(t, "the server is ready", server.Ready)
	f := startMovers(t, server, clients)
	p := startNumbers(t, port, time.Duration(scale(100, 250))*time.Millisecond)
	servertest.Eventually(t, "messages flow", func() bool {
		return p.next.Load() > 10 && server.Metric("c10m_deliveries_total") >= float64(10*clients)
	})
	for _, file := range writtenFiles(t, server.PID()) {
		t.Errorf("the server has %s open for writing: a crash could leave it half-written", file)
	}
	before := int(p.next.Load())
	killed := time.Now()
	server.Signal(syscall.SIGKILL)
	server.Wait()
	server = server.StartAgain(t, 20_000, args...)
	servertest.Eventually(t, "all clients are back", func() bool {
		return server.Metric("c10m_connections_open") == float64(clients) && f.report(0, -1).Connected == clients
	})
	recovery := time.Since(killed)
	back := int(p.next.Load())
	servertest.Eventually(t, "messages flow again", func() bool { return int(p.next.Load()) > back+3 })
	last := p.end()
	r := f.await(0, last)
	t.Logf("%d messages, %d were published before the kill and %d when all were back: %+v", last+1, before, back, r)
	if r.Ends != clients || r.Disorder != 0 || r.Holes != 0 {
		t.Errorf("of %d clients %d saw the end; %d messages out of order, %d clients missed more than one run", clients, r.Ends, r.Disorder, r.Holes)
	}
	if after := f.report(back+1, last); after.Missed+after.MissedLate != 0 {
		t.Errorf("%d messages missed after all were back", after.Missed)
	}
	for what := range r.Failed {
		if what != "dial: refused" && what != "dial: reset" && what != "dial: ended" {
			t.Errorf("a client could not return: %s", what)
		}
	}
	// The counters begin anew.
	if n := server.Metric("c10m_handshakes_total"); n != float64(clients) {
		t.Errorf("%v handshakes are counted, and %d clients came back", n, clients)
	}
	if n := server.Metric("c10m_messages_in_total"); n > float64(last+1-before+1) {
		t.Errorf("%v messages are counted, and %d came since the kill", n, last+1-before)
	}
	held(t, outcome{fault: fmt.Sprintf("kill -9, and started again; %d messages meanwhile", back-before), clients: clients,
		lost: r.Missed + r.MissedLate, recover: recovery,
		held: "same ports at once, all return by themselves; one run of messages missed, no file to repair"})
}

// writtenFiles are the files of a process that are on a disk and not only read.
func writtenFiles(t *testing.T, pid int) (paths []string) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) < 3 {
		t.Fatalf("%d descriptors, %v", len(links), err)
	}
	for _, link := range links {
		path, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/dev/") {
			continue // sockets, pipes and epolls have no path
		}
		info, err := os.ReadFile(strings.Replace(link, "/fd/", "/fdinfo/", 1))
		if err != nil {
			continue
		}
		_, flags, _ := strings.Cut(string(info), "flags:\t")
		flags, _, _ = strings.Cut(flags, "\n")
		mode, err := strconv.ParseUint(flags, 8, 64)
		if err != nil {
			t.Fatalf("flags %q of %s: %v", flags, path, err)
		}
		if mode&syscall.O_ACCMODE != syscall.O_RDONLY {
			paths = append(paths, path)
		}
	}
	return paths
}
