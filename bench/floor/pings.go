package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"c10m/bench/proc"
)

type pingsFlags struct {
	commonFlags
	Connections   int           `default:"200000" help:"Idle connections of each side."`
	Rounds        int           `default:"3" help:"How often each side is measured, in turns, with connections of its own. The median of more is steadier."`
	Interval      time.Duration `default:"60s" help:"Every connection gets a ping in it, on both sides."`
	Each          time.Duration `default:"20s" help:"How long each side is watched. The clock of /proc counts in 10 ms."`
	Beat          time.Duration `default:"1s" help:"How often each thread of the bare program sends a batch. Rarer costs less, and then has all of a batch's pongs at once."`
	Gather        time.Duration `default:"0" help:"How long after a batch it reads the pongs. 0 is with the next batch: one wake-up less, but the sockets have left the caches."`
	Loops         int           `default:"0" help:"Threads of the client, which is the same for both sides. 0 is one per core, more if their descriptor tables need it."`
	AcceptorLoops int           `default:"0" help:"Threads of the bare program and of the server. 0 is what the server would choose."`
}

func (f *pingsFlags) check() error {
	switch {
	case f.Rounds < 1 || f.Loops < 0 || f.AcceptorLoops < 0:
		return errors.New("--rounds is at least 1, and numbers of loops are not negative")
	case f.Interval < time.Second || f.Each < f.Beat:
		return errors.New("--interval is at least 1s, and --each at least --beat")
	case f.Beat < pingBeatMin || f.Beat > f.Interval || f.Gather < 0 || f.Gather >= f.Beat:
		return fmt.Errorf("--beat is from %s to --interval, and --gather is shorter than --beat", pingBeatMin)
	}
	return nil
}

// Run measures and reports. Every side of every round is made anew, and alone:
// the server cannot be asked to rest.
func (f *pingsFlags) Run(ctx context.Context) error {
	if err := f.check(); err != nil {
		return err
	}
	f.ServerArg = append(f.ServerArg, "--ping-interval", f.Interval.String())
	p, err := newPlan(&f.commonFlags, f.Connections, f.AcceptorLoops)
	if err != nil {
		return err
	}
	p.pings = pingPace{Interval: f.Interval, Beat: f.Beat, Gather: f.Gather}
	r := pingReport{Connections: f.Connections, IntervalSeconds: f.Interval.Seconds(), AcceptorLoops: p.loops, Cores: cores()}
	for range f.Rounds {
		var round pingRound
		if round.Pinger, err = measurePings(ctx, p, sidePinger, f); err != nil {
			return err
		}
		if round.Server, err = measurePings(ctx, p, sideServer, f); err != nil {
			return err
		}
		r.Rounds = append(r.Rounds, round)
		if !f.JSON {
			r.printRound(os.Stdout)
		}
	}
	r.conclude()
	if f.JSON {
		return printJSON(os.Stdout, r)
	}
	r.print(os.Stdout)
	return nil
}

// measurePings lets one side come, ping for a while, and go, and returns when
// the kernel has freed what it took.
func measurePings(ctx context.Context, p *plan, side string, f *pingsFlags) (o pingOutcome, err error) {
	before, err := settledMemory(ctx)
	if err != nil {
		return o, err
	}
	c, err := startContender(ctx, p, side, f.Loops)
	if err != nil {
		return o, err
	}
	running := true
	defer func() {
		if running {
			c.stop()
		}
	}()
	if _, err = c.connect(ctx, wordOpen); err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(ctx, pingWarmUp+f.Each+freedTimeout+roundSlack)
	defer cancel()
	if _, _, err = c.countPings(ctx); err != nil { // the bare program begins
		return o, err
	}
	if err = pause(ctx, pingWarmUp); err != nil {
		return o, err
	}
	if o, err = c.watchPings(ctx, f.Each); err != nil {
		return o, err
	}
	full, err := settledMemory(ctx)
	if err != nil {
		return o, err
	}
	running = false
	c.stop()
	return o, awaitFreed(ctx, before, full)
}

// countPings asks the client how many pings it got and answered, which is the
// count for both sides. The bare program is asked for its own, too: that is how
// it begins.
func (c *contender) countPings(ctx context.Context) (byClient, own pinged, err error) {
	if err = c.client.tell(wordPings); err == nil {
		err = c.client.hearJSON(ctx, &byClient)
	}
	if err == nil && c.accepts != nil {
		if err = c.accepts.tell(wordCount); err == nil {
			err = c.accepts.hearJSON(ctx, &own)
		}
	}
	return byClient, own, c.explain(err)
}

// watchPings measures for a while.
func (c *contender) watchPings(ctx context.Context, each time.Duration) (o pingOutcome, err error) {
	began, err := c.pingsNow(ctx)
	if err != nil {
		return o, err
	}
	if err = pause(ctx, each); err != nil {
		return o, err
	}
	ended, err := c.pingsNow(ctx)
	if err != nil {
		return o, err
	}
	// A beat is shorter than this, and at the next the pongs of the last are read.
	if c.accepts != nil && ended.own.Pongs < began.pinged.Pongs {
		return o, c.explain(fmt.Errorf("of %d pongs from before it has read %d", began.pinged.Pongs, ended.own.Pongs))
	}
	return outcomeOfPings(began, ended)
}

// A pingMoment is what is known at the start and the end of a measurement.
type pingMoment struct {
	at                     time.Time
	acceptor, client, busy float64 // seconds of processor time
	pinged                 pinged  // by the client's count
	own                    pinged  // by the bare program's
}

