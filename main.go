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
	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/tuning"

	"github.com/alecthomas/kong"
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
	plan, err := f.prepare(warnings, log)
	if err != nil || stopped(log) {
		return err
	}
	tuning.ShortSlices() // threads made from here on inherit it
	runtime.GOMAXPROCS(tuning.GOMAXPROCS(plan.sockets.Loops))

	// The loops first: with private descriptor tables, each keeps a copy of
	// whatever is open now.
	handlers := handlers{shared: conn.NewShared(plan.conn)}
	loops := poller.New(poller.Config{Loops: plan.sockets.Loops, TakeTurns: len(plan.sockets.CPUs) == 0, NewHandler: handlers.add})
	defer loops.Stop()
	sockets, err := epoll.Start(loops, plan.sockets)
	if err != nil {
		return err
	}
	if stopped(log) {
		return nil
	}

	hub := channel.NewHub(handlers.doors, f.hub(plan))
	handlers.shared.CountWith(hub)
	driver, err := openBus(f, hub, f.afterGap(hub, handlers.shared, log), log)
	if err != nil {
		return err
	}
	defer closeSoon(driver)
	repeats := bus.NewRepeats(driver, hub, int(f.PublishKeys))
	if plan.uplink != nil {
		plan.uplink.Start(repeats, hub)
		defer closeSoon(plan.uplink)
	}
	plan.takeShortcuts(driver, repeats, loops.Loops(), hub.Shortcuts(handlers.homes))

	var draining atomic.Bool
	sources := admin.Sources{
		Loops: handlers.stats, Hub: hub.Stats(), Channels: hub, Bus: driver, Repeats: repeats, Operator: conn.NewOperator(handlers.servers),
		Addresses: plan.conn.Access.Addresses.Count, Draining: draining.Load, LogSampled: sampled.Load, Version: cli.Version(),
	}
	defer watchMemory(f, handlers.shared, &sources, log)()
	defer f.pace(plan.conn.Channel.Pace, &sources)()
	var pages *admin.Server
	if f.Admin != "off" {
		if pages, err = admin.Listen(f.adminConfig(), sources, log); err != nil {
			return err
		}
		defer closeSoon(pages)
	}
	go reloadOnHangup(f.reloads(plan.conn.Tokens, driver, pages), log)
	f.greet(plan, driver, log)
	f.drainOnSignal(sockets, &handlers, &draining, log)
	return nil
}

// handlers are what the loops made for their connections, in the order of the loops.
type handlers struct {
	shared  *conn.Shared
	servers []*conn.Server
	doors   []channel.Poster
	homes   []channel.Home
	stats   []admin.Loop
}

// add makes the handler of a loop. The loops call it one after the other.
func (h *handlers) add(l *poller.Loop) poller.Handler {
	server := conn.NewServer(h.shared, l)
	h.servers, h.doors, h.homes = append(h.servers, server), append(h.doors, server), append(h.homes, server.Home())
	h.stats = append(h.stats, admin.Loop{Poller: l.Stats(), Conn: server.Stats(), Channel: server.ChannelStats()})
	return server
}
