package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
)

// A run is one scenario on its way. Its goroutine owns it.
type run struct {
	// Fixed after construction.
	ctx     context.Context
	options Options
	plan    plan
	started time.Time
	before  usage // the first connect
	network network
	// hostBefore is what hostUsed said then.
	hostBefore uint64

	parties parties
	sampler *sampler

	publishers []*publisher
	drive      *load.Run
	driveBegun int64
	measuring  [2]usage // begin and end of the measured part
	turns      []uint64 // of the loops before it
	static     bool     // nobody leaves by the client's will
	faults     []string
	result     *report.Result
}

// Run goes through a scenario and returns what it saw. With an error, which is
// what kept it from going on, the Result says how far it came; it is nil only
// if nothing began. The end of ctx is a way to end, not an error.
func Run(ctx context.Context, options Options) (*report.Result, error) {
	plan, err := options.prepare()
	if err != nil {
		return nil, err
	}
	if plan.measure == nil {
		return runPosts(ctx, &options)
	}
	if plan.publishes {
		// Rather now than after a million connects.
		bus, err := load.DialBus(options.Bus, options.BusPassword)
		if err != nil {
			return nil, err
		}
		bus.Close()
	}
	r := &run{ctx: ctx, options: options, plan: plan, started: time.Now(), static: true,
		before: readUsage(options.ServerPID), network: readNetwork(), hostBefore: options.hostUsed()}
	// The loops first: with private descriptor tables, what is open when they
	// start stays open in each.
	if r.parties, err = startParties(&options); err != nil {
		return nil, err
	}
	defer r.parties.stop()
	r.result = &report.Result{Scenario: options.Name, Command: options.Command, Commit: report.Commit(), Started: r.started,
		Host: Host(r.parties.loops(), r.parties[0].PrivateTables())}
	r.sampler = startSampler(r.parties, options.ServerPID, r.started, options.Progress)
	err = r.phases()
	for _, p := range r.publishers {
		p.bus.Close()
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	r.result.Samples = r.sampler.stop()
	r.conclude()
	return r.result, err
}

// phases are connecting, measuring and holding.
func (r *run) phases() error {
	snapshot, err := r.parties.decided(r.ctx)
	if err != nil {
		return err
	}
	r.connected(&snapshot)
	if snapshot.Open == 0 && snapshot.GaveUp > 0 {
		return errors.New("no connection could be made")
	}
	if r.plan.publishes && snapshot.Open < snapshot.Wanted {
		return fmt.Errorf("nothing is published: %d of %d connections are open", snapshot.Open, snapshot.Wanted)
	}
	r.beginMeasuring()
	r.sampler.enter("measuring")
	err = r.plan.measure(r)
	r.measuring[1] = readUsage(r.options.ServerPID)
	if r.plan.publishes {
		r.settle()
	}
	if err != nil || !r.plan.publishes || r.options.Hold <= 0 {
		return err
	}
	r.sampler.enter("holding")
	return r.pause(r.options.Hold)
}

// main are the connections that are not probes.
func (r *run) main() *party { return r.parties[0] }

// beginMeasuring notes who is there, and what was used up to here.
func (r *run) beginMeasuring() {
	r.turns = r.parties.sum(func(p *party) load.Snapshot { return p.Snapshot() }).Turns
	for _, p := range r.parties {
		p.subscribers = p.Glance().Open
	}
	r.measuring[0] = readUsage(r.options.ServerPID)
}

// pause waits; it fails when ctx ends.
func (r *run) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// settle waits until every message has come or, for Patience, none did. It
// goes on when ctx has ended: what was published is due.
func (r *run) settle() {
	patience := r.options.Patience
	if patience == 0 {
		patience = settleQuiet
	}
	r.sampler.enter("settling")
	arrived, quiet := uint64(0), time.Now()
	for {
		s := r.parties.sum(func(p *party) load.Snapshot { return p.Glance() })
		if s.Stamped != arrived {
			arrived, quiet = s.Stamped, time.Now()
		} else if r.parties.missing() == 0 || time.Since(quiet) >= patience {
			break
		}
		time.Sleep(settlePause)
	}
	time.Sleep(surplusWait)
}

// wait is the scenario connect: it holds until everybody has what is expected,
// the time is over, or nobody is left.
func (r *run) wait() error {
	r.sampler.enter("holding")
	ctx, cancel := r.ctx, context.CancelFunc(func() {})
	if r.options.Hold > 0 {
		ctx, cancel = context.WithTimeout(ctx, r.options.Hold)
	}
	defer cancel()
	s, err := r.parties.await(ctx, func(s *load.Snapshot) bool {
		return s.Open == 0 || r.options.Expect > 0 && s.Complete == s.Wanted
	})
	if r.options.Expect > 0 {
		time.Sleep(surplusWait)
		if s.Complete < s.Wanted {
			r.fault("%d of %d connections have got the %d messages expected", s.Complete, s.Wanted, r.options.Expect)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func (r *run) fault(format string, arguments ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, arguments...))
}

// conclude fills the Result from what was seen.
func (r *run) conclude() {
	for _, p := range r.parties {
		p.seen = p.Snapshot()
		if r.plan.publishes {
			p.seen.Lost += p.Missing()
		}
	}
	s := r.parties.sum(func(p *party) load.Snapshot { return p.seen })
	Connections(&r.result.Connections, &s)
	r.returns(&s)
	r.streams(&s)
	r.usage(&s)
	r.userSpace()
	if fault := s.Fault(); fault != "" {
		r.faults = append([]string{fault}, r.faults...)
	}
	if foreign := s.Messages() - s.Stamped; r.plan.publishes && foreign > 0 {
		r.fault("%d messages that nobody published here, or whose stamp is broken", foreign)
	}
	r.result.Fault = strings.Join(r.faults, ", ")
	r.result.Seconds = time.Since(r.started).Seconds()
}
