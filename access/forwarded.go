package access

import (
	"bytes"
	"errors"
	"net/netip"
)

// forwardedHopsMax is how many addresses of an X-Forwarded-For are looked at.
// Each is one more trusted proxy in a row; more than a handful is a loop.
const forwardedHopsMax = 32

// ForwardedLinesMax is how many of its lines are: each has an address, or it is empty.
const ForwardedLinesMax = forwardedHopsMax

var (
	// ErrNotForwarded: there is no X-Forwarded-For.
	ErrNotForwarded = errors.New("no X-Forwarded-For")
	// ErrForwarded: it cannot be read where it has to be.
	ErrForwarded = errors.New("bad X-Forwarded-For")
)

// ForwardedFor returns the client that a trusted proxy asks for: of the
// X-Forwarded-For of a request, whose lines are lent until the call
// returns, the last address that is not trusted itself. ForwardedLinesMax of them are
// enough: the last ones.
//
// Each proxy appends whom it was asked by, so the list is to be believed from
// its end, for as long as the proxies in it are trusted. What stands further
// left the client itself may have written: it is neither believed nor read, and
// so may be garbage. Several lines are one list (RFC 9110, 5.3). If all are
// trusted, it is the first: somebody inside asks.
//
// An entry is an address, with a port or without ("192.0.2.1:80", "[2001:db8::1]:80":
// both are seen in the field). An entry that had to be read and cannot be is
// ErrForwarded, and so are more than forwardedHopsMax: to guess would let somebody
// choose what he is counted under. The invalid Addr is returned for "unknown"
// (Squid's word), a client that the last proxy does not tell.
func ForwardedFor(lines [][]byte, trusted *Networks) (netip.Addr, error) {
	if len(lines) == 0 {
		return netip.Addr{}, ErrNotForwarded
	}
	client, hops := netip.Addr{}, 0
	for n := len(lines); n > 0; n-- {
		for rest, more := lines[n-1], true; more; {
			var entry []byte
			if rest, entry, more = cutLast(rest); len(entry) == 0 {
				// Lists may have empty elements (RFC 9110, 5.6.1.2).
				continue
			}
			if hops++; hops > forwardedHopsMax {
				return netip.Addr{}, ErrForwarded
			}
			if string(entry) == "unknown" {
				return netip.Addr{}, nil
			}
			address, err := parseForwarded(entry)
			if err != nil {
				return netip.Addr{}, ErrForwarded
			}
			if client = address; !trusted.Contains(client) {
				return client, nil
			}
		}
	}
	if hops == 0 {
		return netip.Addr{}, ErrForwarded
	}
	return client, nil
}

// cutLast cuts the last element off a list. more is false if it was the only one.
func cutLast(list []byte) (rest, last []byte, more bool) {
	comma := bytes.LastIndexByte(list, ',')
	return list[:max(comma, 0)], bytes.Trim(list[comma+1:], " \t"), comma >= 0
}

func parseForwarded(entry []byte) (netip.Addr, error) {
	const addressBytesMax = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")
	if len(entry) > addressBytesMax {
		return netip.Addr{}, ErrForwarded
	}
	if withPort, err := netip.ParseAddrPort(string(entry)); err == nil {
		return Normal(withPort.Addr()), nil
	}
	if entry[0] == '[' && entry[len(entry)-1] == ']' {
		entry = entry[1 : len(entry)-1]
	}
	address, err := netip.ParseAddr(string(entry))
	return Normal(address), err
}
