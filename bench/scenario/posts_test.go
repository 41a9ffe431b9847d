package scenario

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"c10m/bench/load"
)

// postsOptions are for a server that answers the n-th POST, from 1, with a status.
func postsOptions(t *testing.T, answer func(n uint64) int) (o Options, asked *[3]atomic.Uint64) {
	t.Helper()
	asked = new([3]atomic.Uint64)
	var all atomic.Uint64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, _ := io.ReadAll(r.Body)
		var number int
		if _, err := fmt.Sscanf(r.RequestURI, "/posts-%d", &number); err != nil || number >= len(asked) ||
			r.Method != http.MethodPost || string(payload) != "xxxxxxx" || r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("%s %s: %q, %v", r.Method, r.RequestURI, payload, r.Header)
			return
		}
		asked[number].Add(1)
		w.WriteHeader(answer(all.Add(1)))
		io.WriteString(w, `{"connections":0}`)
	}))
	t.Cleanup(server.Close)
	address := netip.MustParseAddrPort(server.Listener.Addr().String())
	return Options{Name: "posts", Bytes: 7, Depth: 4, Duration: 300 * time.Millisecond, Load: load.Config{Token: "t",
		Spread: load.Spread{Host: address.Addr(), FirstPort: int(address.Port()), PerPort: 50_000, Connections: len(asked)}}}, asked
}

// Each connection posts to a channel of its own, and what was answered while it counted
// is in the result.
func TestPosts(t *testing.T) {
	t.Parallel()
	o, asked := postsOptions(t, func(n uint64) int {
		if n%5 == 0 {
			return http.StatusTooManyRequests
		}
		return http.StatusOK
	})
	r, err := runScenario(t, o)
	if err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for i := range asked {
		if asked[i].Load() == 0 {
			t.Errorf("connection %d posted nothing", i)
		}
		total += asked[i].Load()
	}
	p := r.Posts
	if p.Published == 0 || p.Refused == 0 || p.Published+p.Refused != uint64(o.Depth)*p.Round.Count || p.Published+p.Refused >= total {
		t.Errorf("%d were asked for; %+v", total, p)
	}
	if seconds := float64(p.Published) / p.PerSecond; seconds < o.Duration.Seconds() {
		t.Errorf("a rate over %v s", seconds)
	}
	if c := r.Connections; c.Opened != len(asked) || c.Latency.Count != uint64(len(asked)) || r.Usage.HostCores <= 0 {
		t.Errorf("%+v, %+v", c, r.Usage)
	}
}

// An answer that no publisher gets ends the run, and so does a server that refuses all.
func TestPostsThatFail(t *testing.T) {
	t.Parallel()
	for want, status := range map[string]int{"status 403": http.StatusForbidden, "nothing was published": http.StatusTooManyRequests} {
		o, _ := postsOptions(t, func(uint64) int { return status })
		if _, err := runScenario(t, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestPostsOptions(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"--tun":       func(o *Options) { o.Load.UserSpace = new(load.UserSpace) },
		"--depth":     func(o *Options) { o.Depth = depthMax + 1 },
		"--size":      func(o *Options) { o.Bytes = load.PayloadBytesMax + 1 },
		"--duration":  func(o *Options) { o.Duration = 0 },
		"connections": func(o *Options) { o.Load.Spread.Connections = 0 },
	} {
		o, _ := postsOptions(t, func(uint64) int { return http.StatusOK })
		change(&o)
		if r, err := Run(t.Context(), o); r != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
