package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"c10m/bench/report"
)

// A comparison is all that was measured. It is what compare.json holds.
type comparison struct {
	Command     []string    `json:"command"`
	Started     time.Time   `json:"started"`
	Host        report.Host `json:"host"` // as the client saw it
	Connections int         `json:"connections"`
	Rounds      int         `json:"rounds"`
	Seconds     float64     `json:"seconds"` // of each scenario
	Bytes       int         `json:"payload_bytes"`
	Servers     []server    `json:"servers"`
	Outcomes    []outcome   `json:"outcomes"`
}

// A server is a contender as far as it matters afterwards.
type server struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Version string `json:"version"`
}

// newComparison asks for the versions first, while the programs are those
// that will be measured.
func newComparison(f flags, contenders []contender) *comparison {
	c := &comparison{Command: os.Args, Started: time.Now(), Connections: f.Connections, Rounds: f.Rounds,
		Seconds: f.Duration.Seconds(), Bytes: f.Size}
	for _, one := range contenders {
		c.Servers = append(c.Servers, server{one.name, one.title, one.version(f.Bin)})
	}
	return c
}

func (c *comparison) add(o outcome) {
	c.Outcomes = append(c.Outcomes, o)
	// The client knows the host best, and it is the same in each run.
	if o.Result != nil {
		c.Host = o.Result.Host
	}
}

// line is the outcome for whoever watches.
func (o *outcome) line() string {
	if o.Reason != "" {
		return "fails: " + o.Reason
	}
	text := ""
	for _, m := range metrics {
		if m.scenario != o.Scenario {
			continue
		}
		if v, known := m.value(o); known {
			if text != "" {
				text += "; "
			}
			text += m.title + " " + m.text(v)
		}
	}
	return text
}

// A cell is a figure of a server: the median over the rounds that went well.
type cell struct {
	value  float64
	worst  float64 // of several rounds
	rounds int     // that went well
	known  bool
	failed []*outcome // the rounds that did not
}

// cell collects a server's figures of a column over the rounds.
func (c *comparison) cell(server string, m metric) (k cell) {
	var values []float64
	for i := range c.Outcomes {
		o := &c.Outcomes[i]
		if o.Server != server || o.Scenario != m.scenario {
			continue
		}
		if o.Reason != "" || o.Result == nil {
			k.failed = append(k.failed, o)
			continue
		}
		if v, known := m.value(o); known {
			values = append(values, v)
		}
	}
	if len(values) > 0 {
		k.value, k.known, k.rounds = report.Median(values), true, len(values)
		if k.worst = slices.Min(values); m.lower {
			k.worst = slices.Max(values)
		}
	}
	return k
}

// best is the figure that no other server betters; with figures that look the
// same in the table, all of them are the best.
func (c *comparison) best(m metric) (text string) {
	found, best := false, 0.0
	for _, s := range c.Servers {
		k := c.cell(s.Name, m)
		if k.known && (!found || m.lower == (k.value < best) && k.value != best) {
			found, best = true, k.value
		}
	}
	if !found {
		return ""
	}
	return m.text(best)
}

// lost is what the client missed in all scenarios of a server.
func (c *comparison) lost(server string) (lost uint64) {
	for i := range c.Outcomes {
		if o := &c.Outcomes[i]; o.Server == server && o.Result != nil {
			for _, s := range o.Result.Streams {
				lost += s.Lost
			}
		}
	}
	return lost
}

// write makes all files of the comparison.
func (c *comparison) write(directory string) error {
	if err := os.MkdirAll(directory, 0o777); err != nil {
		return err
	}
	errs := []error{
		writeFile(directory, "compare.json", func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetIndent("", "  ")
			return encoder.Encode(c)
		}),
		writeFile(directory, "compare.md", c.markdown),
	}
	for _, m := range metrics {
		if m.plot != "" {
			errs = append(errs, writeFile(directory, "compare-"+m.file+".svg", func(w io.Writer) error { return c.bars(w, m) }))
		}
	}
	errs = append(errs,
		writeFile(directory, "compare-latency-curve.svg", func(w io.Writer) error { return c.curves(w, "one message a second to all", "fanout", "fanout") }),
		writeFile(directory, "compare-small-curve.svg", func(w io.Writer) error {
			return c.curves(w, "a message to one, during sweeps over all", "mixed", "unicast")
		}))
	return errors.Join(errs...)
}

func writeFile(directory, name string, write func(io.Writer) error) error {
	file, err := os.Create(filepath.Join(directory, name))
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// bars draws a metric; a server that failed it has no bar.
func (c *comparison) bars(w io.Writer, m metric) error {
	var names []string
	var values []float64
	for _, s := range c.Servers {
		k := c.cell(s.Name, m)
		names, values = append(names, s.Title), append(values, k.value)
	}
	return report.Bars(w, m.plot, m.unit, names, values)
}

// curves draws the percentiles of the last round of each server that went
// well.
func (c *comparison) curves(w io.Writer, title, scenario, kind string) error {
	var names []string
	var curves [][]report.Point
	for _, s := range c.Servers {
		var points []report.Point
		for i := range c.Outcomes {
			o := &c.Outcomes[i]
			if o.Server != s.Name || o.Scenario != scenario || o.Reason != "" || o.Result == nil {
				continue
			}
			if found := stream(o.Result, kind); found != nil {
				points = found.Curve
			}
		}
		if len(points) > 0 {
			names, curves = append(names, s.Title), append(curves, points)
		}
	}
	return report.Curves(w, title, names, curves)
}
