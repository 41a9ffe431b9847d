package load

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Spread says from where and to where each connection goes, by its number
// alone: nothing is kept per connection. Connections of one port are cut into
// blocks, and each block has a source address of its own, so that 4-tuples do
// not run out.
type Spread struct {
	Host        netip.Addr // not a 4-in-6 address
	FirstPort   int
	PerPort     int          // connections to a port before the next
	Sources     []netip.Addr // of a host that is not loopback; none: the kernel chooses
	Connections int
	// Skip is where numbers begin: two clients to one server do not use each
	// other's ports if one skips the connections of the other.
	Skip int
	// Local says that Host is an address of this very host, so that sources of
	// 127.0.0.0/8 reach it.
	Local   bool
	Binding Binding
}

// Binding is who chooses the local port of a connection.
type Binding uint8

const (
	// BindAuto is BindKernel, which leaves the rest of the host its ports (doc.go).
	BindAuto Binding = iota
	// BindKernel leaves it to connect(2), which takes a free one of
	// net.ipv4.ip_local_port_range: blocks of 12,500 connections.
	BindKernel
	// BindExplicit takes it from the number and binds to it: blocks of 50,000.
	BindExplicit
)

// BindingNames are their names, as flags have them.
var BindingNames = []string{"auto", "kernel", "explicit"}

// ParseBinding knows a Binding by its name.
func ParseBinding(name string) (Binding, error) {
	at := slices.Index(BindingNames, name)
	if at < 0 {
		return 0, fmt.Errorf("--bind is %q; it is one of %s", name, strings.Join(BindingNames, ", "))
	}
	return Binding(at), nil
}

// blockMax is how many connections of one port have a source in common.
func (s Spread) blockMax() int {
	if s.Binding == BindExplicit {
		return explicitPortsPerSource
	}
	return connectionsPerSourceMax
}

// Check says what is wrong, in a sentence for the operator.
func (s Spread) Check() error {
	if s.Connections < 1 || s.Connections > connectionsMax {
		return fmt.Errorf("the number of connections is %d; ask for at least 1, and at most %d", s.Connections, connectionsMax)
	}
	if s.PerPort < 1 || s.PerPort > connectionsMax {
		return fmt.Errorf("--per-port is %d; it must be between 1 and %d", s.PerPort, connectionsMax)
	}
	if s.FirstPort < 1 || s.FirstPort > 65535 {
		return fmt.Errorf("--first-port is %d; a port is a number from 1 to 65535", s.FirstPort)
	}
	if last := s.LastPort(); last > 65535 {
		return fmt.Errorf("%d connections at %d per port from port %d on need ports up to %d, and 65535 is the last; raise --per-port", s.Skip+s.Connections, s.PerPort, s.FirstPort, last)
	}
	if blocks := s.blocksPerPort(); len(s.Sources) > 0 && len(s.Sources) < blocks {
		return fmt.Errorf("%d connections per port need %d source addresses (%d connections each), and --source gives %d; name more or lower --per-port", s.PerPort, blocks, s.blockMax(), len(s.Sources))
	}
	return nil
}

// LastPort is the last port that is connected to.
func (s Spread) LastPort() int { return s.FirstPort + (s.Skip+s.Connections-1)/s.PerPort }

func (s Spread) blocksPerPort() int {
	return (s.PerPort + s.blockMax() - 1) / s.blockMax()
}

// Of returns both ends of connection number, which counts from 0. An invalid
// source address, or a source port of 0, is for the kernel to choose.
func (s Spread) Of(number int) (source, target netip.AddrPort) {
	number += s.Skip
	port, place := number/s.PerPort, number%s.PerPort
	target = netip.AddrPortFrom(s.Host, uint16(s.FirstPort+port))
	block := port*s.blocksPerPort() + place/s.blockMax()
	var address netip.Addr
	switch {
	case len(s.Sources) > 0:
		address = s.Sources[block%len(s.Sources)]
	case s.Host.Is4() && (s.Host.IsLoopback() || s.Local):
		address = loopbackSource(block)
	default:
		return source, target
	}
	local := 0
	if s.Binding == BindExplicit {
		local = explicitPortFirst + place%s.blockMax()
	}
	return netip.AddrPortFrom(address, uint16(local)), target
}

// loopbackSource is the address of a block in 127.0.0.0/8, which is loopback
// as a whole without being configured. 127.0.x.x is left to others, and no
// last byte is 0 or 255. There is a block for
// every port and for every 12,500 connections at the least, and 254 * 254 * 254 fit.
func loopbackSource(block int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + block/(254*254)%254), byte(1 + block/254%254), byte(1 + block%254)})
}

// ParseSources reads addresses with commas between; an empty text is none.
func ParseSources(text string) ([]netip.Addr, error) {
	if text == "" {
		return nil, nil
	}
	var sources []netip.Addr
	for _, part := range strings.Split(text, ",") {
		address, err := netip.ParseAddr(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("source address %q is not an IP address", part)
		}
		sources = append(sources, address.Unmap())
	}
	return sources, nil
}
