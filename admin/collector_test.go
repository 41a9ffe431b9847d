package admin

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/bus"
	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/poller"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
)

// gather scrapes the collector alone, checked for agreement with Describe.
func gather(t *testing.T, sources Sources) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&collector{sources})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// values are all numbers of a scrape by type; of histograms, the sums.
func values(families []*dto.MetricFamily) map[dto.MetricType][]float64 {
	all := make(map[dto.MetricType][]float64)
	for _, family := range families {
		for _, m := range family.Metric {
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			all[family.GetType()] = append(all[family.GetType()], v)
		}
	}
	return all
}

// series returns one number of a scrape; label is its value, if it has one.
func series(t *testing.T, families []*dto.MetricFamily, name, label string) *dto.Metric {
	t.Helper()
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() == name && (len(m.Label) == 0 && label == "" || len(m.Label) == 1 && m.Label[0].GetValue() == label) {
				return m
			}
		}
	}
	t.Fatalf("there is no %s %s in the scrape", name, label)
	return nil
}

// notExported are the numbers that are not on the page, with the reasons.
var notExported = map[string]string{
	"conn.Stats.Closes[none]": "a connection never ends without a reason; conn tests that",
}

// A filler sets every number of a struct to one of its own and remembers what
// is to be seen of it.
type filler struct {
	next   float64
	expect map[string]expectation
}

type expectation struct {
	kind  dto.MetricType
	value float64
}

// number gives the next number to the field called name. A second loop's field
// has the same name: the sum of both is expected.
func (f *filler) number(name string, kind dto.MetricType) float64 {
	f.next += 1009
	e := f.expect[name]
	f.expect[name] = expectation{kind, e.value + f.next}
	return f.next
}

// fill sets all numbers in v, a struct that can be addressed. A field of a type
// that it does not know fails the test: teach it, and the collector.
func (f *filler) fill(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		name := v.Type().String() + "." + v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() {
			t.Fatalf("%s is hidden from the collector", name)
		}
		f.field(t, name, v.Field(i))
	}
}

func (f *filler) field(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch field := v.Addr().Interface().(type) {
	case *atomic.Uint64:
		field.Store(uint64(f.number(name, dto.MetricType_COUNTER)))
	case *atomic.Int64:
		field.Store(int64(f.number(name, dto.MetricType_GAUGE)))
	case *poller.Histogram:
		field.Observe(int64(f.number(name, dto.MetricType_HISTOGRAM)) * int64(time.Second))
	case *uint64:
		*field = uint64(f.number(name, dto.MetricType_COUNTER))
	case *int64:
		*field = int64(f.number(name, dto.MetricType_GAUGE))
	case *float64:
		*field = f.number(name, dto.MetricType_GAUGE)
	case *bus.PeerStats:
		f.fill(t, v)
	case *map[string]uint64:
		*field = map[string]uint64{"this": 0, "that": 0}
		for key := range *field {
			(*field)[key] = uint64(f.number(name+"["+key+"]", dto.MetricType_COUNTER))
		}
	default:
		if v.Kind() != reflect.Array {
			t.Fatalf("%s is a %s, which this test does not know", name, v.Type())
		}
		for i := range v.Len() {
			label := fmt.Sprint(i)
			if name == "conn.Stats.Closes" {
				label = reasons.Reason(i).String()
			}
			f.field(t, name+"["+label+"]", v.Index(i))
		}
	}
}

// TestEveryCounterIsExported fails for a counter that somebody added to a room
// and forgot here: it sets every field of all Stats to a number of its own and
// looks for it in a scrape.
func TestEveryCounterIsExported(t *testing.T) {
	// Of two loops the sum is expected, so that a metric of one loop, like the
	// fullest one's, does not stand in for it.
	sources, fake := newSources(2)
	f := filler{next: 1e6, expect: make(map[string]expectation)}
	for _, loop := range sources.Loops {
		f.fill(t, reflect.ValueOf(loop.Poller).Elem())
		f.fill(t, reflect.ValueOf(loop.Conn).Elem())
		f.fill(t, reflect.ValueOf(loop.Channel).Elem())
		f.next += 1e6
	}
	f.next = 1e8 // beyond all sums of two loops
	f.fill(t, reflect.ValueOf(sources.Hub).Elem())
	f.fill(t, reflect.ValueOf(&fake.stats).Elem())

	found := values(gather(t, sources))
	taken := make(map[float64]string)
	for name, want := range f.expect {
		if other := taken[want.value]; other != "" {
			t.Errorf("this test gave %g to %s and to %s", want.value, name, other)
		}
		taken[want.value] = name
		exported := slices.ContainsFunc(found[want.kind], func(v float64) bool { return math.Abs(v-want.value) < 0.5 })
		if _, hidden := notExported[name]; exported == hidden {
			t.Errorf("%s is exported as a %v: %t, want %t", name, want.kind, exported, !hidden)
		}
	}
	for name := range notExported {
		if _, ok := f.expect[name]; !ok {
			t.Errorf("%s, which is not to be exported, does not exist", name)
		}
	}
}

