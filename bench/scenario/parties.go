package scenario

import (
	"context"
	"strings"
	"time"

	"c10m/bench/load"
)

// A party is connections that are measured by themselves, on loops of their
// own.
type party struct {
	*load.Client
	kind        partyKind
	subscribers int           // open when measuring began
	seen        load.Snapshot // at the end, with what is lost at the tail
}

// partyKind is why a party is measured apart.
type partyKind uint8

const (
	everybody partyKind = iota
	probes              // of mixed and disconnect
	sample              // the kernel's sockets beside ends in user space
)

// parties are everybody, then the probes of mixed and the sample, if there are
// any.
type parties []*party

// probeChannel is the channel of a probe, samplePrefix comes before the channel
// of a sampled connection if each has its own.
const (
	probeChannel = "probe/%d"
	samplePrefix = "sample/"
)

// startParties begins to connect. The probes have a client of their own: what
// they wait for would else be the fan-out that their loop has to read for
// others. It comes first, since its descriptor tables are to hold no others'
// connections (package load).
func startParties(o *Options) (started parties, err error) {
	list := configs(o)
	if u := o.Load.UserSpace; u != nil {
		// First, since the server's address comes with it.
		if err := u.Open(list[len(list)-1].Spread); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				u.Close()
			}
		}()
	}
	var beside *load.Client
	for _, c := range list {
		if c.kind == everybody {
			c.Beside = beside
		}
		client, err := load.Start(c.Config)
		if err != nil {
			started.stop()
			return nil, err
		}
		if c.kind == sample {
			beside = client
		}
		started = append(parties{{Client: client, kind: c.kind}}, started...)
	}
	return started, nil
}

// A partyConfig is what to start.
type partyConfig struct {
	load.Config
	kind partyKind
}

// configs are those of the sample and of the probes, if there are any, and of
// everybody else.
func configs(o *Options) (list []partyConfig) {
	rest := o.Load
	if o.Sample > 0 || o.Probes > 0 {
		// A server gives those who come together to one of its loops, so the few
		// come spread among the others.
		rest.Leads = new(load.Progress)
	}
	sockets := rest.Spread.Connections
	if rest.UserSpace != nil {
		sockets = o.Sample + o.Probes
	}
	split := func(kind partyKind, n int) {
		if n == 0 {
			return
		}
		all := rest.Spread.Connections
		few := rest
		few.Loops, few.Fewest, few.UserSpace = 0, true, nil
		few.Leads, few.Follows = nil, rest.Leads
		few.Spread.Local = rest.UserSpace != nil
		few.PrivateFDTables = rest.PrivateFDTables || !load.FitOneTable(sockets)
		few.Spread.Connections, few.Spread.Skip = n, all-n
		rest.Spread.Connections = all - n
		if rest.Rate > 0 {
			few.Rate = max(1, rest.Rate*n/all)
			rest.Rate = max(1, rest.Rate-few.Rate)
		}
		switch {
		case kind == probes:
			few.Channel = probeChannel
		case strings.Contains(few.Channel, "%d"):
			few.Channel = samplePrefix + few.Channel
		}
		list = append(list, partyConfig{few, kind})
	}
	split(sample, o.Sample)
	split(probes, o.Probes)
	if rest.Leads != nil {
		rest.Leads.Wanted = rest.Spread.Connections
	}
	return append(list, partyConfig{rest, everybody})
}

// of is the party of a kind, or nil.
func (p parties) of(kind partyKind) *party {
	for _, one := range p {
		if one.kind == kind {
			return one
		}
	}
	return nil
}

func (p parties) stop() {
	for _, one := range p {
		one.Stop()
	}
}

// sum adds up what all parties have seen.
func (p parties) sum(look func(*party) load.Snapshot) (total load.Snapshot) {
	for _, one := range p {
		s := look(one)
		total.Merge(&s)
	}
	return total
}

// moment is for the sampler alone.
func (p parties) moment() load.Snapshot {
	return p.sum(func(one *party) load.Snapshot { return one.Moment() })
}

func (p parties) missing() (missing uint64) {
	for _, one := range p {
		missing += one.Missing()
	}
	return missing
}

// decided waits until no connection is still to be made.
func (p parties) decided(ctx context.Context) (s load.Snapshot, err error) {
	return p.sum(func(one *party) load.Snapshot {
		s, ended := one.Await(ctx, (*load.Snapshot).Decided)
		if ended != nil {
			err = ended
		}
		return s
	}), err
}

// await looks at all together until they are as wanted or ctx ends.
func (p parties) await(ctx context.Context, wanted func(*load.Snapshot) bool) (total load.Snapshot, err error) {
	for {
		total = p.sum(func(one *party) load.Snapshot { return one.Glance() })
		if wanted(&total) {
			return total, nil
		}
		select {
		case <-ctx.Done():
			return total, ctx.Err()
		case <-time.After(settlePause):
		}
	}
}

func (p parties) loops() (n int) {
	for _, one := range p {
		n += one.Loops()
	}
	return n
}
