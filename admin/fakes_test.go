package admin

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"c10m/bus"
	"c10m/channel"
	"c10m/conn"
	"c10m/poller"
	"c10m/tuning"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// fakeBus says what a test told it to say.
type fakeBus struct {
	mu     sync.Mutex
	health bus.Health
	stats  bus.Stats
}

func (b *fakeBus) Health() bus.Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.health
}

func (b *fakeBus) setHealth(health bus.Health) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.health = health
}

func (b *fakeBus) Stats() bus.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}

func (b *fakeBus) PublishBatch(context.Context, []*bus.Publication) {}

func (b *fakeBus) Close(context.Context) error { return nil }

// fakeMemory is a reason, if memory is short, and two numbers of bytes.
type fakeMemory struct {
	reason      string
	used, limit int64
}

func (m fakeMemory) Reason() string             { return m.reason }
func (m fakeMemory) Usage() (used, limit int64) { return m.used, m.limit }

func newLoop() Loop {
	return Loop{Poller: &poller.Stats{}, Conn: &conn.Stats{}, Channel: &channel.Stats{}}
}

// newSources are those of a healthy server with a number of loops.
func newSources(loops int) (Sources, *fakeBus) {
	fake := &fakeBus{health: bus.Health{Up: true}}
	sources := Sources{
		Hub: &channel.HubStats{}, Bus: fake, Repeats: bus.NewRepeats(fake, fakeChannels{}, 0), Channels: fakeChannels{},
		Operator: &fakeOperator{}, Draining: func() bool { return false }, Pacer: &tuning.PacerStats{},
		Addresses: func() int64 { return 0 }, LogSampled: func() uint64 { return 0 }, Version: "v1.2.3",
	}
	for range loops {
		sources.Loops = append(sources.Loops, newLoop())
	}
	return sources, fake
}

// counted is the counter with that value of its label.
func counted(t testing.TB, counters *prometheus.CounterVec, value string) int {
	t.Helper()
	var m dto.Metric
	if err := counters.WithLabelValues(value).Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.Counter.GetValue())
}

// start serves on a free port until the test ends.
func start(t *testing.T, sources Sources) *Server {
	t.Helper()
	s, err := Listen(Config{Addr: "127.0.0.1:0"}, sources, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newLog(t testing.TB) *zap.Logger {
	return zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
}

// client keeps no connections, so that Close has none to wait for.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// answerOf makes a request, and returns the answer and its whole body.
func answerOf(t testing.TB, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// ask returns the answer of a page and its whole body.
func ask(t *testing.T, s *Server, method, path string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return answerOf(t, request)
}

// fakeChannels is the number of connections of each channel.
type fakeChannels map[string]int

func (f fakeChannels) Count(names []string) []int {
	counts := make([]int, len(names))
	for i, name := range names {
		counts[i] = f[name]
	}
	return counts
}

func (f fakeChannels) Channels(match func(string) bool, most int) (names []string) {
	for name := range f {
		if match(name) && len(names) < most {
			names = append(names, name)
		}
	}
	return names
}
