package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLinesOnceASecondWhileSomethingHappens(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, 5000)
	p.Phase("connecting")
	for _, s := range []Sample{
		{Seconds: 1, Open: 1000, Connects: 1000}, // shown
		{Seconds: 1.5, Open: 1500, Connects: 1000},
		{Seconds: 1.96, Open: 2000, Connects: 1000}, // shown
		{Seconds: 3, Open: 2000},
		{Seconds: 4, Open: 2000},
		{Seconds: 5, Open: 5000, ServerResident: 70 << 20},                                // shown
		{Seconds: 6, Open: 5000, Phase: "measuring", Deliveries: 64_000, MeanMillis: 2.5}, // shown
		{Seconds: 6.1, Open: 5000, Phase: "holding"},                                      // shown: a new phase
		{Seconds: 7, Open: 5000, Phase: "holding", ServerResident: 3, HostCores: 2},       // memory alone is nothing
		{Seconds: 8, Open: 4999, Phase: "holding"},                                        // shown: one is gone
		{Seconds: 9, Open: 4999, Phase: "holding", Deliveries: 1, MeanMillis: 0.5},        // shown
	} {
		p.Update(s)
	}
	p.Done()
	want := []string{
		"    1.0s  connecting  1,000 of 5,000 open, 1,000 connects/s",
		"    2.0s  connecting  2,000 of 5,000 open, 1,000 connects/s",
		"    5.0s  connecting  5,000 of 5,000 open, server 70 MiB",
		"    6.0s  measuring   5,000 of 5,000 open, 64,000 deliveries/s, mean 2.5 ms",
		"    6.1s  holding     5,000 of 5,000 open",
		"    8.0s  holding     4,999 of 5,000 open",
		"    9.0s  holding     4,999 of 5,000 open, 1 deliveries/s, mean 0.5 ms",
	}
	if got := b.String(); got != strings.Join(want, "\n")+"\n" {
		t.Errorf("lines:\n%swant:\n%s", got, strings.Join(want, "\n"))
	}
}

// screen is what the last line of a terminal shows.
func screen(written string) string {
	line, column := []rune{}, 0
	for _, r := range written {
		switch {
		case r == '\n':
			line, column = line[:0], 0
		case r == '\r':
			column = 0
		case column < len(line):
			line[column] = r
			column++
		default:
			line = append(line, r)
			column++
		}
	}
	return strings.TrimRight(string(line), " ")
}

func TestAShorterLineLeavesNothingBehind(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, 5000)
	p.terminal = true
	p.Update(Sample{Phase: "measuring", Open: 5000, Deliveries: 640_000, MeanMillis: 2.25})
	long := screen(b.String())
	p.Update(Sample{Phase: "measuring", Open: 5000})
	if short := screen(b.String()); !strings.Contains(long, "mean 2.25 ms") || strings.Contains(short, "mean") || strings.Count(short, "[") != 1 {
		t.Errorf("%q, then %q", long, short)
	}
}

// TestBar is the form for a terminal, which the test's writer is not.
func TestBar(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, 5000)
	p.terminal = true
	p.Phase("connecting")
	p.Update(Sample{Open: 2500, Connects: 1000})
	p.Update(Sample{Open: 5000, Connects: 2500})
	if got := b.String(); !strings.Contains(got, "2,500 of 5,000 open, 1,000 connects/s") || !strings.Contains(got, " 50%") || !strings.Contains(got, "100%") {
		t.Errorf("connecting: %q", got)
	}
	if strings.Contains(b.String(), "\n") {
		t.Errorf("a bar stays in its line: %q", b.String())
	}
	for _, phase := range []string{"measuring", "storm"} {
		b.Reset()
		p.Update(Sample{Phase: phase, Open: 4999, Deliveries: 64_000, MeanMillis: 2.5})
		p.Update(Sample{Phase: phase, Open: 5000, Deliveries: 65_000, MeanMillis: 2.5})
		got := b.String()
		if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "\n") {
			t.Errorf("%s begins in a new line, once: %q", phase, got)
		}
		if strings.Contains(got, "%") || !strings.Contains(got, phase+"  5,000 of 5,000 open, 65,000 deliveries/s") {
			t.Errorf("%s: %q", phase, got)
		}
	}
	b.Reset()
	p.Done()
	p.Done()
	if b.String() != "\n" {
		t.Errorf("done: %q", b.String())
	}
}

func TestProgressWithoutAPhase(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var b bytes.Buffer
		p := NewProgress(&b, 0)
		p.terminal = terminal
		p.Update(Sample{Open: 1})
		p.Done()
		if !strings.Contains(b.String(), "1 of 0 open") {
			t.Errorf("terminal %v: %q", terminal, b.String())
		}
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if NewProgress(f, 1).terminal {
		t.Error("a file is taken for a terminal")
	}
}
