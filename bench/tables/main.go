package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// runsMin are what a figure should be of.
const runsMin = 3

func main() {
	if err := write(os.Stdout, "bench/results", os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "tables: %v\n", err)
		os.Exit(1)
	}
}

// write prints the rows of these runs, all if there are none.
func write(out io.Writer, directory string, runs []string) error {
	for _, run := range runs {
		if !slices.ContainsFunc(figures, func(f figure) bool { return f.run == run }) {
			return fmt.Errorf("no figure is of a run %q", run)
		}
	}
	fmt.Fprintln(out, "| what | target | median | worst | of | commit and day | run |\n|---|---|---:|---:|---|---|---|")
	for _, f := range figures {
		if len(runs) > 0 && !slices.Contains(runs, f.run) {
			continue
		}
		r, err := f.read(directory)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, f.row(r))
	}
	return nil
}

// A reading is a figure as the runs have it.
type reading struct {
	values  []float64
	runs    int
	commits []string
}

var commitLine = regexp.MustCompile(`(?m)^commit (\S+), Linux \S+, (\d{4}-\d\d-\d\d)`)

// read takes the values from all runs.
func (f *figure) read(directory string) (r reading, err error) {
	for _, place := range []string{directory, filepath.Join(directory, "run*")} {
		files, err := filepath.Glob(filepath.Join(place, f.run+".txt"))
		if err != nil {
			return r, err
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				return r, err
			}
			commit := "no commit"
			if found := commitLine.FindSubmatch(text); found != nil {
				commit = string(found[1]) + " " + string(found[2])
			}
			if !slices.Contains(r.commits, commit) {
				r.commits = append(r.commits, commit)
			}
			values, err := f.values(string(text))
			if err != nil {
				return r, fmt.Errorf("%s: %s: %w", path, f.what, err)
			}
			if len(values) > 0 {
				r.runs++
			}
			r.values = append(r.values, values...)
		}
	}
	return r, nil
}

// values are the figure's in one file.
func (f *figure) values(text string) (values []float64, err error) {
	take := func(pattern *regexp.Regexp) (numbers []float64, err error) {
		for i, match := range pattern.FindAllStringSubmatch(text, -1) {
			if f.match != 0 && i+1 != f.match {
				continue
			}
			v, err := strconv.ParseFloat(strings.ReplaceAll(match[1], ",", ""), 64)
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, v)
		}
		return numbers, nil
	}
	if values, err = take(f.value); err != nil {
		return nil, err
	}
	if f.by != nil {
		divisors, err := take(f.by)
		if err != nil {
			return nil, err
		}
		if len(divisors) == 0 {
			return nil, nil // this run did not measure it
		}
		if len(divisors) != len(values) {
			return nil, fmt.Errorf("%d values and %d to divide them by", len(values), len(divisors))
		}
		for i := range values {
			values[i] /= divisors[i]
		}
	}
	if f.scale != 0 {
		for i := range values {
			values[i] *= f.scale
		}
	}
	return values, nil
}

func (f *figure) row(r reading) string {
	if len(r.values) == 0 {
		return fmt.Sprintf("| %s | %s | not measured | | | %s | %s |", f.what, f.target, strings.Join(r.commits, ", "), f.run)
	}
	sorted := slices.Sorted(slices.Values(r.values))
	n := len(sorted)
	median, worst := (sorted[(n-1)/2]+sorted[n/2])/2, sorted[0]
	if f.lower {
		worst = sorted[n-1]
	}
	extent := fmt.Sprintf("%d in %d runs", n, r.runs)
	switch {
	case n == 1:
		extent = "one run"
	case r.runs == 1:
		extent = fmt.Sprintf("%d in one run", n)
	case n == r.runs:
		extent = fmt.Sprintf("%d runs", n)
	}
	if n < runsMin {
		extent += ", too few"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |", f.what, f.target, f.text(median), f.text(worst), extent, strings.Join(r.commits, ", "), f.run)
}

// text writes three digits or more, with thousands apart.
func (f *figure) text(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	switch {
	case v == float64(int64(v)) && v < 1000:
	case v < 10:
		text = strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		text = strconv.FormatFloat(v, 'f', 1, 64)
	}
	for i := len(text) - 3; v >= 1000 && i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return strings.TrimSpace(text + " " + f.unit)
}
