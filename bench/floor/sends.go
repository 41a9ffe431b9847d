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
	InFlight    int           `default:"1" help:"Messages under way at a time, up to 64. With more than one the server may put several into one system call, which the bare loop never does: a second one, which does, is then measured, too."`
	Loops       int           `default:"0" help:"Threads of the client, which is the same for both sides. 0 is one per core, more if their descriptor tables need it."`
}

// Run measures and reports. Whatever happens, both children are ended first.
func (f *sendsFlags) Run(ctx context.Context) error {
	if f.Size < load.StampBytes || f.Rounds < 1 || f.Each <= 0 {
		return fmt.Errorf("--size is at least %d, --rounds at least 1 and --each above 0", load.StampBytes)
	}
	longest := 3*setUpTimeout(f.Connections) + time.Duration(f.Rounds)*3*(f.Each+roundSlack)
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()

	p, err := newPlan(&f.commonFlags, f.Connections, 0)
	if err != nil {
		return err
	}
	sides, err := startSides(ctx, f, p)
	defer func() {
		for _, s := range sides {
			s.stop()
		}
	}()
	if err != nil {
		return err
	}
	if err := connect(ctx, p, sides...); err != nil {
		return err
	}
	r := report{Connections: f.Connections, PayloadBytes: f.Size, InFlight: f.InFlight,
		ClientLoops: sides[0].client.Loops(), Cores: cores()}
	for round := range f.Rounds {
		measured := map[string]measurement{}
		for _, s := range sides {
			if measured[s.name], err = s.measure(ctx, f); err != nil {
				return err
			}
		}
		r.add(measured)
		if !f.JSON {
			r.printRound(os.Stdout, round)
		}
	}
	r.conclude()
	if f.JSON {
		return printJSON(os.Stdout, r)
	}
	r.print(os.Stdout)
	return nil
}

// The sides of sends, in the order in which they are measured and printed.
const (
	sideFloor    = "floor"
	sideBatching = "batches" // a floor that sends all that waits at once
)

// startSides starts both, and a floor that batches if there is anything to batch.
// What was started is returned with an error, too.
func startSides(ctx context.Context, f *sendsFlags, p *plan) (sides []*side, err error) {
	batches := []int{1}
	if f.InFlight > 1 {
		batches = append(batches, f.InFlight)
	}
	for _, batch := range batches {
		s, err := startFloor(ctx, f, p, batch)
		if err != nil {
			return sides, err
		}
		sides = append(sides, s)
	}
	s, err := startServer(ctx, f, p)
	if err != nil {
		return sides, err
	}
	return append(sides, s), nil
}
