package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"c10m/bench/load"
	"c10m/bench/proc"
	"c10m/bench/report"
)

// disconnect ends all connections at once and for good, but for the probes and the
// sample, while messages go to the probes. It waits until the server has let go of
// all, and until their memory is the host's again.
func (r *run) disconnect() error {
	if err := r.addPublisher("unicast", r.parties.of(probes), r.options.ProbeRate); err != nil {
		return err
	}
	return r.meanwhile(func() error {
		if err := r.pause(r.options.Baseline); err != nil {
			return err
		}
		d, err := r.beforeLeaving()
		if err != nil {
			return err
		}
		return r.leave(d)
	})
}

// A leaving is the way out of everybody but those that stay. Its times are of
// CLOCK_MONOTONIC.
type leaving struct {
	*report.Disconnect
	bus    load.Subscribers
	within time.Duration
	begun  int64
	// subscribers is how many the channel had before; 0: the bus does not know.
	subscribers int
}

// beforeLeaving looks at what is there.
func (r *run) beforeLeaving() (d *leaving, err error) {
	d = &leaving{Disconnect: &report.Disconnect{}, bus: load.AskBus(r.options.Bus, r.options.BusPassword), within: r.options.Within}
	if d.within == 0 {
		d.within = disconnectMax + time.Duration(r.options.Load.Spread.Connections)*disconnectEachMax
	}
	if r.main().OwnChannels() {
		d.Unknown = "each connection has a channel of its own, and the bus is asked about one"
	} else if d.subscribers, err = d.bus.Of(r.ctx, r.main().ChannelOf(0)); err != nil {
		d.bus.Close()
		return nil, err
	}
	there := r.main().Glance().Open
	if kernel := r.parties.of(sample); kernel != nil {
		there += kernel.Glance().Open
	}
	if d.Unknown == "" && d.subscribers < there {
		d.Unknown = fmt.Sprintf("the bus counts %d subscribers where %d connections are: it is not the server's own", d.subscribers, there)
	}
	if d.Unknown != "" {
		d.subscribers = 0
	}
	u := readUsage(r.options.ServerPID)
	d.Server = report.Memories{Before: r.before.serverBytes, Connected: u.serverBytes}
	d.Host = report.Memories{Before: r.hostBefore, Connected: r.options.hostUsed()}
	return d, nil
}

// leave is the disconnect itself and what follows it.
func (r *run) leave(d *leaving) error {
	defer d.bus.Close()
	r.result.Disconnect = d.Disconnect
	defer func() {
		d.Server.End, d.Host.End = readUsage(r.options.ServerPID).serverBytes, r.options.hostUsed()
		share := r.shareOf(d)
		d.MemoryLeft = d.Host.End - min(d.Host.End, share)
	}()
	r.sampler.enter("disconnect")
	before := r.parties.of(probes).Snapshot().Latencies
	d.begun = load.Nanos()
	gone, err := r.letGo(d)
	if err != nil {
		return err
	}
	if d.Unknown == "" {
		seen := r.parties.of(probes).Snapshot().Latencies
		apart := seen.Since(&before)
		d.Latency = apart.Summary()
	}
	if gone {
		r.sampler.enter("freeing")
		if err := r.freed(d); err != nil {
			return err
		}
	}
	r.sampler.enter("measuring")
	return r.pause(r.options.Duration)
}

// letGo ends the connections and waits until the server has none of them left. If it
// still has some when the time is over, that is a fault.
func (r *run) letGo(d *leaving) (gone bool, err error) {
	if err := r.main().Storm(load.Storm{Reset: r.options.Reset, ForGood: true}); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, d.within)
	defer cancel()
	s, err := r.main().Await(ctx, func(s *load.Snapshot) bool { return s.Open == 0 })
	d.Ended, d.Stayed = s.Ended, r.parties.sum(func(p *party) load.Snapshot { return p.Glance() }).Open
	if err != nil {
		return false, r.outOfTime(err, "the client ended %d of %d connections in %v", s.Ended, s.Ended+s.Open, d.within)
	}
	if d.Unknown != "" {
		return true, nil
	}
	d.Held = d.Ended
	err = look(ctx, func() (done bool, err error) {
		n, err := d.bus.Of(ctx, r.main().ChannelOf(0))
		var slow net.Error
		switch {
		case errors.As(err, &slow) && slow.Timeout():
			return false, nil // loops that are busy closing answer later
		case err != nil:
			return false, err
		}
		d.Held = max(0, n-(d.subscribers-d.Ended))
		return d.Held == 0, nil
	})
	if err != nil {
		return false, r.outOfTime(err, "the server has not closed %d of %d connections that ended %v ago", d.Held, d.Ended, d.within)
	}
	d.LetGoSeconds = d.since()
	return true, nil
}

// freed waits until the memory is back, or its time is over.
func (r *run) freed(d *leaving) error {
	if d.Host.Connected <= d.Host.Before {
		return nil // nobody knows what they took
	}
	ctx, cancel := context.WithTimeout(r.ctx, d.within)
	defer cancel()
	spare := uint64(report.MemorySpareShare * float64(d.Host.Connected-d.Host.Before))
	err := look(ctx, func() (bool, error) { return r.options.hostUsed() <= r.shareOf(d)+spare, nil })
	if err == nil {
		d.MemorySeconds = d.since()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// shareOf is what the host used before, and what those who stay took since.
func (r *run) shareOf(d *leaving) uint64 {
	took := float64(d.Host.Connected) - float64(d.Host.Before)
	stay := float64(d.Stayed) / float64(r.options.Load.Spread.Connections)
	return uint64(float64(d.Host.Before) + max(0, took)*stay)
}

func (d *leaving) since() float64 { return float64(load.Nanos()-d.begun) / 1e9 }

// look looks again and again until it is done, it fails or ctx ends.
func look(ctx context.Context, done func() (bool, error)) error {
	for {
		if is, err := done(); is || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookPause):
		}
	}
}

// hostUsed is the host's used memory, 0 if it is not known.
func hostUsed() uint64 {
	memory, err := proc.HostMemory()
	if err != nil {
		return 0
	}
	return memory.Used
}
