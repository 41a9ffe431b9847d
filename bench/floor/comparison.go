package main

import (
	"fmt"
	"io"
	"slices"
)

// The kinds of a comparison.
const (
	connectsKind = "connects"
	stormKind    = "storm"
)

// An outcome is one side of a round of connects or storm.
type outcome struct {
	Seconds       float64 `json:"seconds"`
	PerSecond     float64 `json:"connects_per_second"`
	AcceptorCores float64 `json:"acceptor_cores"` // the bare acceptor, or the server
	ClientCores   float64 `json:"client_cores"`
	OtherCores    float64 `json:"other_cores"` // interrupts, and whatever else the host did
	ClientLoops   int     `json:"client_loops"`
	Retries       int     `json:"retries"`      // of the client
	ListenDrops   int64   `json:"listen_drops"` // by full accept queues, of the whole host

	// Of connects alone.
	HostBytesPerPair float64 `json:"host_bytes_per_pair,omitempty"` // both ends, kernel and processes
	SlabBytesPerPair float64 `json:"slab_bytes_per_pair,omitempty"` // the kernel's objects in it
	AcceptorResident uint64  `json:"acceptor_resident_bytes,omitempty"`
	ClientResident   uint64  `json:"client_resident_bytes,omitempty"`
}

// Ratios are the server's figure by the floor's.
type ratios struct {
	Rate   float64 `json:"rate"`
	Time   float64 `json:"time"`
	Memory float64 `json:"memory,omitempty"`
}

// ratiosOf compares a server with a floor of the same round.
func ratiosOf(server, floor outcome) ratios {
	r := ratios{Rate: server.PerSecond / floor.PerSecond, Time: server.Seconds / floor.Seconds}
	if floor.HostBytesPerPair > 0 {
		r.Memory = server.HostBytesPerPair / floor.HostBytesPerPair
	}
	return r
}

// A comparison is all rounds of connects or storm, and their medians.
type comparison struct {
	Kind          string               `json:"kind"`
	Connections   int                  `json:"connections"`
	Ports         int                  `json:"ports"`
	AcceptorLoops int                  `json:"acceptor_loops"`
	PrivateTables bool                 `json:"private_fd_tables"`
	Cores         int                  `json:"cores"`
	Rounds        []map[string]outcome `json:"rounds"`  // by side
	Medians       map[string]outcome   `json:"medians"` // field by field
	// Ratios are medians of the rounds' ratios of the server to each floor.
	Ratios map[string]ratios `json:"ratios"`

	json  bool
	sides []string
}

// addRound measures all sides once.
func (c *comparison) addRound(out io.Writer, measure func(side string) (outcome, error)) error {
	round := map[string]outcome{}
	c.Rounds = append(c.Rounds, round)
	for _, side := range c.sides {
		o, err := measure(side)
		if err != nil {
			return err
		}
		round[side] = o
		if !c.json {
			c.printSide(out, side, o)
		}
	}
	if !c.json {
		c.printRatios(out, fmt.Sprint(len(c.Rounds)), func(floor string) ratios { return ratiosOf(round[sideServer], round[floor]) })
	}
	return nil
}

// conclude takes the medians.
func (c *comparison) conclude() {
	c.Medians, c.Ratios = map[string]outcome{}, map[string]ratios{}
	for _, side := range c.sides {
		of := func(field func(o outcome) float64) float64 {
			return medianOf(c.Rounds, func(r map[string]outcome) float64 { return field(r[side]) })
		}
		c.Medians[side] = outcome{
			Seconds:          of(func(o outcome) float64 { return o.Seconds }),
			PerSecond:        of(func(o outcome) float64 { return o.PerSecond }),
			AcceptorCores:    of(func(o outcome) float64 { return o.AcceptorCores }),
			ClientCores:      of(func(o outcome) float64 { return o.ClientCores }),
			OtherCores:       of(func(o outcome) float64 { return o.OtherCores }),
			ClientLoops:      int(of(func(o outcome) float64 { return float64(o.ClientLoops) })),
			Retries:          int(of(func(o outcome) float64 { return float64(o.Retries) })),
			ListenDrops:      int64(of(func(o outcome) float64 { return float64(o.ListenDrops) })),
			HostBytesPerPair: of(func(o outcome) float64 { return o.HostBytesPerPair }),
			SlabBytesPerPair: of(func(o outcome) float64 { return o.SlabBytesPerPair }),
			AcceptorResident: uint64(of(func(o outcome) float64 { return float64(o.AcceptorResident) })),
			ClientResident:   uint64(of(func(o outcome) float64 { return float64(o.ClientResident) })),
		}
		if side == sideServer {
			continue
		}
		ratio := func(field func(r ratios) float64) float64 {
			return medianOf(c.Rounds, func(r map[string]outcome) float64 { return field(ratiosOf(r[sideServer], r[side])) })
		}
		c.Ratios[side] = ratios{
			Rate:   ratio(func(r ratios) float64 { return r.Rate }),
			Time:   ratio(func(r ratios) float64 { return r.Time }),
			Memory: ratio(func(r ratios) float64 { return r.Memory }),
		}
	}
}

