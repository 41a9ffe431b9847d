package main

import (
	"encoding/json"
	"fmt"
	"io"

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
	PerCore     float64      `json:"deliveries_per_sender_core_second"`
	Latency     load.Latency `json:"latency"`
}

// A pair is one round.
type pair struct {
	Floor  measurement `json:"floor"`
	Server measurement `json:"server"`
	Ratio  float64     `json:"ratio"`
	// Of a floor that batches, with more than one message under way.
	Batching      *measurement `json:"batching,omitempty"`
	BatchingRatio float64      `json:"batching_ratio,omitempty"`
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
	// PerCoreMedian is the median of the rounds' ratios of deliveries per
	// second of processor time: what one delivery costs, whatever else runs.
	PerCoreMedian float64 `json:"per_core_ratio_median"`
	// RatioWorst and PerCoreWorst are of the round that was worst for the server.
	RatioWorst   float64 `json:"ratio_worst"`
	PerCoreWorst float64 `json:"per_core_ratio_worst"`
	// The same beside the floor that batches.
	Batching *batchingReport `json:"batching,omitempty"`
}

type batchingReport struct {
	Median        float64 `json:"median"`
	RatioMedian   float64 `json:"ratio_median"`
	RatioWorst    float64 `json:"ratio_worst"`
	PerCoreMedian float64 `json:"per_core_ratio_median"`
	PerCoreWorst  float64 `json:"per_core_ratio_worst"`
}

// add takes what was measured of each side in a round.
func (r *report) add(m map[string]measurement) {
	p := pair{Floor: m[sideFloor], Server: m[sideServer]}
	p.Ratio = p.Server.PerSecond / p.Floor.PerSecond
	if batching, is := m[sideBatching]; is {
		p.Batching, p.BatchingRatio = &batching, p.Server.PerSecond/batching.PerSecond
	}
	r.Rounds = append(r.Rounds, p)
}

func perCore(server, floor measurement) float64 { return server.PerCore / max(floor.PerCore, 1) }

func (r *report) conclude() {
	r.FloorMedian = r.median(func(p pair) float64 { return p.Floor.PerSecond })
	r.ServerMedian = r.median(func(p pair) float64 { return p.Server.PerSecond })
	r.RatioMedian = r.median(func(p pair) float64 { return p.Ratio })
	r.RatioWorst = r.worst(func(p pair) float64 { return p.Ratio })
	ofFloor := func(p pair) float64 { return perCore(p.Server, p.Floor) }
	r.PerCoreMedian, r.PerCoreWorst = r.median(ofFloor), r.worst(ofFloor)
	if r.Rounds[0].Batching == nil {
		return
	}
	ofBatching := func(p pair) float64 { return perCore(p.Server, *p.Batching) }
	r.Batching = &batchingReport{
		Median:        r.median(func(p pair) float64 { return p.Batching.PerSecond }),
		RatioMedian:   r.median(func(p pair) float64 { return p.BatchingRatio }),
		RatioWorst:    r.worst(func(p pair) float64 { return p.BatchingRatio }),
		PerCoreMedian: r.median(ofBatching), PerCoreWorst: r.worst(ofBatching),
	}
}

func (r *report) median(of func(pair) float64) float64 { return medianOf(r.Rounds, of) }

// worst is the least, since a ratio is the server's figure by the floor's.
func (r *report) worst(of func(pair) float64) float64 {
	least := of(r.Rounds[0])
	for _, p := range r.Rounds {
		least = min(least, of(p))
	}
	return least
}

const (
	titleFormat = "%-7s %-7s %12s %9s %9s %10s %7s %7s %7s  %s\n"
	lineFormat  = "%-7d %-7s %12.0f %9.3f %9.3f %10.0f %7.2f %7.2f %7.2f  %s\n"
)

func (r *report) printRound(out io.Writer, round int) {
	if round == 0 {
		fmt.Fprintf(out, "%d connections, %d-byte payloads, %d under way, %d client loops, %d cores\n",
			r.Connections, r.PayloadBytes, r.InFlight, r.ClientLoops, r.Cores)
		fmt.Fprintf(out, titleFormat, "", "", "", "", "", "/s per", "cores", "cores", "cores", "")
		fmt.Fprintf(out, titleFormat, "round", "side", "deliveries/s", "p50 ms", "p99 ms", "core", "sender", "client", "others", "used up")
	}
	p := r.Rounds[round]
	for _, side := range []struct {
		name string
		m    *measurement
	}{{sideFloor, &p.Floor}, {sideBatching, p.Batching}, {sideServer, &p.Server}} {
		m := side.m
		if m == nil {
			continue
		}
		fmt.Fprintf(out, lineFormat, round+1, side.name, m.PerSecond,
			m.Latency.P50Millis, m.Latency.P99Millis, m.PerCore, m.SenderCores, m.ClientCores, m.OtherCores,
			m.saturated(side.name != sideServer, r.Cores))
	}
	fmt.Fprintf(out, "%-7d %-7s %12.3f\n", round+1, "ratio", p.Ratio)
	if p.Batching != nil {
		fmt.Fprintf(out, "%-7d %-7s %12.3f  (to the floor that batches)\n", round+1, "ratio", p.BatchingRatio)
	}
}

// saturatedShare is from which share of a processor on it counts as used up;
// the rest is lost to scheduling and to the resolution of the clock.
const saturatedShare = 0.93

// disturbedCores is from how much of other programs on a rate says more about
// them than about us: a tenth of the smallest host that is worth measuring on.
const disturbedCores = 0.2

// saturated says who could not have gone faster.
func (m *measurement) saturated(oneThread bool, cores int) string {
	switch {
	case m.OtherCores >= disturbedCores:
		return "the host, by others: not a good time to measure"
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
	fmt.Fprintf(out, "median  floor   %12.0f\nmedian  server  %12.0f\n", r.FloorMedian, r.ServerMedian)
	fmt.Fprintf(out, "median  ratio   %12.3f  worst %.3f  (of the rounds' ratios)\n", r.RatioMedian, r.RatioWorst)
	fmt.Fprintf(out, "median  ratio   %12.3f  worst %.3f  (the same per second of the sender's processor time)\n", r.PerCoreMedian, r.PerCoreWorst)
	if b := r.Batching; b != nil {
		fmt.Fprintf(out, "median  batches %12.0f\n", b.Median)
		fmt.Fprintf(out, "median  ratio   %12.3f  worst %.3f  (to the floor that batches)\n", b.RatioMedian, b.RatioWorst)
		fmt.Fprintf(out, "median  ratio   %12.3f  worst %.3f  (the same per second of the sender's processor time)\n", b.PerCoreMedian, b.PerCoreWorst)
	}
}

// printJSON writes everything that was measured.
func printJSON(out io.Writer, all any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}
