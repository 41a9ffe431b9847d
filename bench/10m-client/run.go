package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"c10m/bench/load"
)

// settleMillis is how long the client goes on listening after the last message
// that was due, so that one too many is seen.
const settleMillis = 250

// run does everything and reports whether all was well. An error is what kept
// it from going on.
func run(ctx context.Context, f flags) (good bool, err error) {
	config, err := f.config()
	if err != nil {
		return false, err
	}
	// The loops first: with private descriptor tables, what is open when they
	// start stays open in each.
	client, err := load.Start(config)
	if err != nil {
		return false, err
	}
	defer client.Stop()
	r := newReporter(client, f.JSON)
	err = r.measure(ctx, f)
	if errors.Is(err, context.Canceled) {
		err = nil // SIGINT is a way to end, not a failure
	}
	r.finish(f)
	return r.good(f) && err == nil, err
}

// measure goes through the phases of a run until its end.
func (r *reporter) measure(ctx context.Context, f flags) error {
	if err := r.until(ctx, (*load.Snapshot).Decided); err != nil {
		return err
	}
	if r.last.Open == 0 && r.last.GaveUp > 0 {
		return errors.New("no connection could be made")
	}
	r.connectedIn = time.Since(r.started)
	if f.Publish > 0 {
		if err := r.publish(ctx, f); err != nil {
			return err
		}
	}
	switch {
	case f.Expect > 0:
		expired := r.expiry(f.Hold)
		return r.until(ctx, func(s *load.Snapshot) bool {
			return s.Complete == s.Wanted || s.Open == 0 || expired()
		})
	case f.Hold > 0:
		expired := r.expiry(f.Hold)
		return r.until(ctx, func(*load.Snapshot) bool { return expired() })
	case f.Publish > 0:
		return nil
	}
	return r.until(ctx, func(s *load.Snapshot) bool { return s.Open == 0 && s.Decided() })
}

// expiry tells whether hold is over; a hold of 0 never is.
func (r *reporter) expiry(hold time.Duration) func() bool {
	end := time.Now().Add(hold)
	return func() bool { return hold > 0 && time.Now().After(end) }
}

// publish drives messages through the bus.
func (r *reporter) publish(ctx context.Context, f flags) error {
	if r.last.Open < r.last.Wanted {
		return fmt.Errorf("nothing is published: %d of %d connections are open", r.last.Open, r.last.Wanted)
	}
	bus, err := load.DialBus(f.Bus, f.BusPassword)
	if err != nil {
		return err
	}
	defer bus.Close()
	run, err := r.client.Drive(ctx, load.Drive{
		Messages: f.Publish,
		InFlight: f.InFlight,
		Send:     r.client.Publisher(bus, f.Size),
	})
	r.run = &run
	r.receivers, _ = bus.Receivers()
	return err
}

// until prints a line a second while the numbers change, and returns when the
// snapshot is as wanted.
func (r *reporter) until(ctx context.Context, wanted func(*load.Snapshot) bool) error {
	for {
		window, cancel := context.WithTimeout(ctx, time.Second)
		s, err := r.client.Await(window, wanted)
		cancel()
		r.last = s
		r.line()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// finish waits for what should not come, and prints the summary.
func (r *reporter) finish(f flags) {
	if f.Expect > 0 || f.Publish > 0 {
		time.Sleep(settleMillis * time.Millisecond)
	}
	r.last = r.client.Snapshot()
	if f.JSON {
		r.json(os.Stdout)
		return
	}
	r.summary(os.Stdout)
}

// good is the exit status.
func (r *reporter) good(f flags) bool {
	s := &r.last
	if s.Opened < s.Wanted || s.Fault() != "" {
		return false
	}
	if f.Publish > 0 && (r.run == nil || r.run.Messages < f.Publish) {
		return false
	}
	return f.Expect == 0 || s.Complete == s.Wanted
}
