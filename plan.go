package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"

	"c10m/bus"
	"c10m/channel"
	"c10m/conn"
	"c10m/conn/pages"
	"c10m/internal/cli"
	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/redisbus"
	"c10m/tuning"
	"c10m/web"

	"go.uber.org/zap"
)

// A plan is what the flags come to on this host.
type plan struct {
	listen         []poller.Address
	sockets        epoll.Config
	maxConnections int
	limiting       string // what set maxConnections if no flag did
	warnings       []string
	conn           conn.Config
	uplink         *bus.Uplink        // nil if clients may not publish
	queues         []*bus.UplinkQueue // of what they publish, in the order of the loops
}

// refusalsMax of the descriptors that tuning keeps back (256 in each table) are
// for newcomers who are told with 503 that the server is full. The rest is the
// bus's and the admin pages', whatever the newcomers do.
const refusalsMax = 100

func newPlan(f *serveFlags, log *zap.Logger) (*plan, error) {
	f.openDemo()
	if err := f.readPasswords(); err != nil {
		return nil, err
	}
	p := &plan{maxConnections: f.MaxConnections}
	if err := p.planSockets(f); err != nil {
		return nil, err
	}
	tokens, err := f.tokens()
	if err != nil {
		return nil, err
	}
	p.conn = conn.Config{
		Tokens: tokens,
		History: channel.NewHistory(channel.HistoryConfig{
			Messages: f.History, Age: f.HistoryAge, BytesTotal: int(f.HistoryBytes),
		}),
		Pages:           f.pages(),
		Refusals:        refusals(log),
		PingInterval:    f.PingInterval,
		ConnectionsMax:  int64(p.maxConnections),
		RequestBytesMax: int(f.RequestBytes),
		Channel: channel.Config{
			LogBytes:      int(f.LogBytes),
			LogAge:        f.WriteDeadline,
			LogBytesTotal: max(int(f.LogBytesTotal)/p.sockets.Loops, int(f.LogBytes)),
			Skip:          f.Slow == "skip",
			Pace:          &channel.Pace{},
		},
	}
	p.planPublish(f, log)
	if p.conn.Access, err = f.Access.access(p.sockets.DescriptorsMax, p.sockets.PrivateFDTables); err != nil {
		return nil, err
	}
	return p, nil
}

// prepare makes the plan, logs what is wrong with this host, and returns the errors that
// would end the server after its listeners are open.
func (f *serveFlags) prepare(warnings []string, log *zap.Logger) (*plan, error) {
	p, err := newPlan(f, log)
	if err != nil {
		return nil, err
	}
	for _, warning := range append(warnings, p.warnings...) {
		log.Warn(warning)
	}
	if err := f.checkAddresses(); err != nil {
		return nil, err
	}
	if warning := f.sharedPortsWarning(p.listen); warning != "" {
		log.Warn(warning)
	}
	return p, nil
}

// planSockets decides how the connections' descriptors are held.
func (p *plan) planSockets(f *serveFlags) (err error) {
	if p.listen, err = addressesOf(f.Listen); err != nil {
		return err
	}
	nofile, err := tuning.RaiseNofile()
	if err != nil {
		return fmt.Errorf("cannot raise the limit of open files: %w", err)
	}
	host := tuning.ThisHost()
	want := tuning.Want{Connections: f.MaxConnections, Ports: len(p.listen), Listen: portsOf(p.listen), Loops: f.Loops, FDTables: f.FDTables}
	if want.Connections == 0 {
		// Nobody asked for more than one table holds, so no loops are added
		// for more: the tables and their listeners would cost memory for
		// connections that may never come.
		if want.FDTables == tuning.FDAuto {
			want.FDTables = tuning.FDShared
		}
		if want.Loops == 0 {
			want.Loops = runtime.NumCPU()
		}
		p.maxConnections, p.limiting = tuning.DefaultMaxConnections(host, want)
		want.Connections = p.maxConnections
	}
	fds, err := tuning.Plan(host, want)
	if err != nil {
		return err
	}
	cpus, unbound, err := tuning.CPUs(f.Pin, fds, host.Cores)
	if err != nil {
		return err
	}
	p.sockets = epoll.Config{
		Loops: fds.Loops, Lanes: fds.Lanes, CPUs: cpus, PrivateFDTables: fds.Private,
		DescriptorsMax: nofile.Hard, TableConnectionsMax: fds.PerLoopMax + refusalsMax,
		Listen: epoll.Listeners(conn.TagHTTP, p.listen...), AcceptRate: f.AcceptRate,
		Options: epoll.ListenOptions{
			WriteDeadline: f.WriteDeadline, SendBufferBytes: int(f.SendBuffer), DeferAccept: f.DeferAccept,
		},
	}
	if p.warnings = tuning.Warnings(host, want); unbound != "" {
		p.warnings = append(p.warnings, unbound)
	}
	return nil
}

