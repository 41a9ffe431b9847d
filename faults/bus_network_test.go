package faults

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"c10m/internal/servertest"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A network is the way from a server to its Redis.
type network struct {
	*toxiproxy.Proxy
	t    *testing.T
	port int
}

// The library logs the work of each toxic, whatever logger it was given.
func init() { zerolog.SetGlobalLevel(zerolog.Disabled) }

// startNetwork leads from a free port to a Redis.
func startNetwork(t *testing.T, redis int) *network {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{t: t, Proxy: toxiproxy.NewProxy(api, "redis", "127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", redis))}
	n.mend()
	t.Cleanup(n.Stop)
	address, err := net.ResolveTCPAddr("tcp", n.Listen)
	if err != nil {
		t.Fatal(err)
	}
	n.port = address.Port
	return n
}

// mend is the opposite of Stop, which ends all connections and refuses new ones.
func (n *network) mend() {
	n.t.Helper()
	if err := n.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// inject adds a toxic to both directions or to one; heal removes it. Do not heal
// what only delays: the library holds up a link while it takes such a toxic off,
// for as long as a fault of its own.
func (n *network) inject(kind, attributes string, streams ...string) (heal func()) {
	n.t.Helper()
	if len(streams) == 0 {
		streams = []string{"upstream", "downstream"}
	}
	for _, stream := range streams {
		toxic := fmt.Sprintf(`{"name":"%s-%s","type":"%s","stream":"%s","attributes":{%s}}`, kind, stream, kind, stream, attributes)
		if _, err := n.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			n.t.Fatal(err)
		}
	}
	return func() {
		n.t.Helper()
		for _, stream := range streams {
			if err := n.Toxics.RemoveToxic(context.Background(), kind+"-"+stream); err != nil {
				n.t.Fatal(err)
			}
		}
	}
}

// behindANetwork is a Redis, a network, a server and a fleet that has had ten
// messages.
func behindANetwork(t *testing.T, clients int, args ...string) (*network, *servertest.Server, *publisher, *fleet) {
	t.Helper()
	redis := servertest.FreePort(t)
	servertest.StartRedis(t, redis)
	n := startNetwork(t, redis)
	s := startServerAt(t, n.port, args...)
	green(t, s)
	p, f := newPublisher(t, redis), subscribe(t, s, clients)
	f.await(p.publish(10, 100))
	return n, s, p, f
}

// The ways in which a network ends a subscription. What is published meanwhile
// is lost to everybody who is connected, exactly that, and each is told.
func TestBusNetworkFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		name, told string
		inject     func(n *network) (heal func())
	}{
		{"refuses", "network to Redis cut, connections refused", func(n *network) func() { n.Stop(); return n.mend }},
		{"dead", "network to Redis drops everything without a word", func(n *network) func() { return n.inject("timeout", `"timeout":0`) }},
		{"resets", "network to Redis resets every connection", func(n *network) func() { return n.inject("reset_peer", `"timeout":0`) }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			clients, meanwhile := scale(300, 2000), 50
			n, s, p, f := behindANetwork(t, clients)
			heal := fault.inject(n)
			injected := time.Now()
			red(t, s)
			t.Logf("red after %v", time.Since(injected).Round(time.Millisecond))
			eventually(t, "the gap is counted", func() bool { return s.Metric("c10m_bus_gaps_total") == 1 })
			p.publish(meanwhile, 100)
			heal()
			healed := time.Now()
			green(t, s)
			recovered := time.Since(healed)
			f.closedWith(missedMessages)
			lost := f.lost(p.taken)
			if lost != clients*meanwhile {
				t.Errorf("%d messages lost, and %d were published to nobody", lost, clients*meanwhile)
			}
			aNewFleetMissesNothing(t, s, p, clients)
			gaps(t, s, 1, clients)
			held(t, outcome{fault: fault.told, clients: clients, lost: lost, recover: recovered,
				held: "health red, the gap counted, every client told (4001), newcomers left alone"})
		})
	}
}

