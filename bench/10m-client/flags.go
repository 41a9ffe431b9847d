package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"c10m/bench/load"
	"c10m/bench/scenario"
	"c10m/bench/usertcp"
)

// commonFlags are those of every scenario.
type commonFlags struct {
	Host        string `arg:"" help:"Name or address of the server."`
	Connections int    `arg:"" help:"How many connections to open."`

	FirstPort int    `group:"Where to" default:"10000" help:"The port of the first connections."`
	PerPort   int    `group:"Where to" default:"50000" help:"Connections to a port before the next port is taken. More spare the server listeners; a loopback client takes another source address of 127.0.0.0/8 every 12,500 (--bind explicit: 50,000)."`
	Channel   string `group:"Where to" placeholder:"NAME" help:"The channel to subscribe to (default: news; unicast: own/%d; posts, which publishes there: posts-%d). With %d in it, every connection has a channel of its own, with its number: more memory on the server."`
	Dialect   string `group:"Where to" default:"c10m" enum:"c10m,c10m.v1,centrifuge,events,nats,nchan" help:"How the server is spoken to. c10m: a WebSocket for each channel. c10m.v1: a WebSocket that subscribes with a command. events: server-sent events. The others are for comparisons with other servers."`
	Token     string `group:"Where to" env:"C10M_TOKEN" help:"Token that every connection shows (Authorization: Bearer), for a server with --token-key. Better in the environment, C10M_TOKEN, than on a command line that everybody sees."`
	Source    string `group:"Where to" placeholder:"ADDRESS,..." help:"Source addresses, for a host that is not loopback. One is needed for every 12,500 connections per port (--bind explicit: 50,000)."`

	Rate     int           `group:"Connecting" default:"0" help:"Connects per second; 0 is as fast as it goes, which a server that is busy with other things feels."`
	UnderWay int           `group:"Connecting" default:"0" help:"Handshakes under way per loop; more fill the server's accept queue, and a SYN that finds it full costs a second. 0 chooses 16 to 256 by the number of loops."`
	Bind     string        `group:"Connecting" default:"auto" enum:"auto,kernel,explicit" help:"Who chooses local ports. kernel: the kernel, 12,500 for each source address, since it searches longer the more it has given out. explicit: the client, 50,000 for each, from 12000 on, which connects up to a third faster and keeps everybody else on the host from connecting anywhere meanwhile. auto is kernel."`
	Timeout  time.Duration `group:"Connecting" default:"10s" help:"For connect and upgrade of one connection. Shorter finds a slow server sooner, and calls a busy one broken."`
	Retries  int           `group:"Connecting" default:"5" help:"How often a connection is tried again that was refused, reset or timed out, after 0.1 s, 0.2 s and so on. 10 at most; 0 shows every refusal."`

	Loops   int    `group:"Threads" default:"0" help:"Threads. 0 is one per core, or more if the hard limit of open files asks for more descriptor tables; more than cores cost switches."`
	Cores   string `group:"Threads" placeholder:"LIST" help:"Cores to bind the threads to, such as 0-3,8, in turns; as many threads as cores unless --loops says otherwise. It keeps client and server off each other's caches, and keeps the scheduler from helping a core that has too much to do."`
	Private bool   `group:"Threads" help:"A descriptor table for each loop even when one would do: no shared table lock."`

	TUN        bool          `group:"User space" name:"tun" help:"Keep the client's ends out of the kernel: a small TCP over a TUN device that the client makes, with HOST as the server's address there (198.18.0.1). 16 bytes each instead of 4 KB, so that one host shows what the server holds; but what a client's kernel costs does not show. Needs CAP_NET_ADMIN."`
	Sample     int           `group:"User space" default:"-1" placeholder:"N" help:"Connections of the kernel's beside those of --tun, measured apart. Default: 1 %, and at least 100. 0 leaves them out, and nothing says how far to trust the others."`
	TUNAck     time.Duration `group:"User space" name:"tun-ack" default:"0s" help:"How long an acknowledgement may wait for company, as clients' kernels do (40ms). 0 acknowledges each segment at once: more packets, and the server is never left to wonder."`
	TUNQueues  int           `group:"User space" name:"tun-queues" default:"1" help:"Queues of the device, each with a thread of its own. One keeps up with two of the server's processors."`
	TUNLoss    float64       `group:"User space" name:"tun-loss" placeholder:"SHARE" help:"Share of the packets to lose, both ways, such as 0.01: what a network does to clients, for tests."`
	TUNReorder float64       `group:"User space" name:"tun-reorder" placeholder:"SHARE" help:"Share of the packets that up to 16 others overtake."`
	TUNDevice  string        `group:"User space" name:"tun-device" default:"c10m%d" help:"Name of the device; %d is the first number that is free."`

	Print     bool          `group:"Result" help:"Print each distinct message of others once, with how many connections got it. Costs a hash of every payload."`
	JSON      bool          `group:"Result" name:"json" help:"Print the result as one JSON object, and nothing else, on standard output."`
	JSONFile  string        `group:"Result" name:"json-file" placeholder:"FILE" help:"Write the same object to a file, beside what is printed."`
	HTML      string        `group:"Result" name:"html" placeholder:"FILE" help:"Write the result as one self-contained page with plots."`
	Criteria  bool          `group:"Result" help:"Judge the run by the criteria of a social feed: all connected and subscribed, mean connect latency under 100 ms, mean latency of messages under 500 ms and level, all messages received. The exit status says whether all are met."`
	ServerPID int           `group:"Result" name:"server-pid" placeholder:"PID" help:"The server's process, if it is on this host: its memory and processor time become part of the result."`
	Hold      time.Duration `group:"Result" placeholder:"DURATION" help:"Stay connected this long after all else, to see what idling costs. connect without --hold and --expect stays until SIGINT."`
}

