package usertcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// A Plan says which ends a stack's connections have: connection i is the one
// with number FirstNumber + i of all, and comes from the address
// Source + i/PortsPerSource. Both ends follow from i and i from our end, so
// nothing is looked up.
type Plan struct {
	Server      uint32 // address
	ServerPort  int    // of the connections with the first numbers
	PerPort     int    // connections to a port before the next
	FirstNumber int
	Source      uint32 // first of our addresses
	Connections int
}

// Sources is how many addresses so many connections need.
func Sources(connections int) int { return (connections + PortsPerSource - 1) / PortsPerSource }

// segment begins a segment of a connection.
func (p *Plan) segment(i uint32) Segment {
	return Segment{Source: p.Source + i/PortsPerSource, SourcePort: uint16(FirstPort + i%PortsPerSource),
		Target: p.Server, TargetPort: p.serverPort(i)}
}

func (p *Plan) serverPort(i uint32) uint16 {
	return uint16(p.ServerPort + (p.FirstNumber+int(i))/p.PerPort)
}

// indexOf finds the connection of a segment from the server.
func (p *Plan) indexOf(s *Segment) (i uint32, ok bool) {
	address := s.Target - p.Source
	if address > uint32(p.Connections)/PortsPerSource || s.TargetPort < FirstPort || s.Source != p.Server {
		return 0, false
	}
	i = address*PortsPerSource + uint32(s.TargetPort) - FirstPort
	return i, i < uint32(p.Connections) && s.SourcePort == p.serverPort(i)
}

// A Network is where user-space ends live: the server's address and all other
// addresses of its prefix.
type Network struct {
	Server netip.Addr
	Prefix netip.Prefix
}

// NetworkBits is the prefix that a server's address is taken to be in: that of
// 198.18.0.0/15, which RFC 2544 sets apart for benchmarks. 6,400,000,000
// connections fit.
const NetworkBits = 15

// NetworkOf is the network of a server's address.
func NetworkOf(server netip.Addr) (Network, error) {
	if !server.Is4() || server.IsLoopback() || server.IsUnspecified() || server.IsMulticast() {
		return Network{}, fmt.Errorf("user-space ends need an IPv4 address of the device for the server, and not %s: 198.18.0.1 is one that nobody uses", server)
	}
	prefix, err := server.Prefix(NetworkBits)
	return Network{Server: server, Prefix: prefix}, err
}

// FirstSource is the first address that clients may have: 256 beyond the
// server's, so that no trace has one beside it.
func (n Network) FirstSource() uint32 { return AddressNumber(n.Server) + 256 }

// Check says whether so many addresses fit.
func (n Network) Check(sources int) error {
	last := n.FirstSource() + uint32(sources)
	if !n.Prefix.Contains(addressOf(last)) {
		return errors.New("so many connections have no room behind the server's address in its network: take 198.18.0.1 for it")
	}
	return nil
}

// AddressNumber is an IPv4 address as a number, the first byte highest.
func AddressNumber(a netip.Addr) uint32 {
	as4 := a.As4()
	return binary.BigEndian.Uint32(as4[:])
}

func addressOf(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
