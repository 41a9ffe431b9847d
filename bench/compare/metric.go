package main

import (
	"math"

	"c10m/bench/report"
)

// A metric is a column of the table, and a plot.
type metric struct {
	title    string // of the column
	plot     string // of the plot; empty: none
	unit     string // of the plot's bars
	file     string // of the plot
	scenario string
	lower    bool                             // is better
	value    func(o *outcome) (float64, bool) // false: not known
	text     func(v float64) string
}

// metrics are the columns in their order: what a connection costs, how fast
// they come, what they cost at rest, and what a message takes.
var metrics = []metric{
	{"memory per connection", "server memory per connection", "bytes", "memory", "connect", true,
		func(o *outcome) (float64, bool) { return o.MemoryPerConn, true }, wholeBytes},
	{"whole host per connection", "", "", "", "connect", true,
		hostPerConn, wholeBytes},
	{"connects a second", "connects a second", "", "connects", "connect", false,
		func(o *outcome) (float64, bool) { return o.Result.Connections.PerSecond, true }, report.Number},
	{"idle, % of a core", "idle, percent of a core", "%", "idle", "connect", true,
		func(o *outcome) (float64, bool) { return 100 * o.ServerCores, true }, report.Number},
	{"latency p50, ms", "", "", "", "fanout", true,
		quantile("fanout", func(q *report.Quantiles) float64 { return q.P50Millis }), report.Number},
	{"latency p99, ms", "one message a second to all: latency p99", "ms", "latency", "fanout", true,
		quantile("fanout", func(q *report.Quantiles) float64 { return q.P99Millis }), report.Number},
	{"deliveries a second, 1 under way", "deliveries a second, one message under way", "", "peak-1", "saturate-1", false,
		perSecond, report.Number},
	{"deliveries a second, 8 under way", "deliveries a second, eight messages under way", "", "peak-8", "saturate-8", false,
		perSecond, report.Number},
	{"for each core of the server, 1 under way", "", "", "", "saturate-1", false,
		perSecondAndCore, report.Number},
	{"for each core of the server, 8 under way", "", "", "", "saturate-8", false,
		perSecondAndCore, report.Number},
	{"small messages during sweeps, p99, ms", "a message to one, during sweeps over all: latency p99", "ms", "small", "mixed", true,
		quantile("unicast", func(q *report.Quantiles) float64 { return q.P99Millis }), report.Number},
}

// hostPerConn is not known if somebody else on the host gave back more than
// the connections took.
func hostPerConn(o *outcome) (float64, bool) {
	v := o.Result.Usage.HostPerConn
	return v, v > 0
}

// stream finds a kind of messages in a result.
func stream(r *report.Result, name string) *report.Stream {
	for i := range r.Streams {
		if r.Streams[i].Name == name {
			return &r.Streams[i]
		}
	}
	return nil
}

// quantile is a column of a stream's latency. A stream in which nothing
// arrived has none, rather than one of 0.
func quantile(name string, of func(*report.Quantiles) float64) func(*outcome) (float64, bool) {
	return func(o *outcome) (float64, bool) {
		s := stream(o.Result, name)
		if s == nil || s.Latency.Count == 0 {
			return 0, false
		}
		return of(&s.Latency), true
	}
}

// perSecond is a column of the deliveries to everybody.
func perSecond(o *outcome) (float64, bool) {
	s := stream(o.Result, "fanout")
	if s == nil {
		return 0, false
	}
	return s.PerSecond, s.PerSecond > 0
}

// perSecondAndCore is perSecond by the cores that all processes of the server used.
func perSecondAndCore(o *outcome) (float64, bool) {
	rate, known := perSecond(o)
	if !known || o.ServerCores <= 0 {
		return 0, false
	}
	return rate / o.ServerCores, true
}

func wholeBytes(v float64) string { return report.Count(int(math.Round(v))) + " B" }
