package access

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"c10m/conn/wire"
)

func TestForwardedFor(t *testing.T) {
	trusted, err := ParseNetworks([]string{"10.0.0.0/8", "fd00::/8", "198.51.100.7"})
	if err != nil {
		t.Fatal(err)
	}
	many := strings.TrimSuffix(strings.Repeat("10.0.0.1, ", forwardedHopsMax), ", ")
	for _, c := range []struct {
		lines  string // separated by |
		client string // "" is none
		err    error
	}{
		{"192.0.2.1", "192.0.2.1", nil},
		{"203.0.113.9, 192.0.2.1", "192.0.2.1", nil},
		{"203.0.113.9, 192.0.2.1, 10.1.2.3", "192.0.2.1", nil},
		{"203.0.113.9,192.0.2.1 ,\t10.1.2.3,fd00::1, 198.51.100.7", "192.0.2.1", nil},
		{"10.0.0.1, 192.0.2.1", "192.0.2.1", nil},          // written by the client: not believed
		{"garbage, <script>, 192.0.2.1", "192.0.2.1", nil}, // nor read
		{"192.0.2.1, garbage", "", ErrForwarded},
		{"192.0.2.1, garbage, 10.0.0.1", "", ErrForwarded},
		{"192.0.2.1, 10.0.0.1:x", "", ErrForwarded},
		{"10.0.0.2, 10.0.0.1", "10.0.0.2", nil}, // all inside
		{"192.0.2.1:4711", "192.0.2.1", nil},
		{"[2001:db8::1]:4711", "2001:db8::1", nil},
		{"[2001:db8::1]", "2001:db8::1", nil},
		{"2001:db8::1", "2001:db8::1", nil},
		{"::ffff:192.0.2.1", "192.0.2.1", nil},
		{"192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1", nil}, // trusted in the mapped form, too
		{"unknown", "", nil},
		{"192.0.2.1, unknown, 10.0.0.1", "", nil},
		{"unknown, 192.0.2.1", "192.0.2.1", nil},
		{", 192.0.2.1, ,", "192.0.2.1", nil},
		{"", "", ErrForwarded},
		{" , ", "", ErrForwarded},
		{"192.0.2.1|10.0.0.1", "192.0.2.1", nil},
		{"203.0.113.9|192.0.2.1, 10.0.0.1|10.0.0.2", "192.0.2.1", nil},
		{"203.0.113.9||192.0.2.1", "192.0.2.1", nil},
		{many, "10.0.0.1", nil},
		{"192.0.2.1, " + many, "", ErrForwarded},
		{strings.Repeat("203.0.113.9|", 3*forwardedHopsMax) + "192.0.2.1", "192.0.2.1", nil},
		{strings.Repeat("9", 3000), "", ErrForwarded},
	} {
		fields := []string{"X-Other: 203.0.113.1"}
		for i, line := range strings.Split(c.lines, "|") {
			name := []string{"X-Forwarded-For", "x-forwarded-FOR"}[i%2]
			fields = append(fields, fmt.Sprintf("%s: %s", name, line))
		}
		lines := head("/", fields...).Lines(wire.XForwardedFor, make([][]byte, ForwardedLinesMax))
		want := netip.Addr{}
		if c.client != "" {
			want = netip.MustParseAddr(c.client)
		}
		if got, err := ForwardedFor(lines, trusted); got != want || err != c.err {
			t.Errorf("%.60q: %v, %v; want %v, %v", c.lines, got, err, want, c.err)
		}
	}
	if _, err := ForwardedFor(nil, trusted); err != ErrNotForwarded {
		t.Errorf("without the field: %v", err)
	}
}

// Whoever asks an untrusted proxy chooses nothing: what he writes in front of
// his address changes nothing.
func FuzzForwardedFor(f *testing.F) {
	for _, spoof := range []string{"", "10.0.0.1", "unknown", "garbage", "10.0.0.1, 10.0.0.2,", "\"", "192.0.2.2\r\nX-Forwarded-For: 192.0.2.3"} {
		f.Add(spoof)
	}
	trusted, err := ParseNetworks([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	want := netip.MustParseAddr("192.0.2.1")
	f.Fuzz(func(t *testing.T, spoof string) {
		ForwardedFor([][]byte{[]byte(spoof)}, trusted)
		for _, lines := range []string{spoof + ", 192.0.2.1", spoof + "|192.0.2.1, 10.0.0.1"} {
			if got, err := ForwardedFor(linesOf(lines), trusted); got != want || err != nil {
				t.Fatalf("%q: %v, %v", spoof, got, err)
			}
		}
	})
}
