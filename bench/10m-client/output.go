package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"c10m/bench/load"
	"c10m/bench/report"
)

// An output is where a run's words go.
type output struct {
	// Fixed after construction.
	flags *commonFlags
	lines io.Writer // on the way: standard error if standard output is for JSON

	// Owned by the sampler, one call at a time.
	last    string
	printed map[string]bool

	pass bool // all criteria are met, or nobody asked
}

func newOutput(f *commonFlags) *output {
	o := &output{flags: f, lines: os.Stdout, printed: map[string]bool{}, pass: true}
	if f.JSON {
		o.lines = os.Stderr
	}
	return o
}

// progress prints a line a second while something changes.
func (o *output) progress(sample *report.Sample, s *load.Snapshot) {
	line := fmt.Sprintf("connected %d of %d (%+.0f/s), under way %d, failed %s, messages %d (%.0f/s)",
		s.Open, s.Wanted, sample.Connects, s.UnderWay, failures(s.Failures), s.Messages(), sample.Deliveries)
	changed := line != o.last
	if changed {
		fmt.Fprintf(o.lines, "%6.1fs  %-10s %s\n", sample.Seconds, sample.Phase, line)
	}
	o.last = line
	for _, m := range s.Printed {
		id := fmt.Sprint(m.Binary, m.Bytes, m.Head)
		// Once, when all connections that are open got it or nothing more
		// seems to come.
		if o.printed[id] || changed && m.Connections < uint64(s.Open) {
			continue
		}
		o.printed[id] = true
		fmt.Fprintf(o.lines, "message %s reached %d of %d connections\n", show(m), m.Connections, s.Wanted)
	}
}

func show(m load.Printed) string {
	text := fmt.Sprintf("%q", m.Head)
	if m.Bytes > uint64(len(m.Head)) {
		text += fmt.Sprintf("... (%d bytes)", m.Bytes)
	}
	if m.Binary {
		text += " (binary)"
	}
	return text
}

// failures lists tries that failed, by kind.
func failures(kinds map[string]uint64) string {
	total, parts := uint64(0), []string(nil)
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		total += kinds[kind]
		parts = append(parts, fmt.Sprintf("%s %d", kind, kinds[kind]))
	}
	if total == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", total, strings.Join(parts, ", "))
}

// write judges a result and says it in every form that was asked for.
func (o *output) write(r *report.Result) error {
	if o.flags.JSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	text(os.Stdout, r)
	return nil
}

func text(out io.Writer, r *report.Result) {
	c := &r.Connections
	fmt.Fprintf(out, "connections  %d of %d made in %.1f s, %.0f a second; %d still open; failed %s\n",
		c.Opened, c.Wanted, c.Seconds, c.PerSecond, c.Open, failures(c.Failures))
	line := func(name string, q report.Quantiles) {
		fmt.Fprintf(out, "%-12s p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f, mean %.3f ms\n",
			name, q.P50Millis, q.P90Millis, q.P99Millis, q.P999Millis, q.MaxMillis, q.MeanMillis)
	}
	line("connect", c.Latency)
	for _, s := range r.Streams {
		fmt.Fprintf(out, "%-12s published %d, expected %d, delivered %d, lost %d, duplicated %d, out of order %d, corrupt %d; %.0f deliveries a second\n",
			s.Name, s.Published, s.Expected, s.Delivered, s.Lost, s.Duplicated, s.OutOfOrder, s.Corrupt, s.PerSecond)
		line("latency", s.Latency)
	}
	if r.Storm != nil {
		fmt.Fprintf(out, "storm        %d dropped; the last was back after %.2f s and served after %.2f s\n",
			r.Storm.Dropped, r.Storm.RecoverySeconds, r.Storm.ServedSeconds)
	}
	if r.Churn != nil {
		fmt.Fprintf(out, "churn        %d left, %d came back\n", r.Churn.Disconnected, r.Churn.Reconnected)
	}
	if r.Fault != "" {
		fmt.Fprintf(out, "wrong        %s\n", r.Fault)
	}
}
