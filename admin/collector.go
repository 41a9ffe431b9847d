package admin

import (
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/poller"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
)

// A number is a field of a room's Stats, and what it is called.
type number struct{ name, field, help string }

// A metric is a number that is read from Stats at each scrape.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	index []int // of the field, as reflect has it
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("c10m_"+name, help, labels, nil)
}

// metricsOf finds the fields in S. Their types follow the rule of the Stats: what only
// rises is unsigned.
func metricsOf[S any](numbers []number) (metrics []metric) {
	for _, n := range numbers {
		m, t := metric{desc: newDesc(n.name, n.help), kind: prometheus.GaugeValue}, reflect.TypeFor[S]()
		for name := range strings.SplitSeq(n.field, ".") {
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			field, isThere := t.FieldByName(name)
			if !isThere {
				panic("BUG: c10m_" + n.name + " is a field that is not there: " + n.field)
			}
			m.index, t = append(m.index, field.Index...), field.Type
		}
		if t == reflect.TypeFor[uint64]() || t == reflect.TypeFor[atomic.Uint64]() {
			m.kind = prometheus.CounterValue
		}
		metrics = append(metrics, m)
	}
	return metrics
}

// read returns the number that the field of some Stats has now.
func (m *metric) read(stats any) float64 {
	switch field := reflect.ValueOf(stats).Elem().FieldByIndex(m.index).Addr().Interface().(type) {
	case *atomic.Uint64:
		return float64(field.Load())
	case *atomic.Int64:
		return float64(field.Load())
	case *uint64:
		return float64(*field)
	case *int64:
		return float64(*field)
	case *float64:
		return *field
	}
	panic("BUG: " + m.desc.String() + " is a field of an unknown type")
}

func newRegistry(sources Sources, log *zap.Logger) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	stops := collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: pauses})
	registry.MustRegister(&collector{sources}, collectors.NewGoCollector(stops))
	if kernelCountsDescriptors() {
		registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	} else {
		log.Info("no process metrics: this kernel is older than Linux 6.2 and would list every descriptor at each scrape")
	}
	return registry
}

// newCounters registers a counter for each value of a label, from the start at zero.
func newCounters(registry prometheus.Registerer, name, help, label string, values ...string) *prometheus.CounterVec {
	counters := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c10m_" + name, Help: help}, []string{label})
	for _, value := range values {
		counters.WithLabelValues(value)
	}
	registry.MustRegister(counters)
	return counters
}

// newGauge registers a number that is read at each scrape.
func newGauge(registry prometheus.Registerer, name, help string, read func() float64) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "c10m_" + name, Help: help}, read))
}

// kernelCountsDescriptors reports whether stat(2) of /proc/PID/fd says how many
// there are (Linux 6.2). The library reads the directory otherwise: ten million
// names for one gauge.
func kernelCountsDescriptors() bool {
	info, err := os.Stat("/proc/self/fd")
	return err == nil && info.Size() > 0
}

// A collector reads all counters at each scrape and keeps nothing in between.
type collector struct{ sources Sources }

// Describe implements prometheus.Collector: everything is there from the start.
func (c *collector) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, descs) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	out := output(metrics)
	out.value(buildInfo, prometheus.GaugeValue, 1, c.sources.Version)
	out.value(logSampled, prometheus.CounterValue, float64(c.sources.LogSampled()))
	c.collectLoops(out)
	out.numbers(hubMetrics, c.sources.Hub)
	out.value(messagesRefusedTotal, prometheus.CounterValue, float64(c.sources.Hub.TooBig.Load()), "too_big")
	c.collectBus(out)
	c.collectMemory(out)
	repeats := c.sources.Repeats.Stats()
	out.numbers(repeatMetrics, &repeats)
	out.numbers(paceMetrics, c.sources.Pacer)
	collectStops(out)
}

func (c *collector) collectLoops(out output) {
	loops := c.sources.Loops
	out.value(loopCount, prometheus.GaugeValue, float64(len(loops)))
	out.value(clientAddresses, prometheus.GaugeValue, float64(c.sources.Addresses()))
	for _, m := range loopMetrics {
		sum := 0.0
		for i := range loops {
			sum += m.read(&loops[i])
		}
		out.value(m.desc, m.kind, sum)
	}
	for _, reason := range reasons.All() {
		closes := uint64(0)
		for _, loop := range loops {
			closes += loop.Conn.Closes[reason].Load()
		}
		out.value(closesTotal, prometheus.CounterValue, float64(closes), reason.String())
	}
	for cause := range (&channel.Stats{}).Overruns {
		overruns := uint64(0)
		for _, loop := range loops {
			overruns += loop.Channel.Overruns[cause].Load()
		}
		out.value(overrunsTotal, prometheus.CounterValue, float64(overruns), channel.Cause(cause).String())
	}
	c.collectExtremes(out)
	c.collectTimes(out)
}

