package scenario

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"c10m/bench/load"
	"c10m/bench/load/loadtest"
	"c10m/bench/report"
	"c10m/internal/child"
	"c10m/internal/patience"
)

// TestMain lets four tests run at a time, on any host: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "4")
	os.Exit(m.Run())
}

const connections = 200

// options are small ones for a scenario.
func options(name string, port int, bus string) Options {
	return Options{
		Name: name, Bus: bus, Bytes: 100, Duration: 200 * time.Millisecond, Rate: 50,
		ProbeRate: 500, Probes: 5, InFlight: 4,
		Jitter: 100 * time.Millisecond, Reset: true, ChurnRate: 100, Patience: 500 * time.Millisecond,
		Baseline: 100 * time.Millisecond, Within: patience.Guard, hostUsed: memories(100, 200, 100),
		Load: load.Config{Retries: 3, Loops: 2, HandshakeTimeout: patience.Guard,
			Spread: load.Spread{Host: netip.MustParseAddr("127.0.0.1"),
				FirstPort: port, PerPort: 50_000, Connections: connections}},
	}
}

func runScenario(t *testing.T, o Options) (*report.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	result, err := Run(ctx, o)
	if result == nil {
		t.Fatal(err)
	}
	return result, err
}

// startServer runs the real one.
func startServer(t *testing.T) (port int, bus string, pid int) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "10m-server")
	if out, err := exec.Command("go", "build", "-o", program, "c10m").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ports, err := child.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	address := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	server, err := child.Start(exec.Command(program, "--listen", address(0), "--bus-listen", address(1), "--admin", address(2)), child.Kill)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	for i := range 2 {
		if err := server.AwaitListener(ctx, address(i)); err != nil {
			t.Fatal(err)
		}
	}
	return ports[0], address(1), server.PID
}

// What a correct server gives: everything that is due, once.
func checkComplete(t *testing.T, o *Options, r *report.Result) {
	t.Helper()
	c := &r.Connections
	open := connections
	if o.Name == "disconnect" {
		open = o.Probes
	}
	if c.Wanted != connections || c.Opened < connections || c.Open != open || c.GaveUp != 0 || c.Latency.Count != connections ||
		c.Seconds <= 0 || c.PerSecond <= 0 {
		t.Errorf("connections %+v", c)
	}
	streams := map[string]int{"connect": 0, "mixed": 2}
	wanted, known := streams[o.Name]
	if !known {
		wanted = 1
	}
	if len(r.Streams) != wanted || len(r.Samples) == 0 {
		t.Errorf("%d streams, %d samples", len(r.Streams), len(r.Samples))
	}
	listeners := 0
	for _, s := range r.Streams {
		checkStream(t, o, &s)
		listeners += s.Listeners
	}
	if wanted > 0 && listeners != open {
		t.Errorf("%d connections listen", listeners)
	}
	if (r.Storm != nil) != (o.Name == "storm") || (r.Churn != nil) != (o.Name == "churn") {
		t.Errorf("storm %v, churn %v", r.Storm, r.Churn)
	}
	if (r.Disconnect != nil) != (o.Name == "disconnect") {
		t.Errorf("disconnect %v", r.Disconnect)
	}
	if d := r.Disconnect; d != nil && (d.Ended != connections-o.Probes || d.Stayed != o.Probes || d.LetGoSeconds <= 0 || d.Held != 0 ||
		d.Unknown != "" || d.MemorySeconds < d.LetGoSeconds || d.Server.Before == 0 || d.Server.Connected == 0 || d.Server.End == 0 ||
		d.Latency.Count >= r.Streams[0].Delivered) {
		t.Errorf("disconnect %+v", d)
	}
	if s := r.Storm; s != nil && (s.Dropped != connections || s.RecoverySeconds <= 0 ||
		s.ServedSeconds < s.RecoverySeconds/2 || s.Latency.Count != connections) {
		t.Errorf("storm %+v", s)
	}
	if c := r.Churn; c != nil && (c.Disconnected == 0 || c.Disconnected != c.Reconnected || c.Latency.Count != c.Reconnected) {
		t.Errorf("churn %+v", c)
	}
}

func checkStream(t *testing.T, o *Options, s *report.Stream) {
	t.Helper()
	if s.Published == 0 || s.Delivered == 0 || s.Delivered != s.Expected || s.Lost+s.Duplicated+s.OutOfOrder+s.Corrupt != 0 ||
		s.Latency.Count != s.Delivered || s.Seconds <= 0 || s.PerSecond <= 0 || len(s.Curve) == 0 {
		t.Errorf("stream %+v", s)
	}
	subscribers := map[string]int{"fanout": connections, "unicast": 1}[s.Name]
	if o.Name == "mixed" && s.Name == "fanout" {
		subscribers -= o.Probes
	}
	static := o.Name != "storm" && o.Name != "churn"
	if s.Subscribers != subscribers || static && s.Expected != s.Published*uint64(subscribers) {
		t.Errorf("%d subscribers, %d of %d messages are due", s.Subscribers, s.Expected, s.Published)
	}
	if s.Corrected == (o.Name == "saturate") || s.InFlight > 0 != (o.Name == "saturate") {
		t.Errorf("corrected %v, in flight %d", s.Corrected, s.InFlight)
	}
}

