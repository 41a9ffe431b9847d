package scenario

import (
	"context"

	"c10m/bench/load"
)

// A party is connections that are measured by themselves, on loops of their
// own.
type party struct {
	*load.Client
	subscribers int           // open when measuring began
	seen        load.Snapshot // at the end, with what is lost at the tail
}

// parties are everybody or, in mixed, everybody else and the probes.
type parties []*party

// probeChannel is the channel of a probe.
const probeChannel = "probe/%d"

// startParties begins to connect. The probes have a client of their own: what
// they wait for would else be the fan-out that their loop has to read for
// others. It comes first, since its descriptor tables are to hold no others'
// connections (package load).
func startParties(config load.Config, probes int) (started parties, err error) {
	for _, c := range configs(config, probes) {
		client, err := load.Start(c)
		if err != nil {
			started.stop()
			return nil, err
		}
		started = append(parties{{Client: client}}, started...)
	}
	return started, nil
}

// configs are those of the probes, if there are any, and of everybody else.
func configs(config load.Config, probes int) []load.Config {
	if probes == 0 {
		return []load.Config{config}
	}
	all := config.Spread.Connections
	few := config
	few.Channel, few.Loops, few.Fewest = probeChannel, 0, true
	few.PrivateFDTables = config.PrivateFDTables || !load.FitOneTable(all)
	few.Spread.Connections, few.Spread.Skip = probes, all-probes
	config.Spread.Connections = all - probes
	if config.Rate > 0 {
		few.Rate = max(1, config.Rate*probes/all)
		config.Rate = max(1, config.Rate-few.Rate)
	}
	return []load.Config{few, config}
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

func (p parties) loops() (n int) {
	for _, one := range p {
		n += one.Loops()
	}
	return n
}
