// 10m-client opens very many WebSockets to one server, publishes to them and
// says exactly what arrived, how late, and at what cost:
//
//	10m-client 127.0.0.1 100000
//	10m-client fanout 127.0.0.1 100000 --messages-rate 2 --duration 30s
//	10m-client saturate 127.0.0.1 18000 --in-flight 8
//
// Its exit status is 0 only if every connection was made, every message
// reached everybody exactly once, and, with --criteria, all of them are met; package
// c10m/internal/cli has the others.
// What the scenarios do stands in package c10m/bench/scenario; how the client
// works, what it costs and where it ends, in c10m/bench/load. This package is
// the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"c10m/bench/report"
	"c10m/bench/scenario"
	"c10m/internal/cli"
	"c10m/internal/signals"
	"c10m/tuning"
)

type commands struct {
	Version cli.VersionFlag `help:"Print the version and exit."`

	Connect    connectFlags    `cmd:"" default:"withargs" help:"Open connections and hold them; check what others publish. This is what runs without a subcommand."`
	Fanout     fanoutFlags     `cmd:"" help:"One channel for all, messages at a rate."`
	Unicast    unicastFlags    `cmd:"" help:"A channel for each connection, messages at a rate to random ones."`
	Mixed      mixedFlags      `cmd:"" help:"A fan-out to everybody, and messages to channels of one, whose latency is measured by itself: what a small message suffers from a large one."`
	Saturate   saturateFlags   `cmd:"" help:"The next message as soon as one has reached everybody: the peak rate of deliveries."`
	Storm      stormFlags      `cmd:"" help:"All connections end at once and come back; time until the last is served again."`
	Churn      churnFlags      `cmd:"" help:"Connections leave and come back at a steady rate while messages flow."`
	Posts      postsFlags      `cmd:"" help:"Publish with POST on kept connections as fast as the answers come: posts a second, and what of a processor the server takes for one (--server-pid)."`
	Disconnect disconnectFlags `cmd:"" help:"All connections but a few end at once and stay away: what those few see of it, time until the server has let go of all, and until the host has their memory again."`
}

func main() {
	var c commands
	parser := kong.Must(&c, kong.Name("10m-client"), kong.Help(cli.Help),
		kong.Description("Opens very many WebSockets to one server, publishes to them, checks and measures what arrives."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
	parsed := cli.Parse(parser, cli.Arguments(os.Args[1:], ""))
	// A client that is late to wake would blame the server for it.
	tuning.ShortSlices()
	good, err := run(untilSignal(), selectedCommand(parsed))
	if err != nil {
		cli.Fail("10m-client", cli.ExitCannot, err)
	}
	if !good {
		os.Exit(cli.ExitNo)
	}
}

// untilSignal ends with the first signal, upon which what was measured is said; the
// second ends the process. So does a terminal that is closed, but under nohup.
func untilSignal() context.Context {
	signal.Reset(syscall.SIGPIPE) // nobody reads: there is nothing more to do
	ctx, cancel := context.WithCancel(context.Background())
	hangup := signals.Hangup
	if signals.Nohup {
		hangup = nil
	}
	go func() {
		for range 2 {
			select {
			case <-signals.End:
			case <-hangup:
			}
			if ctx.Err() != nil {
				os.Exit(cli.ExitNo)
			}
			cancel()
		}
	}()
	return ctx
}

// A command is a subcommand with its flags.
type command interface {
	// options says what to run; the common ones are filled in already.
	options(*scenario.Options)
	common() *commonFlags
}

func selectedCommand(parsed *kong.Context) command {
	return parsed.Selected().Target.Addr().Interface().(command)
}

// run does everything and reports whether all was well. An error is what kept
// it from going on.
func run(ctx context.Context, c command) (good bool, err error) {
	f := c.common()
	options, err := f.scenario()
	if err != nil {
		return false, err
	}
	c.options(&options)
	out := newOutput(f)
	options.Progress = out.progress
	result, err := scenario.Run(ctx, options)
	if result == nil {
		return false, err
	}
	written := out.write(result)
	if err == nil {
		err = written
	}
	return complete(result) && out.pass && err == nil, err
}

// complete reports whether the server did all that it was asked for.
func complete(r *report.Result) bool {
	return r.Fault == "" && r.Connections.Opened >= r.Connections.Wanted
}
