// 10m-server holds millions of WebSockets and pushes to them what is published
// with redis-cli. This file wires the rooms and nothing else: flags.go has the
// flags, plan.go turns them into what this host can do.
package main

import (
	"os"
	"runtime"
	"sync/atomic"

	"c10m/admin"
	"c10m/bus"
	"c10m/channel"
	"c10m/conn"
	"c10m/internal/cli"
	"c10m/internal/signals"
	"c10m/poller"
	"c10m/tuning"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
)

func main() {
	f := flags{}
	parser := kong.Must(&f, kong.Name("10m-server"), kong.DefaultEnvars("C10M"),
		kong.Description("Holds millions of WebSockets and pushes to them what is published with redis-cli."), kong.Help(cli.Help))
	command := cli.Parse(parser, cli.Arguments(os.Args[1:], "serve"))
	exit(cli.ExitUsage, refuseEmpty(command.Flags()))
	if command.Command() == "doctor" {
		ok, err := tuning.Doctor(os.Stdout, f.Doctor.options())
		exit(cli.ExitCannot, err)
		if !ok {
			os.Exit(cli.ExitNo)
		}
		return
	}
	unknown := cli.Unknown(os.Environ(), append(cli.Variables(parser.Model), variablesOfOthers...))
	exit(cli.ExitCannot, serve(&f.Serve, unknown))
}

// exit ends the process with one sentence for the operator if there is an error.
func exit(status int, err error) {
	if err != nil {
		cli.Fail("10m-server", status, err)
	}
}

func serve(f *serveFlags, warnings []string) error {
	log, sampled := newLogger(f.LogFormat, f.LogLevel)
	defer log.Sync()
	plan, err := newPlan(f, log)
	if err != nil {
		return err
	}
	for _, warning := range append(warnings, plan.warnings...) {
		log.Warn(warning)
	}
	if err := f.checkAddresses(); err != nil {
		return err
	}
	if warning := f.sharedPortsWarning(plan.listen); warning != "" {
		log.Warn(warning)
	}
	if stopped(log) {
		return nil
	}
	tuning.ShortSlices() // threads made from here on inherit it
	runtime.GOMAXPROCS(tuning.GOMAXPROCS(plan.loops))

	// The loops first: with private descriptor tables, each keeps a copy of
	// whatever is open now.
	go reloadOnHangup(plan.conn.Tokens, log)
	shared := conn.NewShared(plan.conn)
	var sources admin.Sources
	var servers []*conn.Server
	var doors []channel.Poster
	loops, err := poller.Start(poller.Config{
		Loops:               plan.loops,
		Lanes:               plan.lanes,
		CPUs:                plan.cpus,
		TakeTurns:           true,
		PrivateFDTables:     plan.private,
		DescriptorsMax:      plan.descriptorsMax,
		TableConnectionsMax: plan.tableMax,
		Listen:              plan.listen,
		AcceptRate:          f.AcceptRate,
		Options: poller.ListenOptions{
			WriteDeadline: f.WriteDeadline, SendBufferBytes: int(f.SendBuffer), DeferAccept: f.DeferAccept,
		},
		NewHandler: func(l *poller.Loop) poller.Handler {
			server := conn.NewServer(shared, l)
			servers, doors = append(servers, server), append(doors, server)
			sources.Loops = append(sources.Loops, admin.Loop{Poller: l.Stats(), Conn: server.Stats(), Channel: server.ChannelStats()})
			return server
		},
	})
	if err != nil {
		return err
	}
	defer loops.Stop()
	if stopped(log) {
		return nil
	}

	hub := channel.NewHub(doors, f.hub(plan))
	shared.CountWith(hub)
	driver, err := openBus(f, hub, f.afterGap(hub, shared, log), log)
	if err != nil {
		return err
	}
	defer closeSoon(driver)
	sources.Repeats = bus.NewRepeats(driver, hub, int(f.PublishKeys))
	if plan.uplink != nil {
		plan.uplink.Start(sources.Repeats, hub)
		defer closeSoon(plan.uplink)
	}

	defer watchMemory(f, shared, &sources, log)()
	defer f.pace(plan.conn.Channel.Pace, &sources)()
	var draining atomic.Bool
	sources.Hub, sources.Channels, sources.Bus, sources.Draining, sources.Version = hub.Stats(), hub, driver, draining.Load, cli.Version()
	sources.Operator, sources.LogSampled = conn.NewOperator(servers), sampled.Load
	sources.Addresses = plan.conn.Access.Addresses.Count
	if f.Admin != "off" {
		pages, err := admin.Listen(f.adminConfig(), sources, log)
		if err != nil {
			return err
		}
		defer closeSoon(pages)
	}
	f.greet(plan, driver, log)

	log.Info("draining: closing connections; a second signal ends the server now",
		zap.Stringer("signal", <-signals.End), zap.Int64("connections", shared.Open()), zap.Duration("over", f.Drain))
	draining.Store(true)
	go func() {
		<-signals.End
		os.Exit(cli.ExitNo)
	}()
	handover := min(poller.HandoverGrace, f.Drain/2)
	loops.StopAccepting(handover)
	conn.Drain(servers, f.Drain-handover)
	return nil
}
