package poller

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// An Address is where listeners are opened.
type Address = netip.AddrPort

// ParseAddresses reads "address:port" or "address:first-last". An empty address
// is every IPv4 address; "[::]" is every address of both families, over IPv6
// sockets, which cost the kernel a little more.
func ParseAddresses(text string) ([]Address, error) {
	bad := func(why string) ([]Address, error) {
		return nil, fmt.Errorf("listen address %q: %s; write it like :10000-11000, 127.0.0.1:8080 or [::]:8080", text, why)
	}
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return bad("there is no port")
	}
	host, ports := text[:colon], text[colon+1:]
	address := netip.IPv4Unspecified()
	if host != "" {
		var err error
		if address, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err != nil {
			return bad("the part before the port is not an IP address")
		}
		if address.Zone() != "" {
			return bad("zones are not supported")
		}
	}
	firstText, lastText, isRange := strings.Cut(ports, "-")
	if !isRange {
		lastText = firstText
	}
	first, err := strconv.ParseUint(firstText, 10, 16)
	if err != nil || first == 0 {
		return bad("a port is a number from 1 to 65535")
	}
	last, err := strconv.ParseUint(lastText, 10, 16)
	if err != nil || last < first {
		return bad("a range of ports ends with a number from its first to 65535")
	}
	addresses := make([]Address, 0, last-first+1)
	for port := first; port <= last; port++ {
		addresses = append(addresses, netip.AddrPortFrom(address, uint16(port)))
	}
	return addresses, nil
}