func (f *commonFlags) common() *commonFlags { return f }

// busFlags are those of scenarios that publish.
type busFlags struct {
	Bus         string        `group:"Messages" default:"127.0.0.1:6379" help:"Where to publish: the server's embedded bus, or the Redis that it listens to."`
	BusPassword string        `group:"Messages" env:"C10M_BUS_PASSWORD" help:"Password of the bus."`
	Size        int           `group:"Messages" default:"256" help:"Payload bytes of a message; at least 40. Beyond some hundred, a delivery costs what its bytes cost."`
	Duration    time.Duration `group:"Messages" default:"10s" help:"How long to publish (storm: after everybody is back; disconnect: after their memory is). Percentiles far out need many messages: p99.9 of one a second is its slowest sweep."`
}

func (f *busFlags) set(o *scenario.Options) {
	o.Bus, o.BusPassword, o.Bytes, o.Duration = f.Bus, f.BusPassword, f.Size, f.Duration
}

type connectFlags struct {
	commonFlags `embed:""`
	Expect      int `placeholder:"N" help:"End when every connection has got N messages, with status 0 if no connection got one lost, twice or broken. Stamped messages then have to begin with sequence 1."`
}

func (f *connectFlags) options(o *scenario.Options) { o.Name, o.Expect = "connect", f.Expect }

type fanoutFlags struct {
	commonFlags  `embed:""`
	busFlags     `embed:""`
	MessagesRate float64 `group:"Messages" default:"1" help:"Messages a second, each to everybody. At more than the host can deliver, latencies grow for as long as the run lasts."`
}

func (f *fanoutFlags) options(o *scenario.Options) {
	f.set(o)
	o.Name, o.Rate = "fanout", f.MessagesRate
}

type unicastFlags struct {
	commonFlags  `embed:""`
	busFlags     `embed:""`
	MessagesRate float64 `group:"Messages" default:"1000" help:"Messages a second, each to one connection."`
}

func (f *unicastFlags) options(o *scenario.Options) {
	f.set(o)
	o.Name, o.Rate = "unicast", f.MessagesRate
}

