package scenario

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
)

// openLoop is the scenarios fanout, unicast and mixed: messages by timetables.
func (r *run) openLoop() error {
	name := "fanout"
	if r.main().OwnChannels() {
		name = "unicast"
	}
	rate := r.options.Rate
	if kernel := r.parties.of(sample); kernel != nil && kernel.OwnChannels() {
		share := float64(kernel.Connections()) / float64(kernel.Connections()+r.main().Connections())
		if err := r.addPublisher(name+sampleName, kernel, rate*share); err != nil {
			return err
		}
		rate -= rate * share
	}
	if err := r.addPublisher(name, r.main(), rate); err != nil {
		return err
	}
	if few := r.parties.of(probes); few != nil {
		if err := r.addPublisher("unicast", few, r.options.ProbeRate); err != nil {
			return err
		}
	}
	return r.publish(r.ctx, int64(r.options.Duration))
}

func (r *run) addPublisher(name string, to *party, rate float64) error {
	p, err := r.newPublisher(name, to, rate)
	if err == nil {
		r.publishers = append(r.publishers, p)
	}
	return err
}

// publish runs all publishers until their time is over or ctx ends.
func (r *run) publish(ctx context.Context, nanos int64) error {
	errs := make([]error, len(r.publishers))
	var running sync.WaitGroup
	for i, p := range r.publishers {
		running.Go(func() { errs[i] = p.run(ctx, nanos) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// meanwhile publishes until what has returned.
func (r *run) meanwhile(what func() error) error {
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.publish(ctx, math.MaxInt64/2) }()
	err := what()
	cancel()
	return errors.Join(err, <-ended)
}

// saturate is a closed loop: the next message when one has reached everybody.
func (r *run) saturate() error {
	bus, err := load.DialBus(r.options.Bus, r.options.BusPassword)
	if err != nil {
		return err
	}
	defer bus.Close()
	r.driveBegun = load.Nanos()
	drive, err := r.main().Drive(r.ctx, load.Drive{
		Messages:     r.options.Messages,
		Duration:     r.options.Duration,
		InFlight:     r.options.InFlight,
		StallTimeout: r.options.Patience,
		Send:         r.main().Publisher(bus, r.options.Bytes),
	})
	r.drive = &drive
	return err
}

// storm drops connections, has them come back, waits until each is served
// again, and goes on for a while.
func (r *run) storm() error {
	r.static = false
	if err := r.addPublisher("fanout", r.main(), r.options.Rate); err != nil {
		return err
	}
	return r.meanwhile(r.weather)
}

// weather is the storm itself, while messages flow.
func (r *run) weather() error {
	open := r.main().subscribers
	drop := r.options.Drop
	if drop == 0 || drop > open {
		drop = open
	}
	r.sampler.enter("storm")
	begun := load.Nanos()
	if err := r.main().Storm(load.Storm{Drop: drop, Jitter: r.options.Jitter, Reset: r.options.Reset}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.options.Jitter+recoverMax)
	defer cancel()
	// One that the server drops meanwhile is not the client's to drop.
	s, err := r.main().Await(ctx, func(s *load.Snapshot) bool { return s.Left+int(s.Dropped) >= drop && s.AllBack() })
	if err == nil {
		patience := servedMax
		if r.options.Patience > 0 {
			patience = r.options.Patience
		}
		ctx, cancel = context.WithTimeout(r.ctx, patience+time.Duration(2e9/r.options.Rate))
		defer cancel()
		s, err = r.main().Await(ctx, func(s *load.Snapshot) bool { return s.Served >= s.Returned })
	}
	storm := &report.Storm{Dropped: s.Left, JitterSeconds: r.options.Jitter.Seconds()}
	if s.ReturnedAtNanos > 0 {
		storm.RecoverySeconds = float64(s.ReturnedAtNanos-begun) / 1e9
	}
	if s.ServedAtNanos > 0 {
		storm.ServedSeconds = float64(s.ServedAtNanos-begun) / 1e9
	}
	r.result.Storm = storm
	if err = r.late(err, &s); err != nil {
		return err
	}
	r.sampler.enter("measuring")
	return r.pause(r.options.Duration)
}

// late turns the end of patience into a fault.
func (r *run) late(err error, s *load.Snapshot) error {
	return r.outOfTime(err, "%d of %d connections came back, %d of them got a message", s.Returned, s.Left, s.Served)
}

// outOfTime makes a fault of the end of a time.
func (r *run) outOfTime(err error, format string, arguments ...any) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	r.fault(format, arguments...)
	return nil
}

// churn has connections come and go while messages flow.
func (r *run) churn() error {
	r.static = false
	if err := r.addPublisher("fanout", r.main(), r.options.Rate); err != nil {
		return err
	}
	if err := r.main().Churn(load.Churn{Rate: r.options.ChurnRate, Reset: r.options.Reset}); err != nil {
		return err
	}
	err := r.publish(r.ctx, int64(r.options.Duration))
	if stopped := r.main().Churn(load.Churn{}); stopped != nil {
		return stopped
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), backMax)
	defer cancel()
	s, errBack := r.main().Await(ctx, (*load.Snapshot).AllBack)
	r.result.Churn = &report.Churn{Rate: r.options.ChurnRate,
		Disconnected: uint64(s.Left), Reconnected: uint64(s.Returned)}
	return errors.Join(err, r.late(errBack, &s))
}
