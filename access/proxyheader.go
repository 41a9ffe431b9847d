package access

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2, as its specification has it
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt; the numbers in
// brackets below are its sections).

const (
	// proxyV1BytesMax is the longest line of version 1, CRLF included [2.1].
	proxyV1BytesMax = 107
	// proxyV2BytesMax is the longest header of version 2 that is taken. The
	// protocol has 65,551, for what proxies add after the addresses (TLVs [2.2]):
	// a name, a certificate's subject, an identity of the cloud, some hundred
	// bytes. It is held until it is complete, like a request, and as long.
	proxyV2BytesMax = 4096
	proxyV2HeadSize = 16 // signature, version and command, family, length
)

var (
	proxyV1Start = []byte("PROXY ")
	proxyV2Start = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// ErrProxyHeader: what came is no PROXY header, or one that is not taken.
var ErrProxyHeader = errors.New("no PROXY header")

// A ProxyHeader is what a proxy says before it passes a connection on.
type ProxyHeader struct {
	// Size is its length in bytes; 0 means that it is not complete.
	Size int
	// Client is who connected to the proxy, normalised. It is invalid if the
	// proxy speaks for itself (LOCAL, as in health checks) or cannot tell
	// (UNKNOWN, UNSPEC, a socket without an IP address).
	Client netip.Addr
}

// ParseProxyHeader reads a PROXY header from the front of p, which may be cut
// anywhere. That it is wrong is known as soon as the bytes that are there
// cannot begin a right one, except that the line of version 1 is judged when
// it is complete. The error is ErrProxyHeader. Nothing is kept of p;
// version 2 allocates nothing, version 1 two strings.
func ParseProxyHeader(p []byte) (ProxyHeader, error) {
	switch {
	case hasStart(p, proxyV1Start):
		return parseProxyV1(p)
	case hasStart(p, proxyV2Start):
		return parseProxyV2(p)
	}
	return ProxyHeader{}, ErrProxyHeader
}

// hasStart reports whether p begins with start, as far as both go.
func hasStart(p, start []byte) bool {
	n := min(len(p), len(start))
	return bytes.Equal(p[:n], start[:n])
}

// parseProxyV1 reads "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n" [2.1].
func parseProxyV1(p []byte) (ProxyHeader, error) {
	line, _, complete := bytes.Cut(p[:min(len(p), proxyV1BytesMax)], []byte("\n"))
	if !complete {
		if len(p) >= proxyV1BytesMax {
			return ProxyHeader{}, ErrProxyHeader
		}
		return ProxyHeader{}, nil
	}
	header := ProxyHeader{Size: len(line) + 1}
	line, isWhole := bytes.CutSuffix(line, []byte("\r"))
	if !isWhole {
		return ProxyHeader{}, ErrProxyHeader
	}
	protocol, rest, _ := bytes.Cut(line[len(proxyV1Start):], []byte(" "))
	if string(protocol) == "UNKNOWN" {
		return header, nil // "the receiver must ignore anything presented before the CRLF"
	}
	words := strings.Split(string(rest), " ")
	if len(words) != 4 { // source, destination, their ports
		return ProxyHeader{}, ErrProxyHeader
	}
	client, isAddress := proxyV1Address(protocol, words[0])
	if _, ok := proxyV1Address(protocol, words[1]); !isAddress || !ok || !proxyV1Port(words[2]) || !proxyV1Port(words[3]) {
		return ProxyHeader{}, ErrProxyHeader
	}
	header.Client = client
	return header, nil
}

// proxyV1Address reads an address of the family that the protocol's name says.
func proxyV1Address(protocol []byte, word string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(word)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, false
	}
	switch string(protocol) {
	case "TCP4":
		return address, address.Is4()
	case "TCP6":
		return Normal(address), address.Is6()
	}
	return netip.Addr{}, false
}

// proxyV1Port reports whether word is a port: decimal, without leading zeros.
func proxyV1Port(word string) bool {
	_, err := strconv.ParseUint(word, 10, 16)
	return err == nil && (word[0] != '0' || len(word) == 1)
}

// parseProxyV2 reads the binary header [2.2].
func parseProxyV2(p []byte) (ProxyHeader, error) {
	const versionAt, familyAt, lengthAt = 12, 13, 14
	const local, proxy = 0x20, 0x21
	const stream4, datagram4, stream6, datagram6, streamUnix, datagramUnix = 0x11, 0x12, 0x21, 0x22, 0x31, 0x32
	if len(p) > versionAt && p[versionAt] != local && p[versionAt] != proxy {
		return ProxyHeader{}, ErrProxyHeader
	}
	if len(p) < proxyV2HeadSize {
		return ProxyHeader{}, nil
	}
	length := int(binary.BigEndian.Uint16(p[lengthAt:]))
	if proxyV2HeadSize+length > proxyV2BytesMax {
		return ProxyHeader{}, ErrProxyHeader
	}
	isLocal, addressSize, addressesSize := p[versionAt] == local, 0, 0
	switch p[familyAt] {
	case stream4, datagram4:
		addressSize, addressesSize = 4, 12
	case stream6, datagram6:
		addressSize, addressesSize = 16, 36
	case streamUnix, datagramUnix:
		addressesSize = 216
	}
	// With LOCAL the family is to be ignored, and all other families are
	// UNSPEC to us: a receiver may take what it does not support for unspecified.
	if !isLocal && length < addressesSize {
		return ProxyHeader{}, ErrProxyHeader
	}
	if len(p) < proxyV2HeadSize+length {
		return ProxyHeader{}, nil
	}
	header := ProxyHeader{Size: proxyV2HeadSize + length}
	if !isLocal && addressSize > 0 {
		address, _ := netip.AddrFromSlice(p[proxyV2HeadSize : proxyV2HeadSize+addressSize])
		header.Client = Normal(address)
	}
	return header, nil
}
