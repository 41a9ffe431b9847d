package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"c10m/bench/report"
	"c10m/internal/child"
)

// fakeClient puts a 10m-client into a new directory: a script that writes its
// arguments down, prints out, says words, and ends with a status.
func fakeClient(t *testing.T, out any, words string, status int) (bin string) {
	t.Helper()
	bin = t.TempDir()
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >%s/arguments\ncat %s/out\necho '   1.0s  measuring' >&2\n", bin, bin)
	if words != "" {
		script += fmt.Sprintf("echo '10m-client: %s' >&2\n", words)
	}
	script += fmt.Sprintf("exit %d\n", status)
	for name, content := range map[string]string{"10m-client": script, "out": string(text)} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// sleeper is a contender that does nothing.
func sleeper(program string, arguments ...string) contender {
	return contender{name: "fake", title: "Fake", dialect: "nats", version: func(string) string { return "v0" },
		start: func(s *stage) (err error) {
			s.port, s.bus = 1234, 5678
			s.server, err = s.run(child.Kill, program, arguments...)
			return err
		}}
}

func good() report.Result {
	return report.Result{Connections: report.Connections{Wanted: 10, Opened: 10, Open: 10, PerSecond: 5000},
		Started: time.Now().Add(-time.Minute),
		Streams: []report.Stream{{Name: "fanout", PerSecond: 100_000, Latency: report.Quantiles{Count: 10, P50Millis: 1, P99Millis: 2}}}}
}

func TestMeasure(t *testing.T) {
	some := good()
	some.Connections.Opened, some.Connections.Problem = 7, "too many"
	faulty := good()
	faulty.Fault = "3 lost"
	for _, c := range []struct {
		name    string
		out     any
		words   string
		status  int
		server  contender
		reasons []string // none: it went well
	}{
		{"good", good(), "", 0, sleeper("/bin/sleep", "1000"), nil},
		{"some connections", some, "", 1, sleeper("/bin/sleep", "1000"), []string{"only 7 of 10", "too many"}},
		{"lost and stalled", faulty, "nothing arrived", 1, sleeper("/bin/sleep", "1000"), []string{"3 lost; nothing arrived"}},
		{"no result", "", "no connection could be made", 1, sleeper("/bin/sleep", "1000"), []string{"no connection could be made"}},
		{"not JSON", json.RawMessage("7"), "", 0, sleeper("/bin/sleep", "1000"), []string{"printed no result"}},
		{"server dies", good(), "", 0, sleeper("/bin/sh", "-c", "echo too many files >&2; exit 1"), []string{"server ended", "too many files"}},
		{"no server", good(), "", 0, sleeper("/nowhere/fake"), []string{"cannot be started", "/nowhere/fake"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &flags{Connections: 10, Size: 300, Duration: 7 * time.Second, Bin: fakeClient(t, c.out, c.words, c.status)}
			server := c.server
			if c.name == "server dies" {
				start := server.start
				server.start = func(s *stage) error {
					err := start(s)
					<-s.server.Ended()
					return err
				}
			}
			o := measure(t.Context(), f, server, scenarios[1])
			if (o.Reason == "") != (c.reasons == nil) {
				t.Errorf("reason %q", o.Reason)
			}
			for _, reason := range c.reasons {
				if !strings.Contains(o.Reason, reason) {
					t.Errorf("%q is not in %q", reason, o.Reason)
				}
			}
			if c.reasons != nil {
				return
			}
			arguments, _ := os.ReadFile(filepath.Join(f.Bin, "arguments"))
			for _, wanted := range []string{"fanout --messages-rate 1 127.0.0.1 10 --first-port 1234 --dialect nats", "--bus 127.0.0.1:5678 --size 300 --duration 7s", "--json"} {
				if !strings.Contains(string(arguments), wanted) {
					t.Errorf("%q is not in %q", wanted, arguments)
				}
			}
			if o.Result == nil || o.Result.Connections.PerSecond != 5000 {
				t.Errorf("%+v", o.Result)
			}
		})
	}
}

// A client that hangs does not hang the comparison.
func TestMeasureEndsWithContext(t *testing.T) {
	bin := fakeClient(t, good(), "", 0)
	if err := os.WriteFile(filepath.Join(bin, "10m-client"), []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if o := measure(ctx, &flags{Connections: 10, Bin: bin}, sleeper("/bin/sleep", "1000"), scenarios[0]); o.Reason == "" {
		t.Errorf("%+v", o)
	}
}

// The figures of the server are those of the phase, and of all its processes.
func TestWatch(t *testing.T) {
	s := &stage{ctx: t.Context()}
	defer s.stop()
	server, err := s.run(child.Kill, "/bin/sh", "-c", "(i=0; while [ $i -lt 9999999 ]; do i=$((i+1)); done) & wait")
	if err != nil {
		t.Fatal(err)
	}
	w := startWatch(server.PID)
	var spent float64
	for spent < 0.1 { // of the loop, which is a child of the server
		time.Sleep(10 * time.Millisecond)
		spent = read(server.PID, false).cpu
	}
	readings := append(w.stop(), read(server.PID, true))
	if readings[0].memory == 0 || memoryAt(readings, readings[0].at) != readings[0].memory {
		t.Errorf("memory %d", readings[0].memory)
	}
	last := readings[len(readings)-1]
	if mean, ok := cores(readings, readings[0].at, last.at); !ok || mean <= 0 {
		t.Errorf("cores %v, %v", mean, ok)
	}
	if _, ok := cores(readings, last.at, last.at.Add(time.Hour)); ok {
		t.Error("a mean of one reading")
	}
}

func TestUsed(t *testing.T) {
	start := time.Now()
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	o := outcome{Result: &report.Result{Started: start, Connections: report.Connections{Open: 100}}}
	for i := range 9 {
		phase := "connecting"
		if i >= 3 {
			phase = "holding"
		}
		o.Result.Samples = append(o.Result.Samples, report.Sample{Seconds: float64(i), Phase: phase})
	}
	var readings []reading
	for i := range 10 {
		// Busy until the fifth second, a tenth of a core from then on.
		readings = append(readings, reading{at: at(float64(i)), cpu: 2*float64(min(i, 5)) + 0.1*float64(max(0, i-5)), memory: uint64(1000 * (i + 1))})
	}
	o.used(readings, "holding")
	if o.ServerCores < 0.0999 || o.ServerCores > 0.1001 || o.MemoryPerConn != (9000-1000)/100 {
		t.Errorf("%v cores, %v bytes per connection", o.ServerCores, o.MemoryPerConn)
	}
}

// compared is a comparison of three servers: the second is better at some
// things, the third fails.
func compared() *comparison {
	c := newComparison(flags{Connections: 18000, Rounds: 2, Size: 256, Duration: 10 * time.Second}, []contender{
		{name: "a", title: "A", version: func(string) string { return "v1" }},
		{name: "b", title: "B", version: func(string) string { return "v2" }},
		{name: "c", title: "C", version: func(string) string { return "v3" }},
	})
	for round := 1; round <= 2; round++ {
		for i, name := range []string{"a", "b", "c"} {
			for _, test := range scenarios {
				r := good()
				r.Connections.PerSecond = float64(1000 * (i + round))
				r.Usage.HostPerConn = float64(8000 - 16000*(i%2))
				r.Streams[0].PerSecond = float64(1_000_000 / (i + round))
				r.Streams[0].Curve = []report.Point{{Percentile: 0, Millis: 1}, {Percentile: 100, Millis: 9}}
				r.Streams = append(r.Streams, report.Stream{Name: "unicast", Latency: report.Quantiles{Count: 9, P99Millis: float64(7 + 2*i)}})
				o := outcome{Server: name, Scenario: test.name, Round: round, MemoryPerConn: 64, Result: &r}
				if test.publishes {
					o.ServerCores = 0.5
				}
				if name == "c" && (test.name == "saturate-8" || test.name == "mixed" && round == 2) {
					o.Reason = "12 lost | of many"
					r.Streams[0].Lost = 12
				}
				c.add(o)
			}
		}
	}
	return c
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := compared().markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{
		"18,000 connections to each server", "medians of 2 rounds",
		// The same memory is the best of all; the connect rate is the median of
		// two, with the worst beside it; C's one good round of mixed counts.
		"| A | v1 | **64 B** [64 B] | **8,000 B** [8,000 B] | 1,500 [1,000] | **0** [0] | **1** [1] | **2** [2] | **750,000** [500,000] | **750,000** [500,000] |" +
			" **1,500,000** [1,000,000] | **1,500,000** [1,000,000] | **7** [7] | 0 |",
		"| B | v2 | **64 B** [64 B] | not measured | 2,500 [2,000] | **0** [0] | **1** [1] | **2** [2] | 416,667 [333,333] | 416,667 [333,333] | 833,333 [666,666] | 833,333 [666,666] | 9 [9] | 0 |",
		"| C | v3 | **64 B** [64 B] | **8,000 B** [8,000 B] | **3,500** [3,000] | **0** [0] | **1** [1] | **2** [2] | 291,667 [250,000] | fails (1) | 583,333 [500,000] | fails (1) | 11 (2) | 36 |",
		"\nWhat is different about c10m: it binds a loop to each processor",
		"\n1. C, saturate-8, round 1, 2: 12 lost / of many\n", "\n2. C, mixed, round 2: 12 lost / of many\n",
	} {
		if !strings.Contains(b.String(), wanted) {
			t.Errorf("%q is not in\n%s", wanted, b.String())
		}
	}
}

func TestWrite(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "results")
	c := compared()
	if err := c.write(directory); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(directory, "compare.json"))
	var back comparison
	if err != nil || json.Unmarshal(text, &back) != nil || len(back.Outcomes) != len(c.Outcomes) || back.Servers[1].Version != "v2" {
		t.Errorf("%v: %.200s", err, text)
	}
	plots, _ := filepath.Glob(filepath.Join(directory, "*.svg"))
	if len(plots) != 9 {
		t.Errorf("plots: %v", plots)
	}
	for _, plot := range plots {
		file, err := os.Open(plot)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for decoder := xml.NewDecoder(file); ; {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", plot, err)
				break
			}
		}
	}
}

func TestChoose(t *testing.T) {
	chosen, err := choose(contenders, []string{"nats", "c10m"}, "--servers")
	if err != nil || len(chosen) != 2 || chosen[0].name != "nats" || chosen[1].title != "c10m" {
		t.Errorf("%v, %v", chosen, err)
	}
	if _, err := choose(scenarios, []string{"idle"}, "--scenarios"); err == nil || !strings.Contains(err.Error(), "connect, fanout, saturate-1, saturate-8, mixed") {
		t.Errorf("an unknown scenario: %v", err)
	}
	if err := run(t.Context(), flags{Connections: 1, Rounds: 1, Duration: time.Second}); err == nil || !strings.Contains(err.Error(), "--duration") {
		t.Errorf("a duration that is too short: %v", err)
	}
}
