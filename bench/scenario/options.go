package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
)

// Options say what to run. The zero value of a field is its default.
type Options struct {
	Name    string   // of the scenario
	Command []string // for the Result
	// Load says whom to connect to and how. Publishes, FirstSequence and Expect
	// are set by Run.
	Load load.Config

	Bus         string // address of the Redis to publish through
	BusPassword string
	ServerPID   int // 0: unknown

	Expect int           // connect: messages for each connection; 0: any
	Hold   time.Duration // how long to stay connected at the end; connect: 0 is until ctx ends

	// Sample is how many of the connections are the kernel's where those of Load
	// are in user space.
	Sample int

	Bytes    int           // payload of a message
	Duration time.Duration // of the measured part; storm and disconnect: after it
	Rate     float64       // messages a second
	// ProbeRate is the rate of messages to the probes (mixed and disconnect).
	ProbeRate float64
	Probes    int // 0: 1000 or 1 %, whichever is less
	Messages  int // saturate: end after so many; 0: after Duration
	InFlight  int // saturate
	Depth     int // posts: requests under way on each connection

	Drop      int           // storm: how many; 0: all
	Jitter    time.Duration // storm
	Reset     bool          // storm, churn and disconnect: end connections with a RST
	ChurnRate float64       // churn: connections a second

	Baseline time.Duration // disconnect: of the messages before it
	// Within is how long the server may take to let go of those that ended (disconnect),
	// and the host's memory to be back; 0: 2 minutes, and 100 us for each connection.
	Within time.Duration

	// Patience is how long nothing may arrive while messages are missing until
	// they count as lost; 0: 3 s, and 10 s in saturate, which ends then.
	Patience time.Duration

	// Progress is called once a second, and at the end of a phase.
	Progress func(*report.Sample, *load.Snapshot)

	hostUsed func() uint64 // test seam: the host's memory
}

// A plan is a row of the table of scenarios.
type plan struct {
	publishes bool
	channel   string           // if not news; with %d each connection has its own
	rate      bool             // it publishes at a rate
	probes    bool             // some connections are measured apart
	after     bool             // what is measured goes on without --duration
	measure   func(*run) error // none: runPosts, which has no party
}

var plans = map[string]plan{
	"connect":    {measure: (*run).wait},
	"fanout":     {publishes: true, rate: true, measure: (*run).openLoop},
	"unicast":    {publishes: true, rate: true, channel: "own/%d", measure: (*run).openLoop},
	"mixed":      {publishes: true, rate: true, probes: true, measure: (*run).openLoop},
	"saturate":   {publishes: true, measure: (*run).saturate},
	"storm":      {publishes: true, rate: true, after: true, measure: (*run).storm},
	"churn":      {publishes: true, rate: true, measure: (*run).churn},
	"disconnect": {publishes: true, probes: true, after: true, measure: (*run).disconnect},
	"posts":      {channel: "posts-%d"},
}

// ChannelDefault is the channel of a scenario, with %d if each connection has
// its own.
func ChannelDefault(name string) string {
	return cmp.Or(plans[name].channel, "news")
}

// prepare checks the options and fills in what follows from the scenario.
func (o *Options) prepare() (plan, error) {
	p, known := plans[o.Name]
	if !known {
		return p, fmt.Errorf("there is no scenario %q", o.Name)
	}
	if o.Load.Channel == "" {
		o.Load.Channel = ChannelDefault(o.Name)
	}
	if p.measure == nil {
		return p, o.preparePosts()
	}
	o.Load.Publishes = p.publishes
	if o.hostUsed == nil {
		o.hostUsed = hostUsed
	}
	if !p.probes {
		o.Probes = 0
	}
	if o.Expect > 0 {
		o.Load.Expect, o.Load.FirstSequence = o.Expect, 1
	}
	if err := o.checkSample(); err != nil {
		return p, err
	}
	if !p.publishes {
		return p, nil
	}
	o.Bytes = max(o.Bytes, 0)
	if o.Bytes < load.StampBytes {
		return p, fmt.Errorf("--size is %d; a stamped payload has at least %d bytes", o.Bytes, load.StampBytes)
	}
	if o.Bytes > load.PayloadBytesMax {
		return p, fmt.Errorf("--size is %d; a server takes at most %d bytes", o.Bytes, load.PayloadBytesMax)
	}
	if o.Duration <= 0 && o.Messages <= 0 && !p.after {
		return p, fmt.Errorf("--duration is %v; say for how long to measure", o.Duration)
	}
	if p.rate && !(o.Rate > 0 && o.Rate <= rateMax) {
		return p, fmt.Errorf("--messages-rate is %v; it is above 0 and at most %.0f", o.Rate, float64(rateMax))
	}
	if o.Name == "churn" && !(o.ChurnRate > 0 && o.ChurnRate <= rateMax) {
		return p, fmt.Errorf("--churn-rate is %v; it is above 0 and at most %.0f", o.ChurnRate, float64(rateMax))
	}
	if o.Baseline < 0 || o.Within < 0 {
		return p, fmt.Errorf("--baseline is %v and --within %v; neither may be negative", o.Baseline, o.Within)
	}
	if p.probes {
		return p, o.prepareProbes()
	}
	return p, nil
}

// SampleDefault is how many sockets of the kernel run beside so many ends in
// user space.
func SampleDefault(connections int) int {
	return min(max(samplesMin, connections/samplesShare), connections/2)
}

func (o *Options) checkSample() error {
	if o.Sample < 0 || o.Sample > o.Load.Spread.Connections/2 {
		return fmt.Errorf("--sample is %d; at most half of the %d connections can be the kernel's", o.Sample, o.Load.Spread.Connections)
	}
	if o.Sample > 0 && o.Load.UserSpace == nil {
		return errors.New("--sample is for --tun; without it all connections are the kernel's")
	}
	return nil
}

// rateMax is a message a microsecond: what a latency can tell apart.
const rateMax = 1_000_000

func (o *Options) prepareProbes() error {
	if !(o.ProbeRate > 0 && o.ProbeRate <= rateMax) {
		return fmt.Errorf("--probe-rate is %v; it is above 0 and at most %.0f", o.ProbeRate, float64(rateMax))
	}
	connections := o.Load.Spread.Connections
	if o.Probes == 0 {
		o.Probes = min(probesMax, max(1, connections/probesShare))
	}
	if o.Probes < 0 || o.Probes > connections/2 {
		return fmt.Errorf("--probes is %d; at most half of the %d connections can be probes", o.Probes, connections)
	}
	return nil
}
