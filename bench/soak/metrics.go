package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// metrics are the lines of /metrics by their names, labels and all.
type metrics map[string]float64

// sum adds up a metric over its labels.
func (m metrics) sum(name string) (sum float64) {
	for line, value := range m {
		if line == name || strings.HasPrefix(line, name+"{") {
			sum += value
		}
	}
	return sum
}

// parseMetrics reads the text format of Prometheus, of which this server writes
// names, labels without escapes, and values.
func parseMetrics(r io.Reader) (metrics, error) {
	m := metrics{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("a line of /metrics is no metric: %q", line)
		}
		m[line[:at]] = value
	}
	return m, lines.Err()
}

// An admin asks the server's own pages, each time over a new connection, which
// leaves nothing behind at the server.
type admin struct {
	// Fixed after construction.
	address string
	client  http.Client
}

func newAdmin(address string) *admin {
	dialer := net.Dialer{LocalAddr: &aside}
	return &admin{address: address, client: http.Client{Timeout: hangGuard,
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}}
}

// get returns a page's status and text.
func (a *admin) get(ctx context.Context, path string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.address+path, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := a.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, scrapeBytesMax))
	return answer.StatusCode, string(text), err
}

// scrape reads /metrics.
func (a *admin) scrape(ctx context.Context) (metrics, error) {
	status, text, err := a.get(ctx, "/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/metrics answers %d", status)
	}
	if err != nil {
		return nil, err
	}
	return parseMetrics(strings.NewReader(text))
}

// heapObjects are the fewest objects that the server's heap has over some
// scrapes. They are what it keeps, with the garbage of one scrape: scrapes alone
// make the collector go round several times meanwhile. (/debug/pprof/heap?gc=1
// collects at once, but then leaves the garbage of its profile, which is larger
// the longer the server has run: 3,000 objects more after a minute.)
func (a *admin) heapObjects(ctx context.Context) (fewest float64, err error) {
	fewest = math.Inf(1)
	for range heapScrapes {
		m, err := a.scrape(ctx)
		if err != nil {
			return 0, err
		}
		if n, found := m[heapObjectsMetric]; found {
			fewest = min(fewest, n)
		}
	}
	return fewest, nil
}

// heapObjectsMetric are objects, collected or not; the fewest stand there in a
// state.
const heapObjectsMetric = "go_memstats_heap_objects"

// healthy reports whether /healthz is green.
func (a *admin) healthy(ctx context.Context) bool {
	status, _, err := a.get(ctx, "/healthz")
	return err == nil && status == http.StatusOK
}

// A state is what the server holds at a moment.
type state struct {
	metrics     metrics
	descriptors map[string]int // of its main table, by kind
}

// descriptorsOf counts what /proc/PID/fd has by kind (proc_pid_fd(5)): a
// socket, an event loop, or the path of a file.
func descriptorsOf(pid int) map[string]int {
	kinds := map[string]int{}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return kinds
	}
	for _, entry := range entries {
		link, err := os.Readlink(dir + "/" + entry.Name())
		if err != nil {
			continue // closed meanwhile
		}
		// A socket's or a pipe's number in brackets is its own; what an
		// anon_inode has there is its kind.
		if kind, _, numbered := strings.Cut(link, ":["); numbered && kind != "anon_inode" {
			link = kind
		}
		kinds[link]++
	}
	return kinds
}

// stateNow looks at the server.
func (r *soak) stateNow(ctx context.Context) (s state, err error) {
	s.descriptors = descriptorsOf(r.server.PID)
	s.metrics, err = r.admin.scrape(ctx)
	return s, err
}

// settle looks at the server until ok or hangGuard is over, which is for the
// checks to tell, and returns the last state.
func (r *soak) settle(ctx context.Context, ok func(*state) bool) (s state, err error) {
	for end := time.Now().Add(hangGuard); time.Now().Before(end); sleep(ctx, 4*pollPause) {
		if s, err = r.stateNow(ctx); err != nil || ok(&s) {
			return s, err
		}
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
	}
	return s, nil
}