func TestEveryScenario(t *testing.T) {
	port, bus, pid := startServer(t)
	for name := range plans {
		if name == "posts" { // TestPosts: who posts is no subscriber, and its server lets clients publish
			continue
		}
		t.Run(name, func(t *testing.T) {
			if name != "disconnect" { // whose probes have the channels of those of mixed
				t.Parallel()
			}
			o := options(name, port, bus)
			o.ServerPID = pid
			if name != "unicast" {
				o.Load.Channel = name // nobody else's, on this server
			}
			if name == "connect" || name == "fanout" {
				o.Hold = 100 * time.Millisecond
			}
			result, err := runScenario(t, o)
			if err != nil || result.Fault != "" {
				t.Fatalf("%v; %s", err, result.Fault)
			}
			checkComplete(t, &o, result)
			if result.Usage.ServerResident == 0 || result.Usage.HostCoresMax == 0 && name != "connect" {
				t.Errorf("usage %+v", result.Usage)
			}
		})
	}
	for name, dialect := range map[string]string{"fanout": "events", "churn": "events", "storm": "c10m.v1", "unicast": "c10m.v1"} {
		t.Run(name+" over "+dialect, func(t *testing.T) {
			t.Parallel()
			o := options(name, port, bus)
			if o.Load.Channel = dialect + " " + name; name == "unicast" {
				o.Load.Channel += "/%d"
			}
			var err error
			if o.Load.Dialect, err = load.DialectOf(dialect); err != nil {
				t.Fatal(err)
			}
			result, err := runScenario(t, o)
			if err != nil || result.Fault != "" {
				t.Fatalf("%v; %s", err, result.Fault)
			}
			checkComplete(t, &o, result)
		})
	}
}

// faults are what one wrong delivery has to look like.
var faults = map[string]struct {
	kind                        loadtest.Kind
	lost, duplicated, disorders uint64
}{
	"lost":       {loadtest.Lose, 1, 0, 0},
	"duplicated": {loadtest.Duplicate, 0, 1, 0},
	"reordered":  {loadtest.Reorder, 0, 0, 1},
}

// Every scenario finds one delivery that is lost, made twice or out of order.
func TestEveryScenarioFindsOneFault(t *testing.T) {
	for name, p := range plans {
		if !p.publishes {
			continue
		}
		for what, fault := range faults {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				f := loadtest.Fault{Kind: fault.kind, Deliveries: 20}
				switch name {
				case "mixed", "disconnect":
					f.Channel = "probe/"
				case "storm":
					// The connection has to stay, and to be known as open, so
					// that the message is due.
					f.Upgrades, f.Deliveries = 2*connections, 4*connections
				case "churn":
					f.Count = 5 // not all of the five leave before the next message
				}
				s := loadtest.Start(t, f)
				o := options(name, s.Port, s.Bus)
				if name == "unicast" {
					o.Load.Spread.Connections, o.Rate = 10, 1000
				}
				result, err := runScenario(t, o)
				if (err != nil) != (name == "saturate" && what == "lost") {
					t.Error(err)
				}
				checkFound(t, result, s.Injected(), fault.lost, fault.duplicated, fault.disorders)
			})
		}
	}
}

// checkFound wants the fault in the counts of the streams, and in words.
func checkFound(t *testing.T, r *report.Result, injected int, lost, duplicated, disorders uint64) {
	t.Helper()
	var l, d, o uint64
	for _, s := range r.Streams {
		l, d, o = l+s.Lost, d+s.Duplicated, o+s.OutOfOrder
		if s.Expected != s.Delivered+s.Lost {
			t.Errorf("expected %d, delivered %d, lost %d", s.Expected, s.Delivered, s.Lost)
		}
	}
	exact := injected == 1 && l == lost && d == duplicated && o == disorders
	several := injected > 1 && l+d+o >= 1 && l+d+o <= uint64(injected) && (l > 0) == (lost > 0) && (d > 0) == (duplicated > 0)
	if !exact && !several || r.Fault == "" {
		t.Errorf("%d injected; lost %d, duplicated %d, out of order %d; fault %q", injected, l, d, o, r.Fault)
	}
}

