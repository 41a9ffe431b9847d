package scenario

import (
	"bufio"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"c10m/bench/load"
	"c10m/bench/proc"
	"c10m/bench/report"
)

// Host describes where the client runs, with as many loops as it has.
func Host(loops int, privateTables bool) report.Host {
	h := report.Host{Cores: runtime.NumCPU(), Go: runtime.Version(), Loops: loops,
		PrivateFDs: privateTables, Processor: processor()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		h.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		h.NofileHard = limit.Max
	}
	if memory, err := proc.HostMemory(); err == nil {
		h.MemoryBytes = memory.Total
	}
	return h
}

// processor is the first model name of proc_cpuinfo(5).
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// connected notes how the first round of connects went.
func (r *run) connected(s *load.Snapshot) {
	c := &r.result.Connections
	c.Seconds = time.Since(r.started).Seconds()
	if s.GaveUp == 0 && s.OpenedAtNanos > 0 {
		// Exact, where the look at the counters is up to 50 ms late.
		c.Seconds -= float64(load.Nanos()-s.OpenedAtNanos) / 1e9
	}
	c.PerSecond = float64(s.Opened-s.Returned) / max(c.Seconds, 1e-9)
	now, u := readUsage(r.options.ServerPID), &r.result.Usage
	u.ServerBefore, u.ServerResident, u.ClientResident = r.before.serverBytes, now.serverBytes, now.clientBytes
	if s.Open == 0 {
		return
	}
	per := func(now, before uint64) float64 { return (float64(now) - float64(before)) / float64(s.Open) }
	if u.ServerBefore > 0 && u.ServerResident > 0 {
		u.ServerPerConn = per(u.ServerResident, u.ServerBefore)
	}
	u.HostPerConn = per(now.hostBytes, r.before.hostBytes)
	u.KernelPerConn = per(now.kernelBytes, r.before.kernelBytes)
}

// Connections fills in what is known at the end only.
func Connections(c *report.Connections, s *load.Snapshot) {
	c.Wanted, c.Opened, c.Open, c.GaveUp, c.Retries = s.Wanted, s.Opened, s.Open, s.GaveUp, s.Retries
	c.Latency = s.Connects.Summary()
	c.Failures, c.Closes, c.Dropped, c.Broken = s.Failures, s.Closes, s.Dropped, s.Broken
	c.Problem, c.Pings, c.Pongs = s.Problem, s.Pings, s.Pongs
}

// returns fills in how those connected that came back.
func (r *run) returns(s *load.Snapshot) {
	if r.result.Storm != nil {
		r.result.Storm.Latency = s.Reconnects.Summary()
	}
	if r.result.Churn != nil {
		r.result.Churn.Latency = s.Reconnects.Summary()
	}
}

// streams makes a Stream of each publisher, of the closed loop, or of what
// others published.
func (r *run) streams(s *load.Snapshot) {
	for _, p := range r.publishers {
		stream := r.stream(p.name, p.to, p.begun)
		stream.Rate, stream.Late, stream.Corrected = p.rate, p.late, true
		r.result.Streams = append(r.result.Streams, stream)
		r.sampleStream(p.name, &stream)
	}
	switch {
	case r.drive != nil:
		name := "fanout"
		if r.main().OwnChannels() {
			name = "unicast"
		}
		stream := r.stream(name, r.main(), r.driveBegun)
		stream.InFlight = max(r.options.InFlight, 1)
		r.result.Streams = append(r.result.Streams, stream)
		r.sampleStream(name, &stream)
	case !r.plan.publishes && s.Stamped > 0:
		r.result.Streams = append(r.result.Streams, r.received(s))
	}
}

// sampleName is added to the name of a stream.
const sampleName = ", kernel sockets"

// sampleStream adds what the sample saw of the messages to everybody: the same
// messages, at the kernel's sockets.
func (r *run) sampleStream(name string, of *report.Stream) {
	kernel := r.parties.of(sample)
	if kernel == nil || kernel.OwnChannels() || name != "fanout" {
		return
	}
	stream := r.stream(name+sampleName, kernel, r.begun())
	stream.Rate, stream.Late, stream.Corrected, stream.InFlight = of.Rate, of.Late, of.Corrected, of.InFlight
	r.result.Streams = append(r.result.Streams, stream)
}

// begun is when the first message to everybody was due.
func (r *run) begun() int64 {
	if r.drive != nil {
		return r.driveBegun
	}
	return r.publishers[0].begun
}

