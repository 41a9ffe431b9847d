package access

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// v2 is a header of version 2.
func v2(versionAndCommand, family byte, body string) string {
	return string(proxyV2Start) + string([]byte{versionAndCommand, family}) +
		string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + body
}

const (
	ipv4Body = "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb" // 192.0.2.1:56324 to 198.51.100.1:443
	tlv      = "\x04\x00\x03abc"
)

var ipv6Body = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x02" + "\xdc\x04\x01\xbb"

var mappedBody = strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x01" + strings.Repeat("\x00", 10) + "\xff\xff\xc6\x33\x64\x01" + "\xdc\x04\x01\xbb"

// proxyHeaders are whole headers with the client that they name, "" for none.
var proxyHeaders = []struct{ name, header, client string }{
	{"v1 TCP4", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1"},
	{"v1 TCP4, largest", "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"},
	{"v1 TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "2001:db8::1"},
	{"v1 TCP6, largest", "PROXY TCP6 " + strings.Repeat("ffff:", 7) + "ffff " + strings.Repeat("ffff:", 7) + "ffff 65535 65535\r\n", strings.Repeat("ffff:", 7) + "ffff"},
	{"v1 TCP6, mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 1 2\r\n", "192.0.2.1"},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", ""},
	{"v1 UNKNOWN, longest", "PROXY UNKNOWN " + strings.Repeat("ffff:", 7) + "ffff " + strings.Repeat("ffff:", 7) + "ffff 65535 65535\r\n", ""},
	{"v1 UNKNOWN, whatever", "PROXY UNKNOWN anything\x00 at all\r\n", ""},
	{"v1 port 0", "PROXY TCP4 192.0.2.1 198.51.100.1 0 443\r\n", "192.0.2.1"},
	{"v2 TCP4", v2(0x21, 0x11, ipv4Body), "192.0.2.1"},
	{"v2 TCP4 and TLVs", v2(0x21, 0x11, ipv4Body+tlv+tlv), "192.0.2.1"},
	{"v2 UDP4", v2(0x21, 0x12, ipv4Body), "192.0.2.1"},
	{"v2 TCP6", v2(0x21, 0x21, ipv6Body), "2001:db8::1"},
	{"v2 TCP6, mapped", v2(0x21, 0x21, mappedBody), "192.0.2.1"},
	{"v2 TCP6 and as many TLVs as are taken", v2(0x21, 0x21, ipv6Body+strings.Repeat("x", proxyV2BytesMax-proxyV2HeadSize-36)), "2001:db8::1"},
	{"v2 UNIX", v2(0x21, 0x31, strings.Repeat("x", 216)), ""},
	{"v2 UNSPEC", v2(0x21, 0x00, ""), ""},
	{"v2 UNSPEC and TLVs", v2(0x21, 0x00, tlv), ""},
	{"v2 LOCAL", v2(0x20, 0x00, ""), ""},
	{"v2 LOCAL, of a family that is to be ignored", v2(0x20, 0x11, ipv4Body), ""},
	{"v2 LOCAL, of a family that would need more", v2(0x20, 0x11, "x"), ""},
}

// badProxyHeaders are refused, at the latest when all of it is there.
var badProxyHeaders = []struct{ name, header string }{
	{"a request", "GET /news HTTP/1.1\r\n"},
	{"a POST", "POST / HTTP/1.1\r\n"},
	{"TLS", "\x16\x03\x01"},
	{"lower case", "proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n"},
	{"no protocol", "PROXY \r\n"},
	{"unknown protocol", "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n"},
	{"no ports", "PROXY TCP4 192.0.2.1 198.51.100.1\r\n"},
	{"a word more", "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n"},
	{"two blanks", "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n"},
	{"blank at the end", "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n"},
	{"LF alone", "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n"},
	{"IPv6 in TCP4", "PROXY TCP4 2001:db8::1 198.51.100.1 1 2\r\n"},
	{"IPv4 in TCP6", "PROXY TCP6 192.0.2.1 2001:db8::1 1 2\r\n"},
	{"bad destination", "PROXY TCP4 192.0.2.1 x 1 2\r\n"},
	{"leading zeros", "PROXY TCP4 192.0.02.1 198.51.100.1 1 2\r\n"},
	{"zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n"},
	{"large port", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n"},
	{"signed port", "PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n"},
	{"port with a leading zero", "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n"},
	{"no end", "PROXY UNKNOWN " + strings.Repeat("x", 200)},
	{"end a byte late", "PROXY UNKNOWN " + strings.Repeat("x", proxyV1BytesMax-len("PROXY UNKNOWN \r\n")+1) + "\r\n"},
	{"v2 of version 1", v2(0x11, 0x11, ipv4Body)},
	{"v2 of version 3", v2(0x31, 0x11, ipv4Body)},
	{"v2, other command", v2(0x22, 0x11, ipv4Body)},
	{"v2 TCP4, short", v2(0x21, 0x11, ipv4Body[:11])},
	{"v2 TCP6, short", v2(0x21, 0x21, ipv6Body[:35])},
	{"v2 UNIX, short", v2(0x21, 0x31, strings.Repeat("x", 215))},
	{"v2 too long", v2(0x21, 0x11, strings.Repeat("x", proxyV2BytesMax-proxyV2HeadSize+1))},
	{"v2 longest", v2(0x21, 0x11, strings.Repeat("x", 65535))},
	{"a request after an empty line", "\r\n\r\nGET / HTTP/1.1\r\n"},
}

// A header says the same whatever follows it and however it is cut: of every
// part of it nothing is known yet.
func TestProxyHeaderAtEverySplit(t *testing.T) {
	for _, c := range proxyHeaders {
		want := ProxyHeader{Size: len(c.header)}
		if c.client != "" {
			want.Client = netip.MustParseAddr(c.client)
		}
		for at := range len(c.header) {
			if got, err := ParseProxyHeader([]byte(c.header[:at])); err != nil || got != (ProxyHeader{}) {
				t.Errorf("%s: of %d bytes of %d: %+v, %v", c.name, at, len(c.header), got, err)
				break
			}
		}
		for _, rest := range []string{"", "G", "GET / HTTP/1.1\r\n\r\n", "\r\n", c.header} {
			if got, err := ParseProxyHeader([]byte(c.header + rest)); err != nil || got != want {
				t.Errorf("%s, followed by %.9q: %+v, %v; want %+v", c.name, rest, got, err, want)
			}
		}
	}
}

// What is wrong stays wrong, and a part of it is not taken for a header.
func TestBadProxyHeaders(t *testing.T) {
	for _, c := range badProxyHeaders {
		bad := false
		for at := range len(c.header) + 1 {
			got, err := ParseProxyHeader([]byte(c.header[:at]))
			if got != (ProxyHeader{}) || bad && err == nil || err != nil && !errors.Is(err, ErrProxyHeader) {
				t.Errorf("%s: of %d bytes: %+v, %v", c.name, at, got, err)
				break
			}
			bad = err != nil
		}
		if !bad {
			t.Errorf("%s is not refused", c.name)
		}
	}
}

func TestProxyHeaderAllocatesLittle(t *testing.T) {
	for _, c := range proxyHeaders {
		header := []byte(c.header)
		most := 0.0
		if strings.HasPrefix(c.name, "v1 TCP") || c.name == "v1 port 0" {
			most = 2
		}
		if n := testing.AllocsPerRun(100, func() { ParseProxyHeader(header) }); n > most {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// What we take, the library takes, and reads the same client from it.
func FuzzProxyHeader(f *testing.F) {
	for _, c := range proxyHeaders {
		f.Add([]byte(c.header))
		f.Add([]byte(c.header + "GET"))
	}
	for _, c := range badProxyHeaders {
		f.Add([]byte(c.header))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		given := bytes.Clone(p)
		header, err := ParseProxyHeader(p)
		if !bytes.Equal(given, p) {
			t.Fatal("the header was changed")
		}
		if header.Size < 0 || header.Size > len(p) || err != nil && header != (ProxyHeader{}) {
			t.Fatalf("%+v, %v of %d bytes", header, err, len(p))
		}
		checkPrefixes(t, p, header, err)
		if header.Size == 0 {
			return
		}
		theirs, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(p[:header.Size]), proxyV2BytesMax))
		if err != nil {
			if isStricter(p[:header.Size]) {
				return
			}
			t.Fatalf("%q: the library says %v, we %+v", p[:header.Size], err, header)
		}
		if got := libraryClient(theirs); got != header.Client {
			t.Fatalf("%q: the library says %v, we %v", p[:header.Size], got, header.Client)
		}
	})
}

// checkPrefixes checks that less of p says nothing else than p.
func checkPrefixes(t *testing.T, p []byte, header ProxyHeader, err error) {
	for at := range min(len(p), 2*proxyV1BytesMax) {
		part, partErr := ParseProxyHeader(p[:at])
		switch {
		case partErr != nil && err == nil:
			t.Fatalf("%d bytes are refused, and %d give %+v", at, len(p), header)
		case part.Size != 0 && part != header:
			t.Fatalf("%d bytes give %+v, and %d give %+v", at, part, len(p), header)
		}
	}
}

// isStricter tells where the library refuses what the protocol has: the
// address block of a family that LOCAL is to ignore may be of any length, and
// UNKNOWN of version 1 and families that a receiver does not know may be followed
// by anything.
func isStricter(header []byte) bool {
	if header[0] == 'P' {
		return bytes.HasPrefix(header, []byte("PROXY UNKNOWN"))
	}
	isLocal := header[12] == 0x20
	switch header[13] {
	case 0x11, 0x12, 0x21, 0x22:
		return isLocal
	}
	return true
}

func libraryClient(h *proxyproto.Header) netip.Addr {
	if !h.Command.IsProxy() {
		return netip.Addr{}
	}
	var ip net.IP
	switch address := h.SourceAddr.(type) {
	case *net.TCPAddr:
		ip = address.IP
	case *net.UDPAddr:
		ip = address.IP
	default:
		return netip.Addr{}
	}
	address, _ := netip.AddrFromSlice(ip)
	return Normal(address)
}