// Messages that are lost at the end, with none behind them to tell, are
// counted exactly.
func TestLostTail(t *testing.T) {
	for _, name := range []string{"fanout", "unicast", "mixed", "storm", "disconnect"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := loadtest.Fault{Kind: loadtest.LoseTail, Deliveries: 50, Count: 1}
			if name == "storm" {
				f.Upgrades, f.Deliveries = 2*connections, 4*connections
			}
			s := loadtest.Start(t, f)
			o := options(name, s.Port, s.Bus)
			if name == "unicast" {
				o.Load.Spread.Connections, o.Rate = 10, 500
			}
			result, err := runScenario(t, o)
			lost := uint64(0)
			for _, stream := range result.Streams {
				lost += stream.Lost
			}
			if err != nil || lost == 0 || lost != uint64(s.Injected()) {
				t.Errorf("%v; %d of %d lost; %s", err, lost, s.Injected(), result.Fault)
			}
		})
	}
}

// connect takes others' messages, and says so if too few of them come.
func TestConnectExpects(t *testing.T) {
	t.Parallel()
	s := loadtest.Start(t, loadtest.Fault{})
	o := options("connect", s.Port, s.Bus)
	o.Expect, o.Hold = 2, 300*time.Millisecond
	result, err := runScenario(t, o)
	if err != nil || !strings.Contains(result.Fault, "0 of 200 connections have got the 2 messages") {
		t.Errorf("%v; %s", err, result.Fault)
	}
	o.Hold = 0
	bus, err := load.DialBus(s.Bus, "")
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	published := false
	o.Progress = func(_ *report.Sample, snapshot *load.Snapshot) {
		if snapshot.Open == connections && !published {
			published = true
			for n := range uint64(2) {
				bus.Publish("news", load.AppendStamped(nil, n+1, load.Nanos(), 64))
			}
		}
	}
	result, err = runScenario(t, o)
	if err != nil || result.Fault != "" || len(result.Streams) != 1 || result.Streams[0].Delivered != 2*connections {
		t.Errorf("%v; %s; %+v", err, result.Fault, result.Streams)
	}
}

// What cannot work is refused in a sentence that names the flag.
func TestOptions(t *testing.T) {
	for wanted, change := range map[string]func(*Options){
		"no scenario":          func(o *Options) { o.Name = "dance" },
		"--size":               func(o *Options) { o.Bytes = load.StampBytes - 1 },
		"--duration":           func(o *Options) { o.Duration = 0 },
		"--messages-rate":      func(o *Options) { o.Rate = 0 },
		"--churn-rate":         func(o *Options) { o.Name, o.ChurnRate = "churn", 0 },
		"--probe-rate":         func(o *Options) { o.Name, o.ProbeRate = "mixed", 0 },
		"--probes":             func(o *Options) { o.Name, o.Probes = "mixed", 101 },
		"--baseline":           func(o *Options) { o.Name, o.Baseline = "disconnect", -1 },
		"--within":             func(o *Options) { o.Name, o.Within = "disconnect", -1 },
		"--sample is 1;":       func(o *Options) { o.Sample = 1; o.Load.Spread.Connections = 1 },
		"--sample is for":      func(o *Options) { o.Sample = 1 },
		"cannot reach the bus": func(o *Options) { o.Bus = "127.0.0.1:1" },
	} {
		o := options("fanout", 1, "127.0.0.1:1")
		change(&o)
		if result, err := Run(t.Context(), o); result != nil || err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s: %v", wanted, err)
		}
	}
	if ChannelDefault("unicast") != "own/%d" || ChannelDefault("fanout") != "news" {
		t.Error("default channels")
	}
	o := options("mixed", 1, "")
	for connections, probes := range map[int]int{50: 1, 20_000: 200, 1_000_000: 1000} {
		o.Probes, o.Load.Spread.Connections = 0, connections
		if _, err := o.prepare(); err != nil || o.Probes != probes {
			t.Errorf("%d probes of %d, %v", o.Probes, connections, err)
		}
	}
}

// A run that is interrupted says what it saw.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := loadtest.Start(t, loadtest.Fault{})
	ctx, cancel := context.WithCancel(t.Context())
	o := options("fanout", s.Port, s.Bus)
	o.Duration = patience.Guard
	o.Progress = func(sample *report.Sample, _ *load.Snapshot) {
		if sample.Phase == "measuring" {
			cancel()
		}
	}
	result, err := Run(ctx, o)
	if err != nil || result.Fault != "" || len(result.Streams) != 1 || result.Streams[0].Delivered == 0 {
		t.Errorf("%v; %+v", err, result)
	}
	if len(result.Samples) < 2 || fmt.Sprint(result.Host) == "" {
		t.Errorf("%d samples", len(result.Samples))
	}
}
