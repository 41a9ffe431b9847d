package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"c10m/bench/load"
)

type sendsFlags struct {
	commonFlags
	Connections int           `default:"18000" help:"Sockets on each side. When they are more than one descriptor table holds, the bare sender takes further threads with a table each, and one of them sends at a time."`
	Rounds      int           `default:"5" help:"Pairs of floor and server. The median of more is steadier."`
	Each        time.Duration `default:"4s" help:"How long each side of a round sends. Longer smooths what else the host does."`
	Size        int           `default:"256" help:"Payload bytes; at least 40."`
	InFlight    int           `default:"1" help:"Messages under way at a time, up to 64. With more than one the server may put several into one system call, which the bare loop never does."`
	Loops       int           `default:"0" help:"Threads of the client, which is the same for both sides. 0 is one per core, more if their descriptor tables need it."`
}

// Run measures and reports. Whatever happens, both children are ended first.
func (f *sendsFlags) Run(ctx context.Context) error {
	if f.Size < load.StampBytes || f.Rounds < 1 || f.Each <= 0 {
		return fmt.Errorf("--size is at least %d, --rounds at least 1 and --each above 0", load.StampBytes)
	}
	longest := 2*setUpTimeout(f.Connections) + time.Duration(f.Rounds)*2*(f.Each+roundSlack)
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()

	p, err := newPlan(&f.commonFlags, f.Connections, 0)
	if err != nil {
		return err
	}
	floor, err := startFloor(ctx, f, p)
	if err != nil {
		return err
	}
	defer floor.stop()
	server, err := startServer(ctx, f, p)
	if err != nil {
		return err
	}
	defer server.stop()
	if err := connect(ctx, p, floor, server); err != nil {
		return err
	}
	r := report{Connections: f.Connections, PayloadBytes: f.Size, InFlight: f.InFlight,
		ClientLoops: floor.client.Loops(), Cores: cores()}
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
