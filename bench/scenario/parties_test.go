package scenario

import (
	"net/netip"
	"runtime"
	"testing"

	"c10m/bench/load"
	"c10m/bench/load/loadtest"
)

// The probes take their connections from everybody else's, and have ends,
// channels and a rate of their own.
func TestConfigs(t *testing.T) {
	config := load.Config{Channel: "news", Loops: 5, Rate: 1000, PrivateFDTables: true,
		Spread: load.Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: 10000, PerPort: 300, Connections: 1000,
			Binding: load.BindExplicit}} // so that the ports of both can be compared
	if same := configs(&Options{Load: config}); len(same) != 1 || same[0].Spread.Connections != 1000 || same[0].Rate != 1000 || same[0].Loops != 5 {
		t.Errorf("without probes: %+v", same)
	}
	both := configs(&Options{Load: config, Probes: 100})
	few, most := both[0], both[1]
	if few.Spread.Connections != 100 || few.Channel != probeChannel || few.Loops != 0 || !few.Fewest || few.Rate != 100 || !few.PrivateFDTables {
		t.Errorf("probes: %+v", few)
	}
	if most.Spread.Connections != 900 || most.Channel != "news" || most.Loops != 5 || most.Fewest || most.Rate != 900 {
		t.Errorf("everybody else: %+v", most)
	}
	seen := map[[2]netip.AddrPort]bool{}
	for _, c := range both {
		for number := range c.Spread.Connections {
			from, to := c.Spread.Of(number)
			seen[[2]netip.AddrPort{from, to}] = true
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d different pairs of ends", len(seen))
	}
	config.Rate, config.PrivateFDTables = 1, false
	both = configs(&Options{Load: config, Probes: 100})
	if both[0].Rate != 1 || both[1].Rate != 1 || both[0].PrivateFDTables {
		t.Errorf("at one connect a second: %+v", both)
	}
}

// Of ends in user space, the sample and the probes are the kernel's, reach the
// server from loopback addresses, and have ends and channels of their own.
func TestConfigsInUserSpace(t *testing.T) {
	o := Options{Sample: 50, Probes: 20, Load: load.Config{Channel: "news", UserSpace: &load.UserSpace{},
		Spread: load.Spread{Host: netip.MustParseAddr("198.18.0.1"), FirstPort: 10000, PerPort: 300, Connections: 1000}}}
	list := configs(&o)
	if len(list) != 3 || list[0].kind != sample || list[1].kind != probes || list[2].kind != everybody {
		t.Fatalf("%+v", list)
	}
	for i, wanted := range []struct{ connections, skip int }{{50, 950}, {20, 930}, {930, 0}} {
		if s := list[i].Spread; s.Connections != wanted.connections || s.Skip != wanted.skip || (list[i].UserSpace != nil) != (i == 2) || s.Local != (i < 2) {
			t.Errorf("%d: %+v", i, s)
		}
	}
	if source, _ := list[0].Spread.Of(0); !source.Addr().IsLoopback() {
		t.Errorf("the sample comes from %v", source)
	}
	if list[0].Channel != "news" || list[1].Channel != probeChannel || list[0].PrivateFDTables {
		t.Errorf("channels %s and %s", list[0].Channel, list[1].Channel)
	}
	o.Load.Channel, o.Probes = "own/%d", 0
	if list = configs(&o); list[0].Channel != "sample/own/%d" || list[1].Channel != "own/%d" {
		t.Errorf("channels %s and %s", list[0].Channel, list[1].Channel)
	}
}

// Two clients of one process connect to one server, and what they see is added
// up.
func TestParties(t *testing.T) {
	s := loadtest.Start(t, loadtest.Fault{})
	o := options("mixed", s.Port, s.Bus)
	o.Load.Channel, o.Load.Loops, o.Load.Publishes = "news", runtime.NumCPU()+1, true
	o.Probes = 7
	p, err := startParties(&o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	total, err := p.decided(t.Context())
	if err != nil || total.Open != connections || total.Wanted != connections {
		t.Errorf("%v; %+v", err, total)
	}
	if p[1].Loops() != 1 || p.loops() != runtime.NumCPU()+2 || total.Loops != p.loops() {
		t.Errorf("%d loops, %d of them for the probes", p.loops(), p[1].Loops())
	}
	if p[0].ChannelOf(3) != "news" || p[1].ChannelOf(3) != "probe/3" || p[1].Connections() != 7 {
		t.Errorf("channels %s and %s", p[0].ChannelOf(3), p[1].ChannelOf(3))
	}
	p[0].Next(0)
	p[1].Next(3)
	if n := p.missing(); n != connections-7+1 {
		t.Errorf("%d messages are missing", n)
	}
	o.Load.Spread.PerPort = 0
	if _, err := startParties(&o); err == nil {
		t.Error("a wrong spread is taken")
	}
}
