package load

import (
	"net/netip"
	"strings"
	"testing"
)

// No 4-tuple twice: from one source address to one port there are never more
// connections than connectionsPerSourceMax, which have local ports of their own.
func TestSpread(t *testing.T) {
	loopback, far := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	four, err := ParseSources("198.51.100.1, 198.51.100.2,198.51.100.3,198.51.100.4")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		spread Spread
		pairs  int
		last   int
	}{
		{"as in 2016", Spread{Host: loopback, FirstPort: 10000, PerPort: 50_000, Connections: 10_000_000}, 800, 10199},
		{"five million", Spread{Host: loopback, FirstPort: 10000, PerPort: 50_000, Connections: 5_000_000}, 400, 10099},
		{"one port", Spread{Host: loopback, FirstPort: 10000, PerPort: 5_000_000, Connections: 5_000_000}, 400, 10000},
		{"odd blocks", Spread{Host: loopback, FirstPort: 10000, PerPort: 12_501, Connections: 5_000_000}, 799, 10399},
		{"many ports", Spread{Host: loopback, FirstPort: 1, PerPort: 77, Connections: 5_000_000}, 64_936, 64_936},
		{"one", Spread{Host: loopback, FirstPort: 65535, PerPort: 1, Connections: 1}, 1, 65535},
		{"four sources", Spread{Host: far, FirstPort: 10000, PerPort: 50_000, Sources: four, Connections: 5_000_000}, 400, 10099},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spread.Binding = BindKernel
			if err := c.spread.Check(); err != nil {
				t.Fatal(err)
			}
			checkTuples(t, c.spread, c.pairs, c.last)
		})
	}
}

func checkTuples(t *testing.T, s Spread, pairs, last int) {
	type ends struct {
		source netip.Addr
		target netip.AddrPort
	}
	perPair, perPort := map[ends]int{}, map[uint16]int{}
	// Numbers come in runs of one pair, so a map is asked once per run: the
	// test looks at every number of 5,000,000.
	var run ends
	length := 0
	end := func() {
		if perPair[run] += length; length > 0 {
			perPort[run.target.Port()] += length
		}
	}
	for number := range s.Connections {
		from, target := s.Of(number)
		source := from.Addr()
		if source == run.source && target == run.target {
			length++
			continue
		}
		end()
		run, length = ends{source, target}, 1
	}
	end()
	delete(perPair, ends{})
	lastPort := uint16(0)
	for port := range perPort {
		lastPort = max(lastPort, port)
	}
	for pair, n := range perPair {
		if pair.target.Addr() != s.Host {
			t.Errorf("connections to %v", pair.target)
		}
		if n > connectionsPerSourceMax {
			t.Errorf("%d connections from %v to %v", n, pair.source, pair.target)
		}
		if b := pair.source.As4(); len(s.Sources) == 0 && (b[0] != 127 || b[1] == 0 || b[3] == 0 || b[3] == 255) {
			t.Errorf("source %v", pair.source)
		}
	}
	for port, n := range perPort {
		if n > s.PerPort {
			t.Errorf("%d connections to port %d", n, port)
		}
	}
	if len(perPair) != pairs || int(lastPort) != last || s.LastPort() != last {
		t.Errorf("%d pairs of source and port, last port %d", len(perPair), lastPort)
	}
}

// Who skips the connections of another client goes on where it ends.
func TestSpreadSkip(t *testing.T) {
	all := Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: 10000, PerPort: 60_000, Connections: 130_000}
	for _, binding := range []Binding{BindKernel, BindExplicit} {
		all.Binding = binding
		rest := all
		rest.Skip, rest.Connections = 49_990, all.Connections-49_990
		if rest.LastPort() != all.LastPort() {
			t.Errorf("the last ports are %d and %d", rest.LastPort(), all.LastPort())
		}
		for number := range rest.Connections {
			source, target := rest.Of(number)
			if s, to := all.Of(rest.Skip + number); s != source || to != target {
				t.Fatalf("%d is from %v to %v, instead of %v to %v", number, source, target, s, to)
			}
		}
	}
	all.FirstPort, all.Skip = 65_535, 1
	if all.PerPort = all.Connections; all.Check() == nil {
		t.Error("a port above 65535 is taken")
	}
}

// With ports of our own choice no pair of ends comes twice, though a source
// has four times the connections.
func TestSpreadExplicitPorts(t *testing.T) {
	s := Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: 10000, PerPort: 50_000,
		Connections: 5_000_000, Binding: BindExplicit}
	seen := make(map[netip.Addr][]uint64)
	for number := range s.Connections {
		source, _ := s.Of(number)
		if source.Port() < explicitPortFirst || source.Port() >= explicitPortFirst+explicitPortsPerSource {
			t.Fatalf("port %d", source.Port())
		}
		ports := seen[source.Addr()]
		if ports == nil {
			ports = make([]uint64, 1024)
			seen[source.Addr()] = ports
		}
		word, bit := source.Port()/64, uint64(1)<<(source.Port()%64)
		if ports[word]&bit != 0 {
			t.Fatalf("connection %d is the second from %v", number, source)
		}
		ports[word] |= bit
	}
	if len(seen) != 100 {
		t.Errorf("%d sources", len(seen))
	}
	for i, name := range BindingNames {
		if b, err := ParseBinding(name); err != nil || b != Binding(i) {
			t.Errorf("%s is %d, %v", name, b, err)
		}
	}
	if _, err := ParseBinding("glue"); err == nil {
		t.Error("glue binds")
	}
}

// The kernel chooses where nothing is known.
func TestSpreadFarHost(t *testing.T) {
	for _, host := range []string{"192.0.2.1", "2001:db8::1", "::1"} {
		s := Spread{Host: netip.MustParseAddr(host), FirstPort: 80, PerPort: 10, Connections: 100}
		if source, target := s.Of(55); source.Addr().IsValid() || target.Port() != 85 {
			t.Errorf("%s: from %v to %v", host, source, target)
		}
	}
}

func TestSpreadCheck(t *testing.T) {
	host := netip.MustParseAddr("192.0.2.1")
	one := []netip.Addr{netip.MustParseAddr("198.51.100.1")}
	for _, c := range []struct {
		spread Spread
		wanted string
	}{
		{Spread{Host: host, FirstPort: 1, PerPort: 1}, "at least 1"},
		{Spread{Host: host, FirstPort: 1, Connections: 1}, "--per-port"},
		{Spread{Host: host, FirstPort: 0, PerPort: 1, Connections: 1}, "--first-port"},
		{Spread{Host: host, FirstPort: 65535, PerPort: 1, Connections: 2}, "65535 is the last"},
		{Spread{Host: host, FirstPort: 1, PerPort: 12_501, Connections: 2, Sources: one}, "need 2 source addresses"},
		{Spread{Host: host, FirstPort: 1, PerPort: 50_001, Connections: 2, Sources: one, Binding: BindExplicit}, "need 2 source addresses"},
	} {
		if err := c.spread.Check(); err == nil || !strings.Contains(err.Error(), c.wanted) {
			t.Errorf("%+v: %v", c.spread, err)
		}
	}
	if _, err := ParseSources("here"); err == nil {
		t.Error("a source that is no address is taken")
	}
}