// collectExtremes shows what a sum over the loops hides. A loop per series
// would be hundreds of series each.
func (c *collector) collectExtremes(out output) {
	var fewest, most, logBytes int64
	for i, loop := range c.sources.Loops {
		connections := loop.Poller.Connections.Load()
		if i == 0 {
			fewest = connections
		}
		fewest, most = min(fewest, connections), max(most, connections)
		logBytes = max(logBytes, loop.Channel.LogBytes.Load())
	}
	out.value(loopConnectionsMin, prometheus.GaugeValue, float64(fewest))
	out.value(loopConnectionsMax, prometheus.GaugeValue, float64(most))
	out.value(loopLogBytesMax, prometheus.GaugeValue, float64(logBytes))
}

func (c *collector) collectTimes(out output) {
	var turns, lag histogram
	for i, loop := range c.sources.Loops {
		ofTurns, ofLag := readHistogram(&loop.Poller.Turns), readHistogram(&loop.Channel.Lag)
		turns.merge(&ofTurns)
		lag.merge(&ofLag)
		out.value(loopBusySeconds, prometheus.CounterValue, ofTurns.sum, strconv.Itoa(i))
	}
	out.histogram(loopTurnSeconds, &turns)
	out.value(loopTurnP99Seconds, prometheus.GaugeValue, turns.quantile(0.99))
	out.histogram(deliveryLagSeconds, &lag)
}

func (c *collector) collectBus(out output) {
	health, stats := c.sources.Bus.Health(), c.sources.Bus.Stats()
	out.value(busUp, prometheus.GaugeValue, flag(health.Up))
	out.value(busChanged, prometheus.GaugeValue, float64(health.Since.UnixMilli())/1000)
	out.numbers(busMetrics, &stats)
	for desc, reasons := range map[*prometheus.Desc]map[string]uint64{
		busDroppedTotal: stats.Dropped, busUnpublishedTotal: stats.Unpublished, busPeersClosedTotal: stats.PeersClosed,
	} {
		for reason, n := range reasons {
			out.value(desc, prometheus.CounterValue, float64(n), reason)
		}
	}
}

func (c *collector) collectMemory(out output) {
	var used, limit int64
	isShort := false
	if memory := c.sources.Memory; memory != nil {
		used, limit = memory.Usage()
		isShort = memory.Reason() != ""
	}
	out.value(memoryUsedBytes, prometheus.GaugeValue, float64(used))
	out.value(memoryLimitBytes, prometheus.GaugeValue, float64(limit))
	out.value(memoryShort, prometheus.GaugeValue, flag(isShort))
}

func flag(isSet bool) float64 {
	if isSet {
		return 1
	}
	return 0
}

// A histogram is the sum of the loops' histograms.
type histogram struct {
	bounds []float64 // upper, in seconds
	counts []uint64
	sum    float64
}

func readHistogram(loop *poller.Histogram) (h histogram) {
	h.bounds, h.counts, h.sum = loop.Read()
	return h
}

func (h *histogram) merge(other *histogram) {
	if h.counts == nil {
		h.bounds, h.counts = other.bounds, make([]uint64, len(other.counts))
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.sum += other.sum
}

// cumulative returns what Prometheus wants: how many durations are up to each
// bound, and how many there are. The last bucket of a poller.Histogram takes
// whatever is longer, too, so its bound is left out: it is +Inf.
func (h *histogram) cumulative() (buckets map[float64]uint64, count uint64) {
	buckets = make(map[float64]uint64, len(h.bounds))
	for i, n := range h.counts {
		count += n
		if i < len(h.counts)-1 {
			buckets[h.bounds[i]] = count
		}
	}
	return buckets, count
}

// quantile returns the upper bound of the bucket in which the q-th part of all
// durations ends, in seconds: 0 if there are none, infinity if it is the last
// bucket, which takes whatever is longer, too.
func (h *histogram) quantile(q float64) (seconds float64) {
	var all, below uint64
	for _, n := range h.counts {
		all += n
	}
	for i, n := range h.counts {
		below += n
		if n == 0 || float64(below) < q*float64(all) {
			continue
		}
		if i == len(h.counts)-1 {
			return math.Inf(1)
		}
		return h.bounds[i]
	}
	return 0
}

// output sends metrics. What the library refuses, like a label that is not
// UTF-8, becomes an error in the scrape and in the log; Must would panic.
type output chan<- prometheus.Metric

func (o output) value(desc *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "?")
	}
	m, err := prometheus.NewConstMetric(desc, kind, v, labels...)
	o.send(desc, m, err)
}

func (o output) numbers(metrics []metric, stats any) {
	for _, m := range metrics {
		o.value(m.desc, m.kind, m.read(stats))
	}
}

func (o output) histogram(desc *prometheus.Desc, h *histogram) {
	buckets, count := h.cumulative()
	m, err := prometheus.NewConstHistogram(desc, count, h.sum, buckets)
	o.send(desc, m, err)
}

func (o output) send(desc *prometheus.Desc, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	o <- m
}
