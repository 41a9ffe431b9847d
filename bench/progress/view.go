package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// An event is a line of go test -json (go doc test2json, and go help buildjson).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

type timed struct {
	name    string
	seconds float64
}

// A view is what people see of events.
type view struct {
	// Fixed after construction.
	out, aside io.Writer
	packages   int
	isVerbose  bool
	began      time.Time

	ended, failed   int
	said            map[string][]event // by package: what is not printed yet
	skips           []string
	slowPackages    []timed
	slowTests       []timed
	failedTestNames []string
}

func (v *view) read(events io.Reader) error {
	v.said = make(map[string][]event)
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				v.take(e)
			} else {
				v.out.Write(line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (v *view) take(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(v.out, e.Output)
	case "output":
		if v.isVerbose {
			fmt.Fprint(v.out, e.Output)
		}
		v.said[e.Package] = append(v.said[e.Package], e)
	case "skip":
		if e.Test != "" {
			v.skip(e)
			return
		}
		v.end(e)
	case "pass", "fail":
		if e.Test == "" {
			v.end(e)
			return
		}
		if e.Action == "fail" {
			v.failedTestNames = append(v.failedTestNames, e.Package+"."+e.Test)
		} else {
			v.drop(e) // nobody asks what a test said that passed
		}
		if !strings.Contains(e.Test, "/") {
			v.slowTests = append(v.slowTests, timed{e.Package + "." + e.Test, e.Elapsed})
		}
	}
}

// drop forgets what a test said.
func (v *view) drop(e event) {
	v.said[e.Package] = slices.DeleteFunc(v.said[e.Package], func(s event) bool {
		return s.Test == e.Test || strings.HasPrefix(s.Test, e.Test+"/")
	})
}

// skip notes the reason, which is what the test said last.
func (v *view) skip(e event) {
	reason := ""
	for _, s := range v.said[e.Package] {
		if text := strings.TrimSpace(s.Output); s.Test == e.Test && !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- ") {
			reason = text
		}
	}
	v.skips = append(v.skips, fmt.Sprintf("%s.%s: %s", e.Package, e.Test, reason))
	v.drop(e)
}

// end prints the line of a package, and before it what its failed tests said.
func (v *view) end(e event) {
	v.ended++
	if !v.isVerbose {
		for _, s := range v.said[e.Package] {
			text := s.Output
			isClosing := s.Test == "" && (strings.HasPrefix(text, "ok ") || strings.HasPrefix(text, "FAIL\t") || strings.HasPrefix(text, "?"))
			if isClosing || e.Action == "fail" && !strings.HasPrefix(text, "=== ") {
				fmt.Fprint(v.out, text)
			}
		}
	}
	delete(v.said, e.Package)
	if e.Action == "fail" {
		v.failed++
	}
	v.slowPackages = append(v.slowPackages, timed{e.Package, e.Elapsed})
	failed := ""
	if v.failed > 0 {
		failed = fmt.Sprintf(", %d failed", v.failed)
	}
	fmt.Fprintf(v.aside, "  %d of %d after %s%s\n", v.ended, v.packages, clock(time.Since(v.began)), failed)
}

// sum prints what was skipped, and what took long.
func (v *view) sum() {
	slices.Sort(v.skips)
	if len(v.skips) > 0 {
		fmt.Fprintf(v.aside, "skipped, since they cannot run here:\n")
		for _, line := range v.skips[:min(len(v.skips), skipsMax)] {
			fmt.Fprintf(v.aside, "  %s\n", line)
		}
		if more := len(v.skips) - skipsMax; more > 0 {
			fmt.Fprintf(v.aside, "  and %d more\n", more)
		}
	}
	for _, list := range []struct {
		what string
		of   []timed
	}{{"slowest packages", v.slowPackages}, {"slowest tests", v.slowTests}} {
		slices.SortFunc(list.of, func(a, b timed) int { return cmp.Compare(b.seconds, a.seconds) })
		var parts []string
		for _, t := range list.of[:min(len(list.of), slowestMax)] {
			if t.seconds >= slowestSecondsMin {
				parts = append(parts, fmt.Sprintf("%s %.0fs", t.name, t.seconds))
			}
		}
		if len(parts) > 0 {
			fmt.Fprintf(v.aside, "%s: %s\n", list.what, strings.Join(parts, ", "))
		}
	}
	fmt.Fprintf(v.aside, "%d packages in %s, %d failed, %d tests skipped\n", v.ended, clock(time.Since(v.began)), v.failed, len(v.skips))
	for _, name := range v.failedTestNames {
		fmt.Fprintf(v.aside, "  failed: %s\n", name)
	}
}