// TestReasonsAreThereFromTheStart: a rate over a series that appears with its
// first event misses that event.
func TestReasonsAreThereFromTheStart(t *testing.T) {
	sources, _ := newSources(1)
	families := gather(t, sources)
	for _, reason := range reasons.All() {
		if v := series(t, families, "c10m_closes_total", reason.String()).Counter.GetValue(); v != 0 {
			t.Errorf("%v is %g before the first", reason, v)
		}
	}
	for cause := range sources.Loops[0].Channel.Overruns {
		series(t, families, "c10m_overruns_total", channel.Cause(cause).String())
	}
	series(t, families, "c10m_messages_refused_total", "too_big")
}

// TestLabelsNameTheirCounter: each reason has the number of that reason.
func TestLabelsNameTheirCounter(t *testing.T) {
	sources, fake := newSources(2)
	sources.Loops[1].Conn.Closes[reasons.ClientClosed].Store(3)
	sources.Loops[0].Channel.Overruns[channel.OverAge].Store(4)
	sources.Hub.TooBig.Store(5)
	fake.stats.Dropped = map[string]uint64{"refused": 6}
	fake.stats.PeersClosed = map[string]uint64{"lagged": 7}
	fake.stats.Unpublished = map[string]uint64{"unreached": 9}
	sources.Loops[1].Poller.Turns.Observe(int64(8 * time.Second))
	families := gather(t, sources)
	for _, want := range []struct {
		name, label string
		value       float64
	}{
		{"c10m_closes_total", "client_closed", 3},
		{"c10m_overruns_total", "log_age", 4},
		{"c10m_messages_refused_total", "too_big", 5},
		{"c10m_bus_dropped_total", "refused", 6},
		{"c10m_bus_peers_closed_total", "lagged", 7},
		{"c10m_bus_unpublished_total", "unreached", 9},
		{"c10m_loop_busy_seconds_total", "0", 0},
		{"c10m_loop_busy_seconds_total", "1", 8},
	} {
		if v := series(t, families, want.name, want.label).Counter.GetValue(); v != want.value {
			t.Errorf("%s of %s is %g, want %g", want.name, want.label, v, want.value)
		}
	}
	sources.LogSampled, sources.Addresses = func() uint64 { return 8 }, func() int64 { return 9 }
	if v := series(t, gather(t, sources), "c10m_log_lines_sampled_total", "").Counter.GetValue(); v != 8 {
		t.Errorf("the log leaves out %g lines", v)
	}
	if v := series(t, gather(t, sources), "c10m_client_addresses", "").Gauge.GetValue(); v != 9 {
		t.Errorf("%g addresses are counted", v)
	}
	if v := series(t, families, "c10m_build_info", "v1.2.3").Gauge.GetValue(); v != 1 {
		t.Errorf("build_info is %g", v)
	}
}

func TestExtremesOfLoops(t *testing.T) {
	sources, _ := newSources(3)
	for i, n := range []int64{10, 30, 20} {
		sources.Loops[i].Poller.Connections.Store(n)
		sources.Loops[i].Channel.LogBytes.Store(100 * n)
	}
	for _, c := range []struct {
		name  string
		loops int
		want  float64
	}{
		{"c10m_loops", 3, 3},
		{"c10m_connections", 3, 60},
		{"c10m_loop_connections_min", 3, 10},
		{"c10m_loop_connections_max", 3, 30},
		{"c10m_loop_log_bytes_max", 3, 3000},
		{"c10m_loop_connections_min", 0, 0},
	} {
		some := sources
		some.Loops = sources.Loops[:c.loops]
		if v := series(t, gather(t, some), c.name, "").Gauge.GetValue(); v != c.want {
			t.Errorf("%s of %d loops is %g, want %g", c.name, c.loops, v, c.want)
		}
	}
}