// A connection that ends in the middle of a message: nobody gets a part of it.
func TestBusCutHalfWayThroughAMessage(t *testing.T) {
	t.Parallel()
	const filler = 64 << 10
	clients := scale(300, 2000)
	n, s, p, f := behindANetwork(t, clients)
	// The connections that come next are not cut: the limit counts for each anew.
	heal := n.inject("limit_data", fmt.Sprintf(`"bytes":%d`, filler/2), "downstream")
	if subscribers, err := p.try(filler); subscribers != 1 || err != nil {
		t.Fatalf("PUBLISH at %d subscribers: %v", subscribers, err)
	}
	eventually(t, "the gap is counted", func() bool { return s.Metric("c10m_bus_gaps_total") == 1 })
	injected := time.Now()
	green(t, s)
	recovered := time.Since(injected)
	f.closedWith(missedMessages)
	heal()
	lost := f.lost(p.taken)
	if lost != clients {
		t.Errorf("%d messages lost, and should be the one that was cut for each of %d", lost, clients)
	}
	green(t, s)
	aNewFleetMissesNothing(t, s, p, clients)
	held(t, outcome{fault: "Redis cut off half-way through a message", clients: clients, lost: lost, recover: recovered,
		held: "nobody got a part of it, every client told (4001)"})
}

// With --gap ignore the same is counted, and nobody is told.
func TestBusGapIgnored(t *testing.T) {
	t.Parallel()
	clients, meanwhile := scale(300, 2000), 50
	n, s, p, f := behindANetwork(t, clients, "--gap", "ignore")
	n.Stop()
	red(t, s)
	p.publish(meanwhile, 100)
	n.mend()
	mended := time.Now()
	green(t, s)
	recovered := time.Since(mended)
	f.await(p.publish(10, 100))
	lost := f.lost(p.taken)
	if lost != clients*meanwhile || f.open() != clients {
		t.Errorf("%d messages lost of %d, %d of %d clients open", lost, clients*meanwhile, f.open(), clients)
	}
	gaps(t, s, 1, 0)
	held(t, outcome{fault: "network to Redis cut, with --gap ignore", clients: clients, lost: lost, recover: recovered,
		held: "the gap counted, nobody closed, what came after in order"})
}

// A slow path is not a dead one: health does not flap, nothing is lost, and the
// order stays.
func TestBusSlowPath(t *testing.T) {
	t.Parallel()
	clients := scale(300, 2000)
	redis := servertest.FreePort(t)
	servertest.StartRedis(t, redis)
	n := startNetwork(t, redis)
	n.inject("latency", `"latency":250,"jitter":50`)
	s := startServerAt(t, n.port, "--bus-probe", "4s")
	green(t, s)
	p, f := newPublisher(t, redis), subscribe(t, s, clients)
	since, probes := s.Metric("c10m_bus_changed_timestamp_seconds"), s.Metric("c10m_bus_reserved_messages_total")
	eventually(t, "probes come back over the slow path", func() bool {
		p.publish(1, 100)
		time.Sleep(100 * time.Millisecond)
		return s.Metric("c10m_bus_reserved_messages_total") >= probes+float64(scale(2, 15))
	})
	f.await(p.publish(10, 100))
	lost := f.lost(p.taken)
	if lost != 0 || f.open() != clients {
		t.Errorf("%d messages lost, %d of %d clients open", lost, f.open(), clients)
	}
	if now := s.Metric("c10m_bus_changed_timestamp_seconds"); now != since || !s.Healthy() {
		t.Errorf("health has changed: %v, before %v", now, since)
	}
	gaps(t, s, 0, 0)
	held(t, outcome{fault: "network to Redis with 200 to 300 ms each way", clients: clients, lost: lost,
		held: "health green all the time, nothing lost, order kept"})
}

// A message that takes longer than all of the probe's time to arrive is no
// reason to give up the subscription, as long as some of it keeps coming.
func TestBusLargeMessageOnANarrowPath(t *testing.T) {
	t.Parallel()
	clients := scale(300, 1000)
	// A probe may take long, since a busy machine must not look like a dead path.
	n, s, p, f := behindANetwork(t, clients, "--bus-probe", "4s")
	n.inject("bandwidth", `"rate":28`, "downstream") // KB/s: the message takes 9 s
	last := p.publish(1, 256<<10)
	red(t, s) // its probe waits behind the message
	f.await(last)
	green(t, s)
	f.await(p.publish(10, 100))
	lost := f.lost(p.taken)
	if lost != 0 || f.open() != clients {
		t.Errorf("%d messages lost, %d of %d clients open", lost, f.open(), clients)
	}
	gaps(t, s, 0, 0)
	held(t, outcome{fault: "network to Redis so narrow that one message takes longer than a probe may", clients: clients, lost: lost,
		held: "health red, the message whole, no gap"})
}
