package main

import (
	"context"
	"errors"
	"os"

	"c10m/bench/proc"
)

// rivalFlags are those of connects and storm.
type rivalFlags struct {
	commonFlags
	Exchange      bool `help:"Measure a second bare program, which also reads a request and sends an answer of the same bytes as the server's, without parsing: what a handshake costs without a server."`
	Loops         int  `default:"0" help:"Threads of the client, which is the same for all sides. 0 is one per core, more if their descriptor tables need it."`
	AcceptorLoops int  `default:"0" help:"Threads of the bare program and of the server. 0 is what the server would choose."`
}

type connectsFlags struct {
	rivalFlags
	Connections int `default:"18000" help:"Connections of each side. Beyond the limit of open files, every thread of every program takes a descriptor table of its own."`
	Rounds      int `default:"3" help:"How often each side is measured, in turns. The median of more is steadier."`
}

// Run measures and reports. Every side of every round is made anew, and alone.
func (f *connectsFlags) Run(ctx context.Context) error {
	p, c, err := f.begin(connectsKind, f.Connections, f.Rounds)
	if err != nil {
		return err
	}
	for range f.Rounds {
		err := c.addRound(os.Stdout, func(side string) (outcome, error) {
			return measureConnects(ctx, p, side, f.Loops)
		})
		if err != nil {
			return err
		}
	}
	return c.finish(os.Stdout)
}

// begin plans a comparison.
func (f *rivalFlags) begin(kind string, connections, rounds int) (*plan, *comparison, error) {
	if rounds < 1 || f.Loops < 0 || f.AcceptorLoops < 0 {
		return nil, nil, errors.New("--rounds is at least 1, and numbers of loops are not negative")
	}
	p, err := newPlan(&f.commonFlags, connections, f.AcceptorLoops)
	if err != nil {
		return nil, nil, err
	}
	c := &comparison{Kind: kind, Connections: connections, Ports: p.ports, AcceptorLoops: p.loops,
		PrivateTables: p.private, Cores: cores(), json: f.JSON, sides: []string{sideBare, sideServer}}
	if f.Exchange {
		c.sides = []string{sideBare, sideExchange, sideServer}
	}
	return p, c, nil
}

// measureConnects lets one side come and go, and returns when the kernel has
// freed what it took.
func measureConnects(ctx context.Context, p *plan, side string, clientLoops int) (o outcome, err error) {
	c, err := startContender(ctx, p, side, clientLoops)
	if err != nil {
		return o, err
	}
	running := true
	stop := func() {
		if running {
			c.stop()
		}
		running = false
	}
	defer stop()
	before, err := settledMemory(ctx)
	if err != nil {
		return o, err
	}
	if o, err = c.connect(ctx, wordOpen); err != nil {
		return o, err
	}
	full, err := settledMemory(ctx)
	if err != nil {
		return o, err
	}
	o.HostBytesPerPair = p.perPair(full.Used, before.Used)
	o.SlabBytesPerPair = p.perPair(full.Slab, before.Slab)
	if o.AcceptorResident, err = proc.Resident(c.acceptor.PID); err != nil {
		return o, c.explain(err)
	}
	if o.ClientResident, err = proc.Resident(c.client.PID); err != nil {
		return o, c.explain(err)
	}
	stop()
	return o, awaitFreed(ctx, before, full)
}

// perPair is what each pair of sockets takes of a figure that may also shrink.
func (p *plan) perPair(now, before uint64) float64 {
	return (float64(now) - float64(before)) / float64(p.connections)
}