// TestHistogramIsCumulative compares the buckets with a count by hand.
func TestHistogramIsCumulative(t *testing.T) {
	durations := []time.Duration{
		500 * time.Nanosecond, 1500 * time.Nanosecond, 3 * time.Microsecond, 3 * time.Microsecond,
		700 * time.Microsecond, 5 * time.Millisecond, 20 * time.Second, time.Hour,
	}
	sources, _ := newSources(2)
	var sum float64
	for i, d := range durations {
		sources.Loops[i%2].Channel.Lag.Observe(int64(d))
		sum += d.Seconds()
	}
	h := series(t, gather(t, sources), "c10m_delivery_lag_seconds", "").Histogram
	if h.GetSampleCount() != uint64(len(durations)) || math.Abs(h.GetSampleSum()-sum) > 1e-6 {
		t.Errorf("the histogram has %d of %g s, want %d of %g s", h.GetSampleCount(), h.GetSampleSum(), len(durations), sum)
	}
	if len(h.Bucket) < 20 {
		t.Errorf("only %d buckets", len(h.Bucket))
	}
	for _, bucket := range h.Bucket {
		want := uint64(0)
		for _, d := range durations {
			if d.Seconds() <= bucket.GetUpperBound() {
				want++
			}
		}
		if bucket.GetCumulativeCount() != want {
			t.Errorf("%d durations up to %g s, want %d", bucket.GetCumulativeCount(), bucket.GetUpperBound(), want)
		}
	}
}

func TestBusHealthIsAMetric(t *testing.T) {
	sources, fake := newSources(1)
	for _, want := range []struct {
		up    bool
		value float64
	}{{true, 1}, {false, 0}} {
		fake.setHealth(bus.Health{Up: want.up, Since: time.UnixMilli(1_700_000_000_500)})
		families := gather(t, sources)
		if v := series(t, families, "c10m_bus_up", "").Gauge.GetValue(); v != want.value {
			t.Errorf("bus_up is %g for a bus that is up: %t", v, want.up)
		}
		if v := series(t, families, "c10m_bus_changed_timestamp_seconds", "").Gauge.GetValue(); v != 1_700_000_000.5 {
			t.Errorf("it changed at %f", v)
		}
	}
}

// TestNamesAndHelp holds the names to the conventions of Prometheus, and each
// help text to a sentence.
func TestNamesAndHelp(t *testing.T) {
	sources, fake := newSources(2)
	fake.stats.Dropped = map[string]uint64{"refused": 0}
	fake.stats.PeersClosed = map[string]uint64{"eof": 0}
	fake.stats.Unpublished = map[string]uint64{"unreached": 0}
	families := gather(t, sources)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "c10m_") {
			t.Errorf("%s does not begin with c10m_", family.GetName())
		}
		if help := family.GetHelp(); len(help) < 20 || !strings.HasSuffix(help, ".") {
			t.Errorf("%s is explained by %q, which is no sentence", family.GetName(), help)
		}
	}
}

// TestBadLabelsAreNoPanic: a version from a build script, or a reason from
// elsewhere, may hold any bytes.
func TestBadLabelsAreNoPanic(t *testing.T) {
	sources, _ := newSources(1)
	sources.Version = "v1\xff"
	series(t, gather(t, sources), "c10m_build_info", "v1?")
}

// TestScrapeWhileLoopsRun is for the race detector.
func TestScrapeWhileLoopsRun(t *testing.T) {
	sources, _ := newSources(4)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for _, loop := range sources.Loops {
		writers.Go(func() {
			for n := int64(0); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				loop.Poller.Turns.Observe(n)
				loop.Poller.Connections.Add(1)
				loop.Conn.Closes[reasons.ClientGone].Add(1)
				loop.Channel.Lag.Observe(n)
				sources.Hub.Messages.Add(1)
			}
		})
	}
	for range 20 {
		h := series(t, gather(t, sources), "c10m_loop_turn_seconds", "").Histogram
		if last := h.Bucket[len(h.Bucket)-1].GetCumulativeCount(); h.GetSampleCount() < last {
			t.Errorf("%d turns, and %d of them in buckets", h.GetSampleCount(), last)
		}
	}
	close(stop)
	writers.Wait()
}

// BenchmarkScrape is what a scrape costs a large server.
func BenchmarkScrape(b *testing.B) {
	sources, _ := newSources(300)
	registry := newRegistry(sources, zap.NewNop())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
