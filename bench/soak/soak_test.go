package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"c10m/bench/report"
	"c10m/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// small is a soak for tests: all of it, but of everything a little.
func small() settings {
	return settings{Duration: 12 * time.Second, Seed: 11, Progress: 4 * time.Second,
		Server: servertest.Binary("10m-server"), Redis: "redis-server",
		Steady: 300, FanoutRate: 4, FanoutBytes: 256, Own: 100, UnicastRate: 100, UnicastBytes: 128,
		Churners: 100, ChurnRate: 40, Bulk: 10, BulkRate: 8, BulkBytes: 16 << 10,
		Slow: 20, SlowLife: 6 * time.Second, GarbageWorkers: 8, GarbageRest: 100 * time.Millisecond,
		Faults: []string{"subscriber-cut", "redis-killed"}, FaultEvery: 2 * time.Second, FaultsMax: 2}
}

// A short soak against the real server and a real Redis passes all checks, and
// its report is written in all forms.
func TestSoak(t *testing.T) {
	out := &bytes.Buffer{}
	result, err := run(t.Context(), small(), out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
	for _, c := range result.Criteria {
		if !c.Pass {
			t.Errorf("%s: got %s, wanted %s", c.Name, c.Got, c.Wanted)
		}
	}
	if len(result.Soak.Faults) == 0 || result.Soak.SlowReaders == 0 || result.Churn == nil || len(result.Samples) == 0 {
		t.Errorf("%d faults, %d slow readers, churn %v, %d samples", len(result.Soak.Faults), result.Soak.SlowReaders, result.Churn, len(result.Samples))
	}
	if !strings.Contains(out.String(), "SOAK_SEED=11") {
		t.Errorf("the seed is not printed:\n%s", out)
	}
	base := filepath.Join(t.TempDir(), "results", "soak")
	if err := write(&bytes.Buffer{}, base, result); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(base + ".txt")
	if !strings.Contains(string(text), "pass  close reasons") || !strings.Contains(string(text), "subscriber-cut") {
		t.Errorf("the text:\n%s", text)
	}
	page, _ := os.ReadFile(base + ".html")
	if !strings.Contains(string(page), "Descriptors of the server") || !strings.Contains(string(page), "redis-killed") {
		t.Error("the page has no plot of descriptors, or no faults")
	}
	var read report.Result
	if raw, _ := os.ReadFile(base + ".json"); json.Unmarshal(raw, &read) != nil || read.Soak == nil || read.Soak.Seed != 11 {
		t.Error("the JSON cannot be read back")
	}
}

// Who interrupts a soak gets no verdict, and nothing is left running.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := small()
	s.Duration = time.Hour
	out := &interrupter{at: "soaking for", cancel: cancel}
	if _, err := run(ctx, s, out); !errors.Is(err, errInterrupted) {
		t.Errorf("%v", err)
	}
	if children := childrenOf(t); len(children) > 0 {
		t.Errorf("left running: %v", children)
	}
}

// A server that cannot be started is told in a sentence, and Redis is gone.
func TestServerThatDoesNotStart(t *testing.T) {
	s := small()
	s.ServerArgs = []string{"--log-bytes", "1"}
	if _, err := run(t.Context(), s, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "--log-bytes") {
		t.Errorf("%v", err)
	}
	if children := childrenOf(t); len(children) > 0 {
		t.Errorf("left running: %v", children)
	}
}

// An interrupter cancels when a line has a text.
type interrupter struct {
	at     string
	cancel func()
}

func (i *interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), i.at) {
		time.AfterFunc(time.Second, i.cancel)
	}
	return len(p), nil
}

// childrenOf are the processes that this one has started and that have not
// ended.
func childrenOf(t *testing.T) (children []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(files) == 0 {
		t.Fatalf("no /proc/self/task/*/children: %v", err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file)
		children = append(children, strings.Fields(string(text))...)
	}
	return children
}
