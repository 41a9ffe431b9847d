package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"c10m/bench/load"
)

const (
	fanoutChannel = "soak-all"
	bulkChannel   = "soak-bulk"
	ownChannels   = "soak-own-%d"
)

// The groups.
const (
	groupFanout = "fan-out"
	groupOwn    = "own channels"
	groupBulk   = "bulk"
	groupChurn  = "churn"
)

// A group is connections of one kind.
type group struct {
	name   string
	client *load.Client
	steady bool // nobody leaves
}

// blockConnections is after how many numbers load.Spread takes another source
// address: each group has its own, so that the ports of those who left (a
// minute in TIME_WAIT) are nobody else's trouble.
const blockConnections = 12_500

// connect opens all groups, and fails if one cannot be opened.
func (r *soak) connect(ctx context.Context) error {
	s := &r.settings
	for i, g := range []struct {
		name, channel string
		connections   int
		steady        bool
	}{
		{groupFanout, fanoutChannel, s.Steady, true},
		{groupOwn, ownChannels, s.Own, true},
		{groupBulk, bulkChannel, s.Bulk, true},
		{groupChurn, fanoutChannel, s.Churners, false},
	} {
		client, err := load.Start(load.Config{
			Spread: load.Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: r.ports.clients,
				PerPort: 1_000_000, Skip: i * blockConnections, Connections: g.connections},
			Channel: g.channel, Publishes: true, Fewest: true, Retries: 3, HandshakeTimeout: hangGuard,
		})
		if err != nil {
			return err
		}
		r.groups = append(r.groups, group{g.name, client, g.steady})
		if _, err := client.AwaitConnected(ctx); err != nil {
			return fmt.Errorf("connecting for %s: %w", g.name, err)
		}
	}
	return nil
}

// newPublisher makes the streams over the groups.
func (r *soak) newPublisher() *publisher {
	s := &r.settings
	fanout, own, bulk, churn := r.groups[0].client, r.groups[1].client, r.groups[2].client, r.groups[3].client
	random := rand.New(rand.NewPCG(s.Seed, 2))
	all := func() int { return 0 }
	return &publisher{address: r.redis.address(), streams: []*stream{
		{name: "fan-out", clients: []*load.Client{fanout, churn}, rate: s.FanoutRate, bytes: s.FanoutBytes, target: all,
			count: func(p *position) *uint64 { return &p.fanout }},
		{name: "unicast", clients: []*load.Client{own}, rate: s.UnicastRate, bytes: s.UnicastBytes,
			target: func() int { return random.IntN(own.Connections()) },
			count:  func(p *position) *uint64 { return &p.own }},
		{name: "bulk", clients: []*load.Client{bulk}, rate: s.BulkRate, bytes: s.BulkBytes, target: all,
			count: func(p *position) *uint64 { return &p.bulk }},
	}}
}

// moment is what all groups have seen.
func (r *soak) moment() (all load.Snapshot) {
	for _, g := range r.groups {
		mine := g.client.Moment()
		all.Merge(&mine)
	}
	return all
}

// churn keeps connections coming and going until ctx ends: half of them say
// goodbye, the others end the stream and reset it by turns. Then it waits until
// all are back.
func (r *soak) churn(ctx context.Context) error {
	client := r.groups[3].client
	for reset := false; ctx.Err() == nil; reset = !reset {
		if err := client.Churn(load.Churn{Rate: r.settings.ChurnRate, Reset: reset}); err != nil {
			return err
		}
		sleep(ctx, r.settings.Duration/20)
	}
	if err := client.Churn(load.Churn{}); err != nil {
		return err
	}
	guard, cancel := context.WithTimeout(context.Background(), hangGuard)
	defer cancel()
	client.Await(guard, (*load.Snapshot).AllBack) // the checks tell if they are not
	return nil
}
