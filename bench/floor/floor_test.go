package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"c10m/bench/proc"
	"c10m/internal/child"
	"c10m/internal/patience"
)

// The test's own program plays the roles, as floor does, and is floor itself
// with asFloor before the arguments.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asFloor {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		main()
		return
	}
	if playRole() {
		return
	}
	status := m.Run()
	os.RemoveAll(serverDir)
	os.Exit(status)
}

const asFloor = "as-floor"

// someFirstPort is where a test looks for ports: somewhere, as another run of the tests
// may look at the same time, and a port is free until somebody listens.
func someFirstPort() int { return 12_000 + 100*rand.IntN(190) }

// testPlan has ports of its own, so that tests of packages that run at the
// same time keep out of each other's way.
func testPlan(t *testing.T, connections int) *plan {
	t.Helper()
	p, err := newPlan(&commonFlags{FirstPort: someFirstPort()}, connections, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The sender and the client that drains it, with both windows.
func TestFloorSide(t *testing.T) {
	for _, inFlight := range []int{1, 8} {
		f := &sendsFlags{Connections: 60, Size: 256, InFlight: inFlight, Loops: 2, Each: 20 * time.Millisecond}
		p := testPlan(t, f.Connections)
		ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
		defer cancel()
		s, err := startFloor(ctx, f, p, f.InFlight)
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		measureTwice(ctx, t, f, p, s)
		sender := s.child
		s.stop()
		if sender.Died() == nil {
			t.Error("the sender outlives its side")
		}
	}
}

func measureTwice(ctx context.Context, t *testing.T, f *sendsFlags, p *plan, s *side) {
	t.Helper()
	if err := connect(ctx, p, s); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m, err := s.measure(ctx, f)
		if err != nil || m.Messages == 0 || m.PerSecond <= 0 || m.Latency.Count != uint64(f.Connections*m.Messages) {
			t.Fatalf("%+v, %v", m, err)
		}
	}
}

// A server that ends at once, or is not there, is an error with its last
// words, and leaves nothing behind.
func TestServerThatFails(t *testing.T) {
	f, p := &sendsFlags{Connections: 1, Size: 256, Loops: 1}, testPlan(t, 1)
	p.common.Server = "/bin/ls"
	if _, err := startServer(t.Context(), f, p); err == nil || !strings.Contains(err.Error(), "unrecognized option") {
		t.Errorf("a program that takes no such flags: %v", err)
	}
	p.common.Server = "/nowhere"
	if _, err := startServer(t.Context(), f, p); err == nil || !strings.Contains(err.Error(), "--server") {
		t.Errorf("no program: %v", err)
	}
}

func TestChildEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := child.Start(exec.CommandContext(ctx, "/bin/sleep", "1000"), child.Kill)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Died(); err != nil {
		t.Error(err)
	}
	if _, err := proc.CPU(c.PID); err != nil {
		t.Error(err)
	}
	cancel()
	<-c.Ended()
	c.Stop() // of one that is gone
	if c.Died() == nil {
		t.Error("the child is said to live")
	}
}

func TestReport(t *testing.T) {
	r := report{Cores: 2}
	for _, rates := range [][2]float64{{100, 150}, {200, 200}, {100, 400}} {
		r.Rounds = append(r.Rounds, pair{
			Floor:  measurement{PerSecond: rates[0], SenderCores: 0.99, ClientCores: 0.5},
			Server: measurement{PerSecond: rates[1], SenderCores: 1.2, ClientCores: 0.7},
			Ratio:  rates[1] / rates[0],
		})
	}
	r.conclude()
	if r.FloorMedian != 100 || r.ServerMedian != 200 || r.RatioMedian != 1.5 {
		t.Errorf("%+v", r)
	}
	r.Rounds = r.Rounds[:2]
	if r.conclude(); r.FloorMedian != 150 || r.RatioMedian != 1.25 {
		t.Errorf("of two rounds: %+v", r)
	}
	var out bytes.Buffer
	r.printRound(&out, 0)
	r.print(&out)
	for _, wanted := range []string{"the sender's thread", "the host", "median  ratio          1.250"} {
		if !strings.Contains(out.String(), wanted) {
			t.Errorf("%q is not in\n%s", wanted, out.String())
		}
	}
	for i := range r.Rounds {
		r.Rounds[i].Batching, r.Rounds[i].BatchingRatio = &measurement{PerSecond: 300}, r.Rounds[i].Server.PerSecond/300
	}
	out.Reset()
	r.conclude()
	r.printRound(&out, 1)
	r.print(&out)
	for _, wanted := range []string{"2       batches", "worst 0.500  (to the floor that batches)", "median  batches          300"} {
		if !strings.Contains(out.String(), wanted) {
			t.Errorf("%q is not in\n%s", wanted, out.String())
		}
	}
	out.Reset()
	var back report
	if err := printJSON(&out, r); err != nil || json.Unmarshal(out.Bytes(), &back) != nil || back.RatioMedian != 1.25 {
		t.Errorf("JSON: %v\n%s", err, out.String())
	}
}