func (c *contender) pingsNow(ctx context.Context) (m pingMoment, err error) {
	if m.acceptor, err = proc.CPU(c.acceptor.PID); err != nil {
		return m, c.explain(err)
	}
	if m.client, err = proc.CPU(c.client.PID); err != nil {
		return m, c.explain(err)
	}
	m.at, m.busy = time.Now(), proc.BusyCPU()
	m.pinged, m.own, err = c.countPings(ctx)
	return m, err
}

// A pingOutcome is one side of a round.
type pingOutcome struct {
	PerSecond     float64 `json:"pings_per_second"` // that were answered
	AcceptorCores float64 `json:"acceptor_cores"`   // the bare program, or the server
	ClientCores   float64 `json:"client_cores"`
	OtherCores    float64 `json:"other_cores"`
	// Of processor time for a ping and its pong, at either end.
	AcceptorMicros float64 `json:"acceptor_microseconds"`
	ClientMicros   float64 `json:"client_microseconds"`
}

func outcomeOfPings(began, ended pingMoment) (o pingOutcome, err error) {
	answered := float64(ended.pinged.Pongs - began.pinged.Pongs)
	if answered <= 0 {
		return o, errors.New("no ping was answered: --each is too short for this --interval")
	}
	seconds := ended.at.Sub(began.at).Seconds()
	acceptor, client := ended.acceptor-began.acceptor, ended.client-began.client
	return pingOutcome{
		PerSecond:      answered / seconds,
		AcceptorCores:  acceptor / seconds,
		ClientCores:    client / seconds,
		OtherCores:     max(0, (ended.busy-began.busy-acceptor-client)/seconds),
		AcceptorMicros: acceptor / answered * 1e6,
		ClientMicros:   client / answered * 1e6,
	}, nil
}

// saturated says who could not have done more.
func (o *pingOutcome) saturated(cores int) string {
	switch {
	case o.OtherCores >= disturbedCores:
		return "the host, by others: not a good time to measure"
	case o.AcceptorCores+o.ClientCores+o.OtherCores >= saturatedShare*float64(cores):
		return "the host"
	}
	return "nobody"
}

type pingRound struct {
	Pinger pingOutcome `json:"pinger"`
	Server pingOutcome `json:"server"`
}

// ratio is the server's processor time for a ping by the bare program's.
func (r pingRound) ratio() float64 {
	return r.Server.AcceptorMicros / max(r.Pinger.AcceptorMicros, 1e-3)
}

// A pingReport is all rounds and their medians.
type pingReport struct {
	Connections     int         `json:"connections"`
	IntervalSeconds float64     `json:"interval_seconds"`
	AcceptorLoops   int         `json:"acceptor_loops"`
	Cores           int         `json:"cores"`
	Rounds          []pingRound `json:"rounds"`
	Medians         pingRound   `json:"medians"`      // field by field
	RatioMedian     float64     `json:"ratio_median"` // of the rounds' ratios
}

func (r *pingReport) conclude() {
	side := func(of func(pingRound) pingOutcome) pingOutcome {
		field := func(f func(pingOutcome) float64) float64 {
			return medianOf(r.Rounds, func(round pingRound) float64 { return f(of(round)) })
		}
		return pingOutcome{
			PerSecond:      field(func(o pingOutcome) float64 { return o.PerSecond }),
			AcceptorCores:  field(func(o pingOutcome) float64 { return o.AcceptorCores }),
			ClientCores:    field(func(o pingOutcome) float64 { return o.ClientCores }),
			OtherCores:     field(func(o pingOutcome) float64 { return o.OtherCores }),
			AcceptorMicros: field(func(o pingOutcome) float64 { return o.AcceptorMicros }),
			ClientMicros:   field(func(o pingOutcome) float64 { return o.ClientMicros }),
		}
	}
	r.Medians.Pinger = side(func(round pingRound) pingOutcome { return round.Pinger })
	r.Medians.Server = side(func(round pingRound) pingOutcome { return round.Server })
	r.RatioMedian = medianOf(r.Rounds, pingRound.ratio)
}

const (
	pingTitle = "%-7s %-7s %8s %9s %9s %8s %8s %8s  %s\n"
	pingLine  = "%-7v %-7s %8.0f %9.1f %9.1f %8.3f %8.3f %8.3f  %s\n"
)

// printRound prints the last round, and the head of the table before the first.
func (r *pingReport) printRound(out io.Writer) {
	if len(r.Rounds) == 1 {
		fmt.Fprintf(out, "pings: %d connections, one each in %gs, %d acceptor loops, %d cores\n",
			r.Connections, r.IntervalSeconds, r.AcceptorLoops, r.Cores)
		fmt.Fprintf(out, pingTitle, "", "", "", "us a ping", "us a ping", "cores", "cores", "cores", "")
		fmt.Fprintf(out, pingTitle, "round", "side", "pings/s", "acceptor", "client", "acceptor", "client", "others", "used up")
	}
	r.printSides(out, len(r.Rounds), r.Rounds[len(r.Rounds)-1])
}

func (r *pingReport) printSides(out io.Writer, name any, round pingRound) {
	for _, side := range []struct {
		name string
		o    pingOutcome
	}{{sidePinger, round.Pinger}, {sideServer, round.Server}} {
		o := side.o
		fmt.Fprintf(out, pingLine, name, side.name, o.PerSecond, o.AcceptorMicros, o.ClientMicros,
			o.AcceptorCores, o.ClientCores, o.OtherCores, o.saturated(r.Cores))
	}
}

func (r *pingReport) print(out io.Writer) {
	r.printSides(out, "median", r.Medians)
	fmt.Fprintf(out, "median  ratio %.2f  (of the rounds' ratios of processor time for a ping and its pong, without the client's)\n", r.RatioMedian)
}
