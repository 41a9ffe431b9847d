package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"c10m/bus"
	"c10m/internal/patience"

	"go.uber.org/zap"
)

func TestHealth(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	up := bus.Health{Up: true, Since: since, Gaps: 2, GapFrom: since.Add(-time.Minute), GapTo: since}
	down := bus.Health{Since: since, Reason: "Redis at 10.0.0.1:6379 does not answer"}
	lossy := down
	lossy.GapFrom = since.Add(-5 * time.Second)
	healed := down // an earlier gap is over
	healed.Gaps, healed.GapFrom, healed.GapTo = up.Gaps, up.GapFrom, up.GapTo
	const downText = "the bus is down since 2026-01-02T03:04:05Z: Redis at 10.0.0.1:6379 does not answer\n"
	const lossyText = downText + "messages published since 2026-01-02T03:04:00Z may be lost\n"
	const drainText = "draining: the server closes its connections and will exit\n"

	sources, fake := newSources(1)
	var draining atomic.Bool
	sources.Draining = draining.Load
	s := start(t, sources)
	for _, c := range []struct {
		name           string
		health         bus.Health
		draining       bool
		healthz        string
		readyz         string
		healthy, ready bool
	}{
		{"up", up, false, "ok\n", "ok\n", true, true},
		{"down", down, false, downText, downText, false, false},
		{"down, with a gap", lossy, false, lossyText, lossyText, false, false},
		{"down, after a gap", healed, false, downText, downText, false, false},
		{"up again", up, false, "ok\n", "ok\n", true, true},
		{"draining", up, true, "ok\n", drainText, true, false},
		{"draining and down", down, true, downText, drainText, false, false},
		{"down without a reason", bus.Health{Since: since}, false,
			"the bus is down since 2026-01-02T03:04:05Z: no reason is known\n",
			"the bus is down since 2026-01-02T03:04:05Z: no reason is known\n", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake.setHealth(c.health)
			draining.Store(c.draining)
			for _, page := range []struct {
				path, text string
				green      bool
			}{{"/healthz", c.healthz, c.healthy}, {"/readyz", c.readyz, c.ready}} {
				status := http.StatusServiceUnavailable
				if page.green {
					status = http.StatusOK
				}
				response, body := ask(t, s, "GET", page.path)
				if response.StatusCode != status || body != page.text {
					t.Errorf("%s: %d %q, want %d %q", page.path, response.StatusCode, body, status, page.text)
				}
				if cache := response.Header.Get("Cache-Control"); cache != "no-store" {
					t.Errorf("%s may be cached: %q", page.path, cache)
				}
				response, body = ask(t, s, "HEAD", page.path)
				if response.StatusCode != status || body != "" {
					t.Errorf("HEAD %s: %d %q, want %d and nothing", page.path, response.StatusCode, body, status)
				}
			}
		})
	}
}

// TestMemoryShort: a server that refuses newcomers is healthy and not ready.
func TestMemoryShort(t *testing.T) {
	sources, _ := newSources(1)
	sources.Memory = fakeMemory{"memory is short: 2 of 3 bytes are used", 2, 3}
	s := start(t, sources)
	if response, body := ask(t, s, "GET", "/readyz"); response.StatusCode != http.StatusServiceUnavailable || body != "memory is short: 2 of 3 bytes are used\n" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	if response, body := ask(t, s, "GET", "/healthz"); response.StatusCode != http.StatusOK {
		t.Errorf("/healthz: %d %q", response.StatusCode, body)
	}
	families := gather(t, sources)
	for name, want := range map[string]float64{"c10m_memory_used_bytes": 2, "c10m_memory_limit_bytes": 3, "c10m_memory_short": 1} {
		if v := series(t, families, name, "").Gauge.GetValue(); v != want {
			t.Errorf("%s is %g", name, v)
		}
	}
	sources.Memory = fakeMemory{used: 1, limit: 3}
	if response, body := ask(t, start(t, sources), "GET", "/readyz"); response.StatusCode != http.StatusOK {
		t.Errorf("with memory enough: %d %q", response.StatusCode, body)
	}
	if v := series(t, gather(t, sources), "c10m_memory_short", "").Gauge.GetValue(); v != 0 {
		t.Errorf("with memory enough c10m_memory_short is %g", v)
	}
}

