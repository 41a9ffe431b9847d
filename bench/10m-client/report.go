package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"c10m/bench/load"
)

// A reporter turns snapshots into lines.
type reporter struct {
	// Fixed after construction.
	client  *load.Client
	started time.Time
	out     io.Writer // of the lines on the way

	// Owned by the main goroutine.
	last        load.Snapshot
	before      load.Snapshot // at the last line
	beforeAt    time.Time
	printed     map[string]bool
	connectedIn time.Duration // 0 until all connections are decided
	run         *load.Run     // of --publish
	receivers   int           // the bus's last answer
}

// newReporter sends the lines on the way to standard error if standard output
// is for JSON.
func newReporter(client *load.Client, quiet bool) *reporter {
	now := time.Now()
	r := &reporter{client: client, started: now, beforeAt: now, out: os.Stdout, printed: map[string]bool{}}
	if quiet {
		r.out = os.Stderr
	}
	return r
}

// line prints what changed since the last one, or nothing.
func (r *reporter) line() {
	s, b := &r.last, &r.before
	seconds := time.Since(r.beforeAt).Seconds()
	changed := s.Opened != b.Opened || s.Open != b.Open || s.Messages() != b.Messages() ||
		s.GaveUp != b.GaveUp || s.Retries != b.Retries || s.UnderWay != b.UnderWay
	if changed {
		fmt.Fprintf(r.out, "%6.1fs  connected %d of %d (%+.0f/s), under way %d, failed %s, messages %d (%.0f/s), loops %d%s\n",
			time.Since(r.started).Seconds(), s.Open, s.Wanted, float64(s.Opened-b.Opened)/seconds,
			s.UnderWay, failures(s), s.Messages(), float64(s.Messages()-b.Messages())/seconds,
			s.Loops, r.tables())
	}
	r.messages(!changed)
	r.before, r.beforeAt = *s, time.Now()
}

func (r *reporter) tables() string {
	if r.client.PrivateTables() {
		return " (private fd tables)"
	}
	return ""
}

// messages prints each distinct message once, when all connections that are
// open got it or nothing more seems to come.
func (r *reporter) messages(quiet bool) {
	for _, m := range r.last.Printed {
		id := fmt.Sprint(m.Binary, m.Bytes, m.Head)
		if r.printed[id] || !quiet && m.Connections < uint64(r.last.Open) {
			continue
		}
		r.printed[id] = true
		fmt.Fprintf(r.out, "message %s reached %d of %d connections\n", show(m), m.Connections, r.last.Wanted)
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
func failures(s *load.Snapshot) string {
	total, parts := uint64(0), []string(nil)
	for _, kind := range slices.Sorted(maps.Keys(s.Failures)) {
		total += s.Failures[kind]
		parts = append(parts, fmt.Sprintf("%s %d", kind, s.Failures[kind]))
	}
	if total == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", total, strings.Join(parts, ", "))
}

func (r *reporter) summary(out io.Writer) {
	s := &r.last
	fmt.Fprintf(out, "connections  %d of %d made", s.Opened, s.Wanted)
	if r.connectedIn > 0 {
		fmt.Fprintf(out, " in %.1f s, %.0f a second", r.connectedIn.Seconds(), float64(s.Opened)/r.connectedIn.Seconds())
	}
	fmt.Fprintf(out, "; %d still open; loops %d%s\n", s.Open, s.Loops, r.tables())
	fmt.Fprintf(out, "failed       %s; retries %d; given up %d\n", failures(s), s.Retries, s.GaveUp)
	if s.Problem != "" {
		fmt.Fprintf(out, "             for example: %s\n", s.Problem)
	}
	fmt.Fprintf(out, "messages     %d (%d text, %d binary, %d payload bytes); pings answered %d of %d\n",
		s.Messages(), s.Text, s.Binary, s.Bytes, s.Pongs, s.Pings)
	if s.Stamped > 0 {
		fmt.Fprintf(out, "stamped      %d; lost %d, duplicated %d, out of order %d, corrupt %d\n",
			s.Stamped, s.Lost, s.Duplicated, s.OutOfOrder, s.Corrupt)
		printLatency(out, s.Latency)
	}
	if r.run != nil {
		fmt.Fprintf(out, "published    %d messages, %d deliveries in %.2f s: %.0f deliveries a second; the bus counted %d receivers\n",
			r.run.Messages, r.run.Deliveries, r.run.Elapsed.Seconds(), r.run.PerSecond(), r.receivers)
	}
	if fault := s.Fault(); fault != "" {
		fmt.Fprintf(out, "wrong        %s\n", fault)
	}
}

func printLatency(out io.Writer, l load.Latency) {
	fmt.Fprintf(out, "latency      p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f ms\n",
		l.P50Millis, l.P90Millis, l.P99Millis, l.P999Millis, l.LongestMilli)
}

// json prints the summary as one object.
func (r *reporter) json(out io.Writer) {
	type published struct {
		*load.Run
		DeliveriesPerSecond float64 `json:"deliveries_per_second"`
		Receivers           int     `json:"receivers"`
	}
	object := struct {
		load.Snapshot
		ConnectSeconds float64    `json:"connect_seconds"`
		Published      *published `json:"published,omitempty"`
		Fault          string     `json:"fault"`
	}{Snapshot: r.last, ConnectSeconds: r.connectedIn.Seconds(), Fault: r.last.Fault()}
	if r.run != nil {
		object.Published = &published{r.run, r.run.PerSecond(), r.receivers}
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.Encode(object)
}
