package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"c10m/bench/load"
)

type flags struct {
	Server      string        `default:"bin/10m-server" help:"The server's program."`
	ServerArg   []string      `name:"server-arg" sep:"none" placeholder:"FLAG" help:"Further flag for the server; repeatable (--server-arg=--loops=1)."`
	Connections int           `default:"18000" help:"Sockets on each side. The sender has one descriptor table, so the hard limit of open files ends it."`
	Rounds      int           `default:"5" help:"Pairs of floor and server. The median of more is steadier."`
	Each        time.Duration `default:"4s" help:"How long each side of a round sends. Longer smooths what else the host does."`
	Size        int           `default:"256" help:"Payload bytes; at least 40."`
	InFlight    int           `default:"1" help:"Messages under way at a time, up to 64. With more than one the server may put several into one system call, which the bare loop never does."`
	Loops       int           `default:"0" help:"Threads of the client, which is the same for both sides. 0 is one per core."`
	JSON        bool          `name:"json" help:"Print one JSON object on standard output."`
}

// senderArgument makes this program the floor's sender (sender.go).
const senderArgument = "bare-sender"

func main() {
	if len(os.Args) > 2 && os.Args[1] == senderArgument {
		if err := send(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "floor: sender:", err)
			os.Exit(1)
		}
		return
	}
	var f flags
	kong.Parse(&f, kong.Name("floor"), kong.UsageOnError(),
		kong.Description("Measures a server's deliveries a second beside a bare one-thread send loop over as many sockets, in one run."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &f); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

// run measures and reports. Whatever happens, both children are ended first.
func run(ctx context.Context, f *flags) error {
	if f.Size < load.StampBytes || f.Rounds < 1 || f.Each <= 0 {
		return fmt.Errorf("--size is at least %d, --rounds at least 1 and --each above 0", load.StampBytes)
	}
	if f.Loops == 0 {
		f.Loops = runtime.NumCPU()
	}
	longest := setUpTimeout + time.Duration(f.Rounds)*2*(f.Each+roundSlack)
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()

	floor, err := startFloor(ctx, f)
	if err != nil {
		return err
	}
	defer floor.stop()
	server, err := startServer(ctx, f)
	if err != nil {
		return err
	}
	defer server.stop()
	if err := connect(ctx, floor, server); err != nil {
		return err
	}
	r := report{Connections: f.Connections, PayloadBytes: f.Size, InFlight: f.InFlight,
		ClientLoops: f.Loops, Cores: runtime.NumCPU()}
	for round := range f.Rounds {
		pair := pair{}
		if pair.Floor, err = floor.measure(ctx, f); err != nil {
			return err
		}
		if pair.Server, err = server.measure(ctx, f); err != nil {
			return err
		}
		pair.Ratio = pair.Server.PerSecond / pair.Floor.PerSecond
		r.Rounds = append(r.Rounds, pair)
		if !f.JSON {
			r.printRound(os.Stdout, round)
		}
	}
	r.conclude()
	if f.JSON {
		return r.json(os.Stdout)
	}
	r.print(os.Stdout)
	return nil
}
