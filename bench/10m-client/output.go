package main

import (
	"fmt"
	"io"
	"os"

	"c10m/bench/load"
	"c10m/bench/report"
)

// An output is where a run's words go.
type output struct {
	// Fixed after construction.
	flags *commonFlags
	words io.Writer // on the way: standard error if standard output is for JSON

	// Owned by the sampler until the run has ended.
	bar     *report.Progress
	printed map[string]bool
	before  uint64 // messages, at the last call of progress

	pass bool // all criteria are met, or nobody asked
}

func newOutput(f *commonFlags) *output {
	o := &output{flags: f, words: os.Stdout, printed: map[string]bool{}, pass: true}
	if f.JSON {
		o.words = os.Stderr
	}
	o.bar = report.NewProgress(o.words, f.Connections)
	return o
}

// progress shows a sample, and each distinct message of others once, in the order in
// which they came: when all connections that are open got it, or one that came later,
// or nothing more seems to come.
func (o *output) progress(sample *report.Sample, s *load.Snapshot) {
	o.bar.Update(*sample)
	quiet := s.Messages() == o.before
	o.before = s.Messages()
	whole := len(s.Printed)
	for whole > 0 && !quiet && s.Printed[whole-1].Connections < uint64(s.Open) {
		whole--
	}
	for _, m := range s.Printed[:whole] {
		id := fmt.Sprint(m.Binary, m.Bytes, m.Head)
		if o.printed[id] {
			continue
		}
		o.printed[id] = true
		fmt.Fprintf(o.words, "message %s reached %d of %d connections\n", show(m), m.Connections, s.Wanted)
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

// write judges a result and says it in every form that was asked for.
func (o *output) write(r *report.Result) error {
	o.bar.Done()
	report.Judge(r)
	if o.flags.Criteria {
		o.pass = report.Check(r)
	}
	if o.flags.HTML != "" {
		if err := writeFile(o.flags.HTML, r, report.HTML); err != nil {
			return fmt.Errorf("cannot write the page: %w; name another file with --html", err)
		}
	}
	if o.flags.JSONFile != "" {
		if err := writeFile(o.flags.JSONFile, r, report.JSON); err != nil {
			return fmt.Errorf("cannot write the result: %w; name another file with --json-file", err)
		}
	}
	if o.flags.JSON {
		return report.JSON(os.Stdout, r)
	}
	report.Text(os.Stdout, r)
	return nil
}

func writeFile(name string, r *report.Result, write func(io.Writer, *report.Result) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(file, r); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
