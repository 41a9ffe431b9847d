package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"c10m/bench/load"
)

// A measurement is one side of a round.
type measurement struct {
	PerSecond   float64      `json:"deliveries_per_second"`
	Messages    int          `json:"messages"`
	Seconds     float64      `json:"seconds"`
	SenderCores float64      `json:"sender_cores"` // the bare sender, or the server
	ClientCores float64      `json:"client_cores"`
	OtherCores  float64      `json:"other_cores"` // interrupts, and whatever else the host did
	Latency     load.Latency `json:"latency"`
}

// A pair is one round.
type pair struct {
	Floor  measurement `json:"floor"`
	Server measurement `json:"server"`
	Ratio  float64     `json:"ratio"`
}

// A report is all rounds and their medians.
type report struct {
	Connections  int     `json:"connections"`
	PayloadBytes int     `json:"payload_bytes"`
	InFlight     int     `json:"in_flight"`
	ClientLoops  int     `json:"client_loops"`
	Cores        int     `json:"cores"`
	Rounds       []pair  `json:"rounds"`
	FloorMedian  float64 `json:"floor_median"`
	ServerMedian float64 `json:"server_median"`
	RatioMedian  float64 `json:"ratio_median"` // of the rounds' ratios
}

func (r *report) conclude() {
	r.FloorMedian = r.median(func(p pair) float64 { return p.Floor.PerSecond })
	r.ServerMedian = r.median(func(p pair) float64 { return p.Server.PerSecond })
	r.RatioMedian = r.median(func(p pair) float64 { return p.Ratio })
}

func (r *report) median(of func(pair) float64) float64 {
	var values []float64
	for _, p := range r.Rounds {
		values = append(values, of(p))
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

const lineFormat = "%-7s %-7s %12.0f %10.3f %10.3f %8.2f %8.2f %8.2f %s\n"

func (r *report) printRound(out io.Writer, round int) {
	if round == 0 {
		fmt.Fprintf(out, "%d connections, %d-byte payloads, %d under way, %d client loops, %d cores\n",
			r.Connections, r.PayloadBytes, r.InFlight, r.ClientLoops, r.Cores)
		fmt.Fprintf(out, "%-7s %-7s %12s %10s %10s %8s %8s %8s %s\n", "round", "side", "deliveries/s", "p50 ms", "p99 ms", "sender", "client", "others", "cores used by each; saturated")
	}
	p := r.Rounds[round]
	for _, side := range []struct {
		name string
		m    measurement
	}{{"floor", p.Floor}, {"server", p.Server}} {
		m := side.m
		fmt.Fprintf(out, lineFormat, fmt.Sprint(round+1), side.name, m.PerSecond,
			m.Latency.P50Millis, m.Latency.P99Millis, m.SenderCores, m.ClientCores, m.OtherCores,
			m.saturated(side.name == "floor", r.Cores))
	}
	fmt.Fprintf(out, "%-7d %-7s %12.3f\n", round+1, "ratio", p.Ratio)
}

// saturatedShare is from which share of a processor on it counts as used up;
// the rest is lost to scheduling and to the resolution of the clock.
const saturatedShare = 0.93

// saturated says who could not have gone faster.
func (m *measurement) saturated(oneThread bool, cores int) string {
	switch {
	case oneThread && m.SenderCores >= saturatedShare:
		return "the sender's thread"
	case m.SenderCores+m.ClientCores+m.OtherCores >= saturatedShare*float64(cores):
		return "the host"
	case oneThread:
		return "nobody: the sender waited for the last readers"
	}
	return "nobody: the server waited for the last readers"
}

func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "median  floor   %12.0f\nmedian  server  %12.0f\nmedian  ratio   %12.3f  (of the rounds' ratios)\n",
		r.FloorMedian, r.ServerMedian, r.RatioMedian)
}

func (r *report) json(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