// TestIndex: the list names pages that answer, and the version.
func TestIndex(t *testing.T) {
	sources, _ := newSources(1)
	s := start(t, sources)
	response, index := ask(t, s, "GET", "/")
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(index, "10m-server v1.2.3\n") {
		t.Errorf("%d %q", response.StatusCode, index)
	}
	listed := 0
	for line := range strings.Lines(index) {
		if !strings.HasPrefix(line, "/") {
			continue
		}
		listed++
		if response, body := ask(t, s, "GET", strings.Fields(line)[0]); response.StatusCode != http.StatusOK || body == "" {
			t.Errorf("%s answers %d %q", line, response.StatusCode, body)
		}
	}
	if listed != 7 {
		t.Errorf("%d pages are listed, want 7:\n%s", listed, index)
	}
	if response, _ := ask(t, s, "GET", "/nothing"); response.StatusCode != http.StatusNotFound {
		t.Errorf("a page that does not exist answers %d", response.StatusCode)
	}
}

func TestMetricsPage(t *testing.T) {
	sources, _ := newSources(2)
	sources.Loops[0].Poller.Connections.Store(40)
	sources.Loops[1].Poller.Connections.Store(2)
	response, body := ask(t, start(t, sources), "GET", "/metrics")
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%d %q", response.StatusCode, body)
	}
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("the content type is %q", kind)
	}
	wanted := []string{
		"\nc10m_connections 42\n",
		"\nc10m_build_info{version=\"v1.2.3\"} 1\n",
		"\nc10m_bus_up 1\n",
		"\nc10m_closes_total{reason=\"slow_log_age\"} 0\n",
		"\nc10m_loop_turn_seconds_bucket{le=\"+Inf\"} 0\n",
		"\ngo_goroutines ",
	}
	if kernelCountsDescriptors() {
		wanted = append(wanted, "\nprocess_resident_memory_bytes ", "\nprocess_open_fds ")
	}
	for _, line := range wanted {
		if !strings.Contains(body, line) {
			t.Errorf("there is no %q in the scrape", line)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	sources, _ := newSources(1)
	s := start(t, sources)
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/symbol", "/nothing"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
			response, _ := ask(t, s, method, path)
			if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, response.StatusCode, response.Header.Get("Allow"))
			}
		}
	}
}

func TestProfiles(t *testing.T) {
	sources, _ := newSources(1)
	s := start(t, sources)
	for _, c := range []struct {
		path   string
		status int
		text   string // somewhere in the answer
	}{
		{"/debug/pprof/", 200, "goroutine"},
		{"/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total"},
		{"/debug/pprof/heap", 200, "\x1f\x8b"}, // gzip
		{"/debug/pprof/symbol", 200, "num_symbols"},
		{"/debug/pprof/nothing", 404, "Unknown profile"},
		{"/debug/pprof/profile?seconds=301", 400, "at most 300 seconds"},
		{"/debug/pprof/trace?seconds=1e9", 400, "at most 300 seconds"},
		{"/debug/pprof/trace?seconds=NaN", 400, "at most 300 seconds"},
		{"/debug/pprof/heap?seconds=100000", 400, "at most 300 seconds"},
		{"/debug/pprof/heap?seconds=-1", 400, "positive"},
	} {
		if response, body := ask(t, s, "GET", c.path); response.StatusCode != c.status || !strings.Contains(body, c.text) {
			t.Errorf("%s: %d, want %d and %q in %.200q", c.path, response.StatusCode, c.status, c.text, body)
		}
	}
	if _, body := ask(t, s, "GET", "/debug/pprof/cmdline"); body != os.Args[0] {
		t.Errorf("cmdline is %q: arguments may hold a password", body)
	}
}

// TestCloseEndsProfiles: a profile of minutes does not keep the server.
func TestCloseEndsProfiles(t *testing.T) {
	sources, _ := newSources(1)
	s := start(t, sources)
	ended := make(chan int, 1)
	go func() {
		response, err := client.Get("http://" + s.Addr() + "/debug/pprof/profile?seconds=300")
		if err != nil {
			ended <- 0
			return
		}
		defer response.Body.Close()
		profile, _ := io.ReadAll(response.Body)
		ended <- len(profile)
	}()
	awaitStack(t, s, "net/http/pprof.Profile")
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if bytes := <-ended; bytes == 0 {
		t.Error("the profile is empty")
	}
}

