package admin

import (
	"math"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"c10m/bus"
	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/poller"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
)

// A metric is a number that is read from S at each scrape.
type metric[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(S) float64
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("c10m_"+name, help, labels, nil)
}

// counter and gauge make metrics of the fields of loops and of the hub. Their
// types follow the rule of the Stats: what only rises is unsigned.
func counter[S any](name, help string, field func(S) *atomic.Uint64) metric[S] {
	return metric[S]{newDesc(name, help), prometheus.CounterValue, func(s S) float64 { return float64(field(s).Load()) }}
}

func gauge[S any](name, help string, field func(S) *atomic.Int64) metric[S] {
	return metric[S]{newDesc(name, help), prometheus.GaugeValue, func(s S) float64 { return float64(field(s).Load()) }}
}

// busCounter and busGauge do the same for the bus, which hands out a snapshot.
func busCounter(name, help string, field func(*bus.Stats) uint64) metric[*bus.Stats] {
	return metric[*bus.Stats]{newDesc(name, help), prometheus.CounterValue, func(s *bus.Stats) float64 { return float64(field(s)) }}
}

func busGauge(name, help string, field func(*bus.Stats) float64) metric[*bus.Stats] {
	return metric[*bus.Stats]{newDesc(name, help), prometheus.GaugeValue, field}
}

// newRegistry holds everything that /metrics shows.
func newRegistry(sources Sources, log *zap.Logger) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{sources}, newGoCollector())
	if kernelCountsDescriptors() {
		registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	} else {
		log.Info("no process metrics: this kernel is older than Linux 6.2 and would list every descriptor at each scrape")
	}
	return registry
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

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range loopMetrics {
		descs <- m.desc
	}
	for _, m := range hubMetrics {
		descs <- m.desc
	}
	for _, m := range busMetrics {
		descs <- m.desc
	}
	for _, desc := range otherDescs {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	out := output(metrics)
	out.value(buildInfo, prometheus.GaugeValue, 1, c.sources.Version)
	sampled := uint64(0)
	if c.sources.LogSampled != nil {
		sampled = c.sources.LogSampled()
	}
	out.value(logSampled, prometheus.CounterValue, float64(sampled))
	c.collectLoops(out)
	c.collectHub(out)
	c.collectBus(out)
	c.collectMemory(out)
	c.collectPace(out)
	collectStops(out)
}

func (c *collector) collectLoops(out output) {
	loops := c.sources.Loops
	out.value(loopCount, prometheus.GaugeValue, float64(len(loops)))
	addresses := int64(0)
	if c.sources.Addresses != nil {
		addresses = c.sources.Addresses()
	}
	out.value(clientAddresses, prometheus.GaugeValue, float64(addresses))
	for _, m := range loopMetrics {
		sum := 0.0
		for _, loop := range loops {
			sum += m.read(loop)
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
	var stats channel.Stats // for the number of causes
	for cause := range stats.Overruns {
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
		busy := turns.add(&loop.Poller.Turns)
		lag.add(&loop.Channel.Lag)
		out.value(loopBusySeconds, prometheus.CounterValue, busy, strconv.Itoa(i))
	}
	out.histogram(loopTurnSeconds, &turns)
	out.value(loopTurnP99Seconds, prometheus.GaugeValue, turns.quantile(0.99))
	out.histogram(deliveryLagSeconds, &lag)
}

func (c *collector) collectHub(out output) {
	for _, m := range hubMetrics {
		out.value(m.desc, m.kind, m.read(c.sources.Hub))
	}
	out.value(messagesRefusedTotal, prometheus.CounterValue, float64(c.sources.Hub.TooBig.Load()), "too_big")
}

func (c *collector) collectBus(out output) {
	health, stats := c.sources.Bus.Health(), c.sources.Bus.Stats()
	up := 0.0
	if health.Up {
		up = 1
	}
	out.value(busUp, prometheus.GaugeValue, up)
	out.value(busChanged, prometheus.GaugeValue, float64(health.Since.UnixMilli())/1000)
	for _, m := range busMetrics {
		out.value(m.desc, m.kind, m.read(&stats))
	}
	for reason, n := range stats.Dropped {
		out.value(busDroppedTotal, prometheus.CounterValue, float64(n), reason)
	}
	for reason, n := range stats.Unpublished {
		out.value(busUnpublishedTotal, prometheus.CounterValue, float64(n), reason)
	}
	for reason, n := range stats.PeersClosed {
		out.value(busPeersClosedTotal, prometheus.CounterValue, float64(n), reason)
	}
}

func (c *collector) collectMemory(out output) {
	var used, limit, short float64
	if memory := c.sources.Memory; memory != nil {
		u, l := memory.Usage()
		used, limit = float64(u), float64(l)
		if memory.Reason() != "" {
			short = 1
		}
	}
	out.value(memoryUsedBytes, prometheus.GaugeValue, used)
	out.value(memoryLimitBytes, prometheus.GaugeValue, limit)
	out.value(memoryShort, prometheus.GaugeValue, short)
}

func (c *collector) collectPace(out output) {
	var rate, window, underWay, cuts int64
	if p := c.sources.Pacer; p != nil {
		rate, window, underWay, cuts = p.Rate(), p.Window(), p.UnderWay(), p.Cuts()
	}
	out.value(sweepRate, prometheus.GaugeValue, float64(rate))
	out.value(sweepWindow, prometheus.GaugeValue, float64(window))
	out.value(sweepUnderWay, prometheus.GaugeValue, float64(underWay))
	out.value(sweepCuts, prometheus.CounterValue, float64(cuts))
}

// A histogram is the sum of the loops' histograms.
type histogram struct {
	bounds []float64 // upper, in seconds
	counts []uint64
	sum    float64
}

// add adds one loop's and returns the sum of its durations in seconds.
func (h *histogram) add(loop *poller.Histogram) (seconds float64) {
	bounds, counts, seconds := loop.Read()
	if h.counts == nil {
		h.bounds, h.counts = bounds, counts
	} else {
		for i, n := range counts {
			h.counts[i] += n
		}
	}
	h.sum += seconds
	return seconds
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
