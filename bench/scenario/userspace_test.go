package scenario

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
	"c10m/bench/usertcp"
	"c10m/internal/child"
	"c10m/internal/netspace"
	"c10m/internal/patience"
)

// namespaceVariable holds the server's program in the process that runs in a
// network of its own.
const namespaceVariable = "C10M_TEST_NAMESPACE"

// A caseInNamespace runs there, and everything in it is bounded by namespaceMax.
const namespaceMax = 4 * time.Minute

// inNamespace runs the calling test once more, in a network of its own with the server's
// program, and returns false here and true there. It skips where the kernel or its rights
// do not allow that.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if netspace.Inside() {
		return netspace.Again(t, namespaceMax)
	}
	if testing.Short() {
		t.Skip("-short")
	}
	if device, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		t.Skipf("no TUN device here: %v", err)
	} else {
		device.Close()
	}
	program := filepath.Join(t.TempDir(), "10m-server")
	if out, err := exec.Command("go", "build", "-o", program, "c10m").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return netspace.Again(t, namespaceMax, namespaceVariable+"="+program)
}

const (
	namespaceServer = "198.18.0.1"
	namespaceBus    = "127.0.0.1:6379"
	namespacePort   = 10000
)

// serveInNamespace starts the server there.
func serveInNamespace(t *testing.T, flags ...string) (pid int) {
	t.Helper()
	flags = append([]string{"--listen", "0.0.0.0:10000-10001", "--max-connections", "60000", "--max-memory", "off"}, flags...)
	server, err := child.Start(exec.Command(os.Getenv(namespaceVariable), flags...), child.Kill)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	for _, address := range []string{"127.0.0.1:10000", namespaceBus} {
		if err := server.AwaitListener(ctx, address); err != nil {
			t.Fatal(err)
		}
	}
	return server.PID
}

// userSpaceOptions are for connections of which most are in user space.
func userSpaceOptions(name string, connections int, rough usertcp.Roughness) Options {
	return Options{
		Baseline: 100 * time.Millisecond, hostUsed: memories(100, 200, 100),
		Name: name, Bus: namespaceBus, Bytes: 256, Sample: SampleDefault(connections),
		Duration: time.Second, Rate: 2, ProbeRate: 50, Probes: 5, ChurnRate: 200, Jitter: 100 * time.Millisecond, Reset: true,
		Patience: time.Minute,
		Load: load.Config{Retries: 5, HandshakeTimeout: time.Minute, UnderWay: 2000,
			UserSpace: &load.UserSpace{Device: "c10m%d", Rough: rough},
			Spread: load.Spread{Host: netip.MustParseAddr(namespaceServer), FirstPort: namespacePort,
				PerPort: 50_000, Connections: connections}},
	}
}

// 50,000 connections over a network that loses and reorders packets get each
// message exactly once, and a socket of the kernel beside them does, too.
func TestFiftyThousandOverARoughNetwork(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	connections := 50_000
	if raceDetector {
		connections = 3000
	}
	pid := serveInNamespace(t, "--ping-interval", "10s")
	const messages = 3
	o := userSpaceOptions("saturate", connections, usertcp.Roughness{Lose: 0.01, Repeat: 0.01, Reorder: 0.05})
	o.Messages, o.Duration, o.InFlight, o.ServerPID = messages, 0, 2, pid
	ctx, cancel := context.WithTimeout(t.Context(), namespaceMax)
	defer cancel()
	result, err := Run(ctx, o)
	if err != nil || result.Fault != "" {
		t.Fatalf("%v; %s", err, words(result))
	}
	t.Logf("%s", words(result))
	u := result.UserSpace
	if len(result.Streams) != 2 || u == nil || u.Sample != o.Sample || u.Connections != connections-o.Sample {
		t.Fatalf("%d streams, %+v", len(result.Streams), u)
	}
	for i, listeners := range []int{u.Connections, u.Sample} {
		s := result.Streams[i]
		if s.Listeners != listeners || s.Delivered != uint64(messages*listeners) || s.Expected != s.Delivered ||
			s.Lost+s.Duplicated+s.OutOfOrder+s.Corrupt != 0 {
			t.Errorf("%+v", s)
		}
	}
	// The network was as rough as it was to be.
	if u.ServerRetransmitted == 0 || u.Retransmitted == 0 || u.OutOfOrder == 0 || u.Repeated == 0 {
		t.Errorf("nothing happened to the packets: %+v", u)
	}
	if c := result.Connections; c.Pings == 0 || c.Pings != c.Pongs {
		t.Errorf("%d pings, %d pongs", c.Pings, c.Pongs)
	}
}

func words(r *report.Result) string {
	var b strings.Builder
	report.Text(&b, r)
	return b.String()
}

// All scenarios work on ends in user space, with one queue or with several.
func TestEveryScenarioInUserSpace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	serveInNamespace(t)
	for i, name := range slices.Sorted(maps.Keys(plans)) {
		if name == "posts" { // its connections are HTTP's, of the kernel
			continue
		}
		t.Run(name, func(t *testing.T) {
			o := scenarioInUserSpace(name, 1+i%2*2)
			if name == "disconnect" {
				o.Load.UserSpace.Rough.Lose = 0 // nobody sends a reset again: the next ping would find out
			}
			runInUserSpace(t, o)
		})
	}
	t.Run("fanout over events", func(t *testing.T) {
		o := scenarioInUserSpace("fanout", 2)
		var err error
		if o.Load.Dialect, err = load.DialectOf("events"); err != nil {
			t.Fatal(err)
		}
		runInUserSpace(t, o)
	})
	t.Run("disconnect, with goodbyes that are lost", func(t *testing.T) {
		o := scenarioInUserSpace("disconnect", 2)
		o.Reset = false
		runInUserSpace(t, o)
	})
}

func scenarioInUserSpace(name string, queues int) Options {
	o := userSpaceOptions(name, 700, usertcp.Roughness{Lose: 0.005, Reorder: 0.02})
	o.Load.UserSpace.Queues = queues
	o.Load.UserSpace.AckDelay = time.Duration(queues-1) * 5 * time.Millisecond
	if name != "unicast" {
		o.Load.Channel = name
	}
	if name == "connect" {
		o.Hold = 100 * time.Millisecond
	}
	return o
}

func runInUserSpace(t *testing.T, o Options) {
	ctx, cancel := context.WithTimeout(t.Context(), namespaceMax)
	defer cancel()
	result, err := Run(ctx, o)
	open := o.Load.Spread.Connections
	if d := result.Disconnect; d != nil {
		open = o.Sample + o.Probes
		if d.Ended != o.Load.Spread.Connections-open || d.Stayed != open || d.LetGoSeconds <= 0 {
			t.Errorf("%+v", d)
		}
	}
	if err != nil || result.Fault != "" || result.Connections.Open != open {
		t.Fatalf("%v; %s", err, words(result))
	}
	if u := result.UserSpace; u == nil || u.Queues != o.Load.UserSpace.Queues || u.Sample != 100 || u.AckMillis != float64(5*(u.Queues-1)) {
		t.Errorf("%+v", u)
	}
	for _, s := range result.Streams {
		if s.Published == 0 || s.Delivered == 0 || s.Delivered != s.Expected {
			t.Errorf("%+v", s)
		}
	}
}