// TestClose: the port is free again, a second call does nothing, and a context
// that is done already is obeyed.
func TestClose(t *testing.T) {
	sources, fake := newSources(1)
	s := start(t, sources)
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	again, err := Listen(Config{Addr: s.Addr()}, sources, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("the second call: %v", err)
	}
	if response, _ := ask(t, again, "GET", "/healthz"); response.StatusCode != http.StatusOK {
		t.Errorf("the second server answers %d", response.StatusCode)
	}

	// A page that takes forever.
	fake.mu.Lock()
	defer fake.mu.Unlock()
	c := dial(t, again)
	fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	awaitStack(t, again, "admin.(*Server).healthz")
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if err := again.Close(done); err != context.Canceled {
		t.Errorf("with a context that is done: %v", err)
	}
	_ = c.SetReadDeadline(patience.Deadline())
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection was not cut")
	}
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// await waits until what is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := patience.Deadline(); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no end of waiting for %s", what)
		}
	}
}

// awaitStack waits until a function runs in this process.
func awaitStack(t *testing.T, s *Server, function string) {
	t.Helper()
	await(t, function, func() bool {
		_, stacks := ask(t, s, "GET", "/debug/pprof/goroutine?debug=1")
		return strings.Contains(stacks, function)
	})
}

// TestLimitsAreSet: without them, a slow peer holds a goroutine forever.
func TestLimitsAreSet(t *testing.T) {
	sources, _ := newSources(1)
	s := start(t, sources)
	h := s.http
	if h.ReadHeaderTimeout <= 0 || h.ReadTimeout < h.ReadHeaderTimeout || h.WriteTimeout <= 0 || h.IdleTimeout <= 0 {
		t.Errorf("time-outs: %v %v %v %v", h.ReadHeaderTimeout, h.ReadTimeout, h.WriteTimeout, h.IdleTimeout)
	}
	request, err := http.NewRequest("GET", "http://"+s.Addr()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Long", strings.Repeat("x", 2*headerBytesMax))
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long header is answered with %d", response.StatusCode)
	}
}

// TestSourcesMustBeSet: main's mistakes show at the start.
func TestSourcesMustBeSet(t *testing.T) {
	for name, spoil := range map[string]func(*Sources){
		"bus":      func(s *Sources) { s.Bus = nil },
		"hub":      func(s *Sources) { s.Hub = nil },
		"keys":     func(s *Sources) { s.Repeats = nil },
		"channels": func(s *Sources) { s.Channels = nil }, "operator": func(s *Sources) { s.Operator = nil },
		"draining": func(s *Sources) { s.Draining = nil }, "pacer": func(s *Sources) { s.Pacer = nil },
		"addresses": func(s *Sources) { s.Addresses = nil }, "log": func(s *Sources) { s.LogSampled = nil },
		"loop": func(s *Sources) { s.Loops[0].Conn = nil },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if said, _ := recover().(string); !strings.HasPrefix(said, "BUG: ") {
					t.Errorf("panic says %q", said)
				}
			}()
			sources, _ := newSources(1)
			spoil(&sources)
			_, _ = Listen(Config{Addr: "127.0.0.1:0"}, sources, newLog(t))
		})
	}
}

// TestListenErrors: each is one sentence that names what to change.
func TestListenErrors(t *testing.T) {
	sources, _ := newSources(1)
	holder := start(t, sources)
	const noPassword = "without a password: set --admin-password, or keep to loopback"
	for _, c := range []struct{ addr, say string }{
		{holder.Addr(), "the port is taken"},
		{"0.0.0.0:0", noPassword},
		{":0", noPassword},
		{"[::]:0", noPassword},
		{"192.0.2.1:9100", noPassword},
		{"127.0.0.1", "no host:port"},
		{"", noPassword},
		{"127.0.0.1:none", "no host:port"},
	} {
		s, err := Listen(Config{Addr: c.addr}, sources, zap.NewNop())
		if err == nil {
			t.Errorf("%q was taken", c.addr)
			_ = s.Close(context.Background())
			continue
		}
		said := err.Error()
		if !strings.Contains(said, c.say) || !strings.Contains(said, "--admin") || strings.Contains(said, "\n") {
			t.Errorf("%q: %q does not say %q and --admin in one line", c.addr, said, c.say)
		}
	}
}
