package scenario

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"c10m/bench/load"
	"c10m/bench/load/loadtest"
	"c10m/bench/report"
	"c10m/internal/patience"
)

// memories are a host's, one after the other; the last stays.
func memories(megabytes ...uint64) func() uint64 {
	return func() uint64 {
		used := megabytes[0] << 20
		if len(megabytes) > 1 {
			megabytes = megabytes[1:]
		}
		return used
	}
}

func runDisconnect(t *testing.T, fault loadtest.Fault, change func(*Options)) (*report.Result, *report.Disconnect) {
	t.Helper()
	s := loadtest.Start(t, fault)
	o := options("disconnect", s.Port, s.Bus)
	change(&o)
	result, err := runScenario(t, o)
	if err != nil || result.Disconnect == nil {
		t.Fatalf("%v; %+v", err, result)
	}
	return result, result.Disconnect
}

// A server that never lets go is a fault, and those who stay are served all the same.
func TestTheServerHoldsOnToConnections(t *testing.T) {
	t.Parallel()
	result, d := runDisconnect(t, loadtest.Fault{Kind: loadtest.Hold}, func(o *Options) { o.Within = 2 * time.Second })
	const leaving = connections - 5
	if want := fmt.Sprintf("the server has not closed %d of %d connections", leaving, leaving); !strings.Contains(result.Fault, want) {
		t.Errorf("the fault is %q", result.Fault)
	}
	if d.Held != leaving || d.Ended != leaving || d.Stayed != 5 || d.LetGoSeconds != 0 || d.MemorySeconds != 0 || d.Latency.Count == 0 {
		t.Errorf("%+v", d)
	}
	if s := result.Streams[0]; s.Lost != 0 || s.Delivered != s.Expected || s.Delivered == 0 {
		t.Errorf("%+v", s)
	}
}

// The memory is back when what those took who left is, but for a twentieth of all of it.
func TestMemoryOfADisconnect(t *testing.T) {
	for name, test := range map[string]struct {
		used []uint64 // before, with all, and then
		back bool
		left uint64
	}{
		// 200 of 1,200 took 2,000 MB: the 40 who stay keep 400, and 100 may be missing.
		"at once":        {[]uint64{1000, 3000, 1500}, true, 100},
		"in the end":     {[]uint64{1000, 3000, 2900, 1501, 1499, 1400}, true, 0},
		"not all":        {[]uint64{1000, 3000, 1501}, false, 101},
		"below before":   {[]uint64{1000, 3000, 900}, true, 0},
		"nobody knows":   {[]uint64{1000, 1000, 900}, false, 0},
		"others gave it": {[]uint64{1000, 900, 1100}, false, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, d := runDisconnect(t, loadtest.Fault{}, func(o *Options) {
				o.Probes, o.Within, o.hostUsed = 40, patience.Guard, memories(test.used...)
				if name == "not all" {
					o.Within = 5 * time.Second
				}
			})
			if result.Fault != "" || d.LetGoSeconds <= 0 || (d.MemorySeconds > 0) != test.back || d.MemoryLeft != test.left<<20 {
				t.Errorf("%s; %+v", result.Fault, d)
			}
			if d.Host.Before != test.used[0]<<20 || d.Host.Connected != test.used[1]<<20 || d.Host.End != test.used[len(test.used)-1]<<20 {
				t.Errorf("%+v", d.Host)
			}
		})
	}
}

// Where the bus cannot say how many are left, that figure is left out, with its reason.
func TestDisconnectWithoutACount(t *testing.T) {
	for name, test := range map[string]struct {
		channel string
		fault   loadtest.Fault
		reason  string
	}{
		"a channel each": {"own/%d", loadtest.Fault{}, "a channel of its own"},
		"a Redis":        {"news", loadtest.Fault{Kind: loadtest.CountNobody}, "counts 0 subscribers where 195 connections are"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, d := runDisconnect(t, test.fault, func(o *Options) { o.Load.Channel = test.channel })
			if result.Fault != "" || !strings.Contains(d.Unknown, test.reason) || d.LetGoSeconds != 0 || d.Held != 0 ||
				d.Ended != connections-5 || d.MemorySeconds <= 0 || d.Latency.Count != 0 {
				t.Errorf("%s; %+v", result.Fault, d)
			}
		})
	}
}

// Interrupted, it says what it saw up to there.
func TestDisconnectInterrupted(t *testing.T) {
	t.Parallel()
	s := loadtest.Start(t, loadtest.Fault{Kind: loadtest.Hold})
	o := options("disconnect", s.Port, s.Bus)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.hostUsed = memories(100, 200)
	o.Progress = func(sample *report.Sample, _ *load.Snapshot) {
		if sample.Phase == "disconnect" {
			cancel()
		}
	}
	result, err := Run(ctx, o)
	if err != nil || result.Fault != "" || result.Disconnect == nil || result.Disconnect.Ended != connections-o.Probes ||
		result.Disconnect.Host.End == 0 {
		t.Errorf("%v; %+v", err, result)
	}
}
