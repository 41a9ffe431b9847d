package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
	"c10m/bench/scenario"
)

// result is the evidence in the form in which package report tells it.
func (r *soak) result(e *evidence, started time.Time) *report.Result {
	result := &report.Result{Scenario: "soak", Command: os.Args, Commit: report.Commit(), Started: started, Seconds: time.Since(started).Seconds(),
		Host: scenario.Host(len(e.groups), false), Criteria: e.check(), Samples: e.samples, Soak: r.soakPart(e)}
	var all load.Snapshot
	for i := range e.groups {
		g := &e.groups[i]
		all.Merge(&g.seen)
		result.Streams = append(result.Streams, r.stream(e, g))
		if !g.steady {
			result.Churn = &report.Churn{Rate: r.settings.ChurnRate, Disconnected: uint64(g.seen.Left),
				Reconnected: uint64(g.seen.Returned), Latency: g.seen.Reconnects.Summary()}
		}
	}
	result.Host.Loops = all.Loops
	scenario.Connections(&result.Connections, &all)
	usage(&result.Usage, e.samples)
	return result
}

// stream is what was delivered to a group.
func (r *soak) stream(e *evidence, g *groupEvidence) report.Stream {
	s := report.Stream{Name: g.name, Listeners: g.seen.Wanted, Subscribers: g.seen.Wanted,
		Delivered: g.seen.Delivered(), Lost: g.lost(), Expected: g.seen.Delivered() + g.lost(),
		Duplicated: g.seen.Duplicated, OutOfOrder: g.seen.OutOfOrder, Corrupt: g.seen.Corrupt,
		Seconds: e.over.Seconds(), PerSecond: float64(g.seen.Delivered()) / e.over.Seconds(),
		Latency: g.seen.Latencies.Summary(), Corrected: true}
	set := &r.settings
	switch g.name {
	case groupOwn:
		s.Published, s.Rate, s.PayloadBytes, s.Subscribers = e.published.own, set.UnicastRate, set.UnicastBytes, 1
	case groupBulk:
		s.Published, s.Rate, s.PayloadBytes = e.published.bulk, set.BulkRate, set.BulkBytes
	default:
		s.Published, s.Rate, s.PayloadBytes = e.published.fanout, set.FanoutRate, set.FanoutBytes
	}
	return s
}

func (r *soak) soakPart(e *evidence) *report.Soak {
	lost, risk := e.lostMessages(), e.atRisk()
	s := &report.Soak{Seed: r.settings.Seed, Gaps: uint64(e.end.metrics["c10m_bus_gaps_total"]),
		Published: e.published.total(), Lost: lost.total(), AtRisk: risk.total(), Certain: e.nobody,
		SlowReaders: e.slowLives, Garbage: map[string]uint64{}}
	for _, reason := range []string{"slow_log_bytes", "slow_log_age", "slow_log_bytes_total", "write_deadline"} {
		s.SlowClosed += uint64(e.end.metrics[fmt.Sprintf("c10m_closes_total{reason=%q}", reason)])
	}
	for kind, n := range e.garbage {
		s.Garbage[kind] = n.Sent
	}
	for i := range e.faults {
		f := &e.faults[i]
		s.Faults = append(s.Faults, report.Fault{Name: f.name, AtSeconds: f.at.Seconds(), LastedSeconds: f.lasted.Seconds(),
			RecoverySeconds: f.recovered.Seconds(), Published: f.end.minus(f.begin).total()})
	}
	return s
}

// usage are means over all samples.
func usage(u *report.Usage, samples []report.Sample) {
	for i := range samples {
		s, n := &samples[i], float64(len(samples))
		u.ClientCores += s.ClientCores / n
		u.ServerCores += s.ServerCores / n
		u.HostCores += s.HostCores / n
		u.ClientCoresMax = max(u.ClientCoresMax, s.ClientCores)
		u.HostCoresMax = max(u.HostCoresMax, s.HostCores)
		u.ClientResident, u.ServerResident = s.ClientResident, s.ServerResident
	}
}

// passed reports whether all criteria are met.
func passed(r *report.Result) bool {
	for _, c := range r.Criteria {
		if !c.Pass {
			return false
		}
	}
	return len(r.Criteria) > 0
}

// write says the result to w, and in files beside one another: base.txt,
// base.json, base.html. An empty base writes none.
func write(w io.Writer, base string, r *report.Result) error {
	text := &bytes.Buffer{}
	report.Text(text, r)
	if _, err := w.Write(text.Bytes()); err != nil || base == "" {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return err
	}
	forms := map[string]func(io.Writer, *report.Result) error{".json": report.JSON, ".html": report.HTML,
		".txt": func(w io.Writer, _ *report.Result) error { _, err := w.Write(text.Bytes()); return err }}
	for ending, form := range forms {
		b := &bytes.Buffer{}
		if err := form(b, r); err != nil {
			return err
		}
		if err := os.WriteFile(base+ending, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