// medianOf is the median of a figure of some rounds.
func medianOf[R any](rounds []R, of func(R) float64) float64 {
	var values []float64
	for _, r := range rounds {
		values = append(values, of(r))
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// finish prints the medians, or everything as JSON.
func (c *comparison) finish(out io.Writer) error {
	c.conclude()
	if c.json {
		return printJSON(out, c)
	}
	for _, side := range c.sides {
		o := c.Medians[side]
		fmt.Fprintf(out, "median  %-8s %8.2f s %9.0f connects/s", side, o.Seconds, o.PerSecond)
		if c.Kind == connectsKind {
			fmt.Fprintf(out, " %8.0f bytes of the host per pair", o.HostBytesPerPair)
		}
		fmt.Fprintln(out)
	}
	c.printRatios(out, "median", func(floor string) ratios { return c.Ratios[floor] })
	return nil
}

const (
	sideTitle  = "%-7s %-8s %8s %10s %8s %8s %8s %8s %8s %7s %7s  %s\n"
	sideFormat = "%-7d %-8s %8.2f %10.0f %8.0f %8.0f %8.1f %8.1f %8.2f %7.2f %7.2f  %s\n"
)

// printSide prints a line, and the head of the table before the first.
func (c *comparison) printSide(out io.Writer, side string, o outcome) {
	if len(c.Rounds) == 1 && side == c.sides[0] {
		tables := "one descriptor table"
		if c.PrivateTables {
			tables = "a descriptor table each"
		}
		fmt.Fprintf(out, "%s: %d connections to %d ports, %d acceptor loops with %s, %d client loops, %d cores\n",
			c.Kind, c.Connections, c.Ports, c.AcceptorLoops, tables, o.ClientLoops, c.Cores)
		fmt.Fprintf(out, sideTitle, "", "", "", "", "host B", "slab B", "acceptor", "client", "cores", "cores", "cores", "")
		fmt.Fprintf(out, sideTitle, "round", "side", "seconds", "connects/s", "a pair", "a pair", "MiB RSS", "MiB RSS", "acceptor", "client", "others", "used up")
	}
	fmt.Fprintf(out, sideFormat, len(c.Rounds), side, o.Seconds, o.PerSecond, o.HostBytesPerPair, o.SlabBytesPerPair,
		mebibytes(o.AcceptorResident), mebibytes(o.ClientResident), o.AcceptorCores, o.ClientCores, o.OtherCores, o.saturated(c.Cores))
}

func mebibytes(bytes uint64) float64 { return float64(bytes) / (1 << 20) }

func (c *comparison) printRatios(out io.Writer, round string, of func(floor string) ratios) {
	for _, floor := range c.sides {
		if floor == sideServer {
			continue
		}
		r := of(floor)
		fmt.Fprintf(out, "%-7s server/%-8s  rate %.3f  time %.3f", round, floor, r.Rate, r.Time)
		if r.Memory > 0 {
			fmt.Fprintf(out, "  memory %.4f", r.Memory)
		}
		fmt.Fprintln(out)
	}
}

// saturated says who could not have gone faster.
func (o *outcome) saturated(cores int) string {
	text := "nobody: the client waited for the acceptor, and it for the client"
	switch {
	case o.OtherCores >= disturbedCores:
		text = "the host, by others: not a good time to measure"
	case o.AcceptorCores+o.ClientCores+o.OtherCores >= saturatedShare*float64(cores):
		text = "the host"
	case o.ClientCores >= saturatedShare*float64(min(o.ClientLoops, cores)):
		text = "the client's threads"
	}
	if o.ListenDrops > 0 {
		text += fmt.Sprintf("; %d were dropped by full accept queues and came a second later", o.ListenDrops)
	}
	return text
}