// demoHistory is how many messages of a channel --demo keeps: enough for a page that
// looks on while its server's network goes and comes.
const demoHistory = 100

// openDemo makes the demo work out of the box.
func (f *serveFlags) openDemo() {
	if !f.Demo {
		return
	}
	f.Publish = "own"
	if f.History == 0 {
		f.History = demoHistory
	}
}

func (f *serveFlags) pages() []pages.Page {
	own := web.Module()
	if f.Demo {
		own = append(own, web.Demo()...)
	}
	served := make([]pages.Page, len(own))
	for i, page := range own {
		served[i] = pages.Page(page)
	}
	return served
}

// publishBytesTotal bounds what clients have published and the bus has not
// taken, over all loops; and as much again what they have published in part.
const publishBytesTotal = 64 << 20

// planPublish sets up the way of what clients say to the bus, if they may, and of
// who comes and leaves.
func (p *plan) planPublish(f *serveFlags, log *zap.Logger) {
	bytesMax := max(publishBytesTotal/p.sockets.Loops, 2*int(f.MessageBytes))
	p.conn.PublishBytesMax, p.conn.InboundBytesTotal = int(f.MessageBytes), bytesMax
	if f.Publish == "off" && !f.Presence {
		return
	}
	p.uplink = bus.NewUplink(bytesMax, log)
	if f.Publish != "off" {
		p.conn.NewPublisher = func(feedback channel.Feedback) channel.Publisher {
			queue := p.uplink.Queue(feedback)
			p.queues = append(p.queues, queue)
			return queue
		}
	}
	if f.Presence {
		p.conn.NewPresence = func(feedback channel.Feedback) channel.Publisher { return p.uplink.Queue(feedback) }
		p.conn.Channel.Presence = true
	}
}

func (f *serveFlags) hub(p *plan) channel.HubConfig {
	config := conn.HubConfig(f.frameMode(), int(f.MessageBytes), poller.Now)
	config.History = p.conn.History
	return config
}

// greet prints where to connect and how to publish; to programs it is logged.
func (f *serveFlags) greet(p *plan, driver bus.Bus, log *zap.Logger) {
	var text strings.Builder
	f.greeting(&text, p, driver)
	if f.LogFormat == "json" {
		log.Info("serving", zap.String("version", cli.Version()), zap.String("greeting", text.String()))
		return
	}
	os.Stdout.WriteString(text.String()) // at once: who sees the begin of it sees all
}

func (f *serveFlags) greeting(w io.Writer, p *plan, driver bus.Bus) {
	tables := "one descriptor table"
	if p.sockets.PrivateFDTables {
		tables = "a descriptor table each"
	}
	limiting := "--max-connections"
	if p.limiting != "" {
		limiting = p.limiting
	}
	first := p.listen[0]
	host := first.Addr().String()
	if first.Addr().IsUnspecified() {
		host = "127.0.0.1"
	} else if first.Addr().Is6() {
		host = "[" + host + "]"
	}
	fmt.Fprintf(w, "10m-server: up to %s (%s), %s with %s\n", cli.Count(p.maxConnections, "connection"), limiting, cli.Count(p.sockets.Loops, "loop"), tables)
	fmt.Fprintf(w, "  connect:   ws://%s:%d/news   (the path is the channel; %s, first %d)\n", host, first.Port(), cli.Count(len(p.listen), "port"), first.Port())
	if embedded, ok := driver.(*redisbus.Embedded); ok {
		fmt.Fprintf(w, "  publish:   redis-cli%s PUBLISH news hello\n", cliOptions(embedded.Addr().String(), f.BusPassword != ""))
	} else {
		fmt.Fprintf(w, "  publish:   redis-cli PUBLISH news hello   (at the Redis of --bus)\n")
	}
	if tokens := p.conn.Tokens; tokens != nil {
		fmt.Fprintf(w, "  access:    by token (keys: %d; SIGHUP reads them again)\n", tokens.Keys())
	} else {
		fmt.Fprintf(w, "  access:    everybody may subscribe to everything; --token-key asks for tokens\n")
	}
	if f.Demo {
		fmt.Fprintf(w, "  demo:      http://%s:%d/-/demo\n", host, first.Port())
	}
	if f.Admin != "off" {
		password := ""
		if f.AdminPassword != "" {
			password = " -u admin:PASSWORD"
		}
		fmt.Fprintf(w, "  look:      http://%s/operator/   (in a browser)\n", f.Admin)
		fmt.Fprintf(w, "             curl%s http://%s/metrics   (also /healthz, /readyz, /livez)\n", password, f.Admin)
	}
}

// cliOptions is what redis-cli has to be told to find the bus at address.
func cliOptions(address string, password bool) (options string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	if host != "127.0.0.1" && host != "0.0.0.0" && host != "::" {
		options += " -h " + host
	}
	if port != "6379" {
		options += " -p " + port
	}
	if password {
		options += " -a PASSWORD"
	}
	return options
}