// probeFlags are those of scenarios that measure some connections apart.
type probeFlags struct {
	ProbeRate float64 `group:"Messages" default:"100" help:"Messages a second to probes, each to one. More make the percentiles steadier and take more from what the server does besides."`
	Probes    int     `group:"Messages" placeholder:"N" help:"Connections with a channel of their own; default: 1000 or 1 %, whichever is less."`
}

type mixedFlags struct {
	commonFlags  `embed:""`
	busFlags     `embed:""`
	MessagesRate float64 `group:"Messages" default:"1" help:"Messages a second to everybody but the probes. With more, small messages meet a sweep more often."`
	probeFlags   `embed:""`
}

func (f *mixedFlags) options(o *scenario.Options) {
	f.set(o)
	o.Name, o.Rate, o.ProbeRate, o.Probes = "mixed", f.MessagesRate, f.ProbeRate, f.Probes
}

type saturateFlags struct {
	commonFlags `embed:""`
	busFlags    `embed:""`
	Messages    int `group:"Messages" placeholder:"N" help:"Publish N messages, however long it takes, instead of --duration."`
	InFlight    int `group:"Messages" default:"1" help:"Messages under way at a time, up to 64. More let the server put several into one system call: more deliveries a second, longer latencies."`
}

func (f *saturateFlags) options(o *scenario.Options) {
	f.set(o)
	o.Name, o.Messages, o.InFlight = "saturate", f.Messages, f.InFlight
	if f.Messages > 0 {
		o.Duration = 0
	}
}

type stormFlags struct {
	commonFlags  `embed:""`
	busFlags     `embed:""`
	MessagesRate float64       `group:"Messages" default:"0.5" help:"Messages a second while the storm lasts. The time until everybody is served is known no better than to one of them; more of them take processors from the connects."`
	Drop         int           `group:"Storm" placeholder:"N" help:"How many connections end; default: all."`
	Jitter       time.Duration `group:"Storm" default:"10s" help:"Each comes back at a random moment of this time, as good clients do; 0 is as fast as it goes, as bad ones do."`
	Reset        bool          `group:"Storm" default:"true" negatable:"" help:"End with a RST, which leaves no TIME_WAIT behind. Without, the ports of those that left are taken for a minute, unless net.ipv4.tcp_tw_reuse lends them out."`
}

func (f *stormFlags) options(o *scenario.Options) {
	f.set(o)
	o.Name, o.Rate, o.Drop, o.Jitter, o.Reset = "storm", f.MessagesRate, f.Drop, f.Jitter, f.Reset
}

type churnFlags struct {
	commonFlags  `embed:""`
	busFlags     `embed:""`
	MessagesRate float64 `group:"Messages" default:"1" help:"Messages a second to everybody. More find more races between a message and those who come and go."`
	ChurnRate    float64 `group:"Churn" default:"100" help:"Connections a second that leave and come back at once. Half of them say goodbye, half just end."`
	Reset        bool    `group:"Churn" default:"true" negatable:"" help:"Those that just end do so with a RST, which leaves no TIME_WAIT behind."`
}

func (f *churnFlags) options(o *scenario.Options) {
	f.set(o)
	o.Name, o.Rate, o.ChurnRate, o.Reset = "churn", f.MessagesRate, f.ChurnRate, f.Reset
}

type disconnectFlags struct {
	commonFlags `embed:""`
	busFlags    `embed:""`
	probeFlags  `embed:""`
	Baseline    time.Duration `group:"Disconnect" default:"5s" help:"How long messages go to the probes before all others end: what their latencies are to be compared with."`
	Within      time.Duration `group:"Disconnect" placeholder:"DURATION" help:"How long the server may take to let go of all, which is a fault if it does not, and then the host to have their memory again, which is none. Default: 2 minutes, and 0.1 ms for each connection."`
	Reset       bool          `group:"Disconnect" default:"true" negatable:"" help:"End with a RST, as clients that die do. Without, they end with a FIN, and those of the kernel's wait in TIME_WAIT for a minute, with a part of their memory."`
}

