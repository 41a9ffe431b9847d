package access

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Networks is a set of IP networks. The zero value is the empty set. It does
// not change after it was made, so any goroutine may use it.
//
// It is looked through from the front: 3 ns a network. A list as long as a
// large CDN's (some hundreds) costs a handshake a microsecond.
type Networks struct {
	prefixes []netip.Prefix
}

// ParseNetworks reads networks in CIDR notation (RFC 4632, RFC 4291), or single
// addresses. An error is one sentence for the operator.
func ParseNetworks(texts []string) (*Networks, error) {
	n := &Networks{}
	for _, text := range texts {
		prefix, err := parseNetwork(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		n.prefixes = append(n.prefixes, prefix)
	}
	return n, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	address, err := netip.ParseAddr(text)
	if err == nil {
		address = Normal(address)
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is no network; write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1", text)
	}
	if prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("%q is a network of IPv4 written as IPv6; leave the ::ffff: away", text)
	}
	// 10.1.2.3/8 is a mistake in one of its halves, and nobody knows which.
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%q has bits set behind its first %d; do you mean %v?", text, prefix.Bits(), prefix.Masked())
	}
	return prefix, nil
}

// Contains reports whether an address is in one of the networks. It is
// normalised first. An invalid address is in none.
func (n *Networks) Contains(address netip.Addr) bool {
	if n.Empty() {
		return false
	}
	address = Normal(address)
	return slices.ContainsFunc(n.prefixes, func(prefix netip.Prefix) bool { return prefix.Contains(address) })
}

// Empty reports whether no address is in the set.
func (n *Networks) Empty() bool { return n == nil || len(n.prefixes) == 0 }

// nat64 is the prefix under which translators show hosts of IPv4 to hosts of
// IPv6 (RFC 6052, 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// Normal returns the one form of an address in which it is compared: IPv4 as
// IPv4, however it came. That is the mapped form that a listener of both
// families sees (RFC 4291, 2.5.5.2), and that of a translator in front of a
// host that has IPv6 only (RFC 6052), behind which all of IPv4 would be one /64
// else. A zone is dropped.
func Normal(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is6() && nat64.Contains(address) {
		b := address.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return address
}

// A Key is what connections of one client are counted under; 0 is nobody.
type Key uint64

// KeyOf returns the key of an address: an IPv4 address itself, and of an IPv6
// address its /64, which is what one customer gets at least (RFC 6177, 2) and
// one host may pick its addresses from as it likes (RFC 8981).
//
// IPv4 has the keys below 1<<32: in IPv6 these are the /64s of ::/32, which is
// reserved (RFC 4291, 2.4) but for the loopback address; that gets the key of
// 0.0.0.1, an address that no peer has (RFC 1122, 3.2.1.3).
func KeyOf(address netip.Addr) Key {
	address = Normal(address)
	switch {
	case address.Is4():
		b := address.As4()
		return Key(binary.BigEndian.Uint32(b[:]))
	case address.Is6():
		b := address.As16()
		return max(1, Key(binary.BigEndian.Uint64(b[:8])))
	}
	return 0
}