// stream is what is known of a party.
func (r *run) stream(name string, to *party, begun int64) report.Stream {
	s := &to.seen
	stream := report.Stream{
		Name:         name,
		PayloadBytes: r.options.Bytes,
		Subscribers:  to.subscribers,
		Listeners:    to.subscribers,
		Published:    to.Published(),
		Delivered:    s.Delivered(),
		Expected:     s.Delivered() + s.Lost,
		Lost:         s.Lost,
		Duplicated:   s.Duplicated,
		OutOfOrder:   s.OutOfOrder,
		Corrupt:      s.Corrupt,
		Latency:      s.Latencies.Summary(),
		Curve:        curve(&s.Latencies),
	}
	if to.OwnChannels() {
		stream.Subscribers = min(1, stream.Subscribers)
	}
	if s.LastAtNanos > begun {
		stream.Seconds = float64(s.LastAtNanos-begun) / 1e9
		stream.PerSecond = float64(stream.Delivered) / stream.Seconds
	}
	if due := stream.Published * uint64(stream.Subscribers); r.static && stream.Expected != due {
		r.fault("%d deliveries of %s are accounted for, and %d were due", stream.Expected, name, due)
	}
	return stream
}

// received is a stream of somebody else's.
func (r *run) received(s *load.Snapshot) report.Stream {
	return report.Stream{Name: "received", Subscribers: r.main().subscribers, Listeners: r.main().subscribers,
		Expected:  s.Delivered() + s.Lost,
		Delivered: s.Delivered(), Lost: s.Lost, Duplicated: s.Duplicated,
		OutOfOrder: s.OutOfOrder, Corrupt: s.Corrupt,
		Latency: s.Latencies.Summary(), Curve: curve(&s.Latencies)}
}

// A network is what this network namespace has sent up to a moment.
type network struct{ segments, again uint64 }

func readNetwork() (n network) {
	n.segments, n.again = proc.Segments()
	return n
}

// userSpace is about ends that are not the kernel's, if there are any.
func (r *run) userSpace() {
	seen, ok := r.main().UserSpace()
	if !ok {
		return
	}
	u := &report.UserSpace{
		Connections: r.main().Connections(), Queues: seen.Queues, AckMillis: millis(seen.AckDelay),
		Segments: seen.Received, Acks: seen.Acks, Retransmitted: seen.Retransmitted,
		OutOfOrder: seen.OutOfOrder, Repeated: seen.Repeated,
		DeviceDrops: proc.DeviceDrops(seen.Device),
	}
	if kernel := r.parties.of(sample); kernel != nil {
		u.Sample = kernel.Connections()
	}
	now := readNetwork()
	u.ServerSegments, u.ServerRetransmitted = now.segments-r.network.segments, now.again-r.network.again
	r.result.UserSpace = u
}

// usage is the cost of the measured part.
func (r *run) usage(s *load.Snapshot) {
	u, begin, end := &r.result.Usage, &r.measuring[0], &r.measuring[1]
	if seconds := end.at.Sub(begin.at).Seconds(); seconds > 0 && !begin.at.IsZero() {
		u.ClientCores = (end.client - begin.client) / seconds
		u.ServerCores = max(0, end.server-begin.server) / seconds
		u.HostCores = (end.host - begin.host) / seconds
	}
	u.ClientCoresMax, u.HostCoresMax = u.ClientCores, u.HostCores
	for _, sample := range r.result.Samples {
		switch sample.Phase {
		case "measuring", "storm", "disconnect":
		default:
			continue
		}
		u.ClientCoresMax = max(u.ClientCoresMax, sample.ClientCores)
		u.HostCoresMax = max(u.HostCoresMax, sample.HostCores)
	}
	u.ReadDelayP99Mill = millis(s.ReadDelay.Quantile(0.99))
	u.ClientTurnP99Mill = turnP99(s.Turns, r.turns)
}

// turnP99 is the upper end, in milliseconds, of the bucket of powers of two
// microseconds that holds the 99th percentile of the turns since before.
func turnP99(turns, before []uint64) float64 {
	total := uint64(0)
	since := make([]uint64, len(turns))
	for i, n := range turns {
		if since[i] = n; i < len(before) {
			since[i] -= before[i]
		}
		total += since[i]
	}
	seen := uint64(0)
	for i, n := range since {
		if seen += n; total > 0 && seen*100 >= total*99 {
			return float64(uint64(1)<<i) / 1000
		}
	}
	return 0
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// curvePercentiles are where a page draws points: denser towards the end.
var curvePercentiles = []float64{0, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 98, 99,
	99.25, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999, 100}

func curve(l *load.Latencies) (points []report.Point) {
	if l.Count() == 0 {
		return nil
	}
	for _, p := range curvePercentiles {
		points = append(points, report.Point{Percentile: p, Millis: millis(l.Quantile(p / 100))})
	}
	return points
}