func (f *disconnectFlags) options(o *scenario.Options) {
	f.set(o)
	o.Name, o.ProbeRate, o.Probes, o.Baseline, o.Within, o.Reset = "disconnect", f.ProbeRate, f.Probes, f.Baseline, f.Within, f.Reset
}

type postsFlags struct {
	commonFlags `embed:""`
	Depth       int           `group:"Messages" default:"1" help:"Requests that each connection has under way (pipelining), up to 1024. Pipelined ones share the server's reads and writes."`
	Size        int           `group:"Messages" default:"64" help:"Payload bytes of a message."`
	Duration    time.Duration `group:"Messages" default:"5s" help:"How long to count, after a second to warm up."`
}

func (f *postsFlags) options(o *scenario.Options) {
	o.Name, o.Depth, o.Bytes, o.Duration = "posts", f.Depth, f.Size, f.Duration
}

// scenario turns the common flags into options.
func (f *commonFlags) scenario() (scenario.Options, error) {
	o := scenario.Options{Command: withoutSecrets(os.Args), ServerPID: f.ServerPID, Hold: f.Hold}
	host, err := resolve(f.Host)
	if err != nil {
		return o, err
	}
	sources, err := load.ParseSources(f.Source)
	if err != nil {
		return o, err
	}
	dialect, err := load.DialectOf(f.Dialect)
	if err != nil {
		return o, err
	}
	binding, err := load.ParseBinding(f.Bind)
	if err != nil {
		return o, err
	}
	cores, err := parseCores(f.Cores)
	if err != nil {
		return o, err
	}
	o.Load = load.Config{
		Spread: load.Spread{Host: host, FirstPort: f.FirstPort, PerPort: f.PerPort,
			Sources: sources, Connections: f.Connections, Binding: binding},
		Channel:          f.Channel,
		Token:            f.Token,
		Dialect:          dialect,
		Rate:             f.Rate,
		UnderWay:         f.UnderWay,
		HandshakeTimeout: f.Timeout,
		Retries:          f.Retries,
		Print:            f.Print,
		Loops:            f.Loops,
		Cores:            cores,
		PrivateFDTables:  f.Private,
	}
	f.userSpace(&o)
	return o, nil
}

// withoutSecrets is a command line for the result, which others will see.
func withoutSecrets(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		name, _, hasValue := strings.Cut(arg, "=")
		switch {
		case name != "--token" && name != "--bus-password":
		case hasValue:
			args[i] = name + "=..."
		case i+1 < len(args):
			args[i+1] = "..."
		}
	}
	return args
}

// userSpace adds what --tun means.
func (f *commonFlags) userSpace(o *scenario.Options) {
	if !f.TUN {
		return
	}
	o.Load.UserSpace = &load.UserSpace{Queues: f.TUNQueues, AckDelay: f.TUNAck, Device: f.TUNDevice,
		Rough: usertcp.Roughness{Lose: f.TUNLoss, Reorder: f.TUNReorder}}
	o.Sample = f.Sample
	if f.Sample < 0 {
		o.Sample = scenario.SampleDefault(f.Connections)
	}
}

// resolve takes the first IPv4 address, or else the first of any kind.
func resolve(host string) (netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap(), nil
	}
	addresses, err := net.LookupIP(host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("cannot find the host %s: %w", host, err)
	}
	best := addresses[0]
	for _, a := range addresses {
		if a.To4() != nil {
			best = a
			break
		}
	}
	address, _ := netip.AddrFromSlice(best)
	return address.Unmap(), nil
}

// coresMax is what a cpu_set_t holds.
const coresMax = 1024

// parseCores reads a list such as 0-3,8 (cpuset(7), List format).
func parseCores(text string) (cores []int, err error) {
	if text == "" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.Atoi(first)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(last)
		}
		if err != nil || a < 0 || b < a || b >= coresMax {
			return nil, fmt.Errorf("--cores %s: %q is not a core or a range of cores; write a list such as 0-3,8", text, part)
		}
		for core := a; core <= b; core++ {
			cores = append(cores, core)
		}
	}
	return cores, nil
}
