package access

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNetworks(t *testing.T) {
	n, err := ParseNetworks([]string{"10.0.0.0/8", " 192.0.2.1", "2001:db8::/32", "fd00::1", "::ffff:203.0.113.1"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "11.0.0.0": false, "9.255.255.255": false,
		"192.0.2.1": true, "192.0.2.2": false, "::ffff:10.1.1.1": true, "64:ff9b::10.1.1.1": true, "::10.1.1.1": false,
		"2001:db8::": true, "2001:db8:ffff::1": true, "2001:db9::": false,
		"fd00::1": true, "fd00::1%eth0": true, "fd00::2": false, "203.0.113.1": true,
	} {
		if got := n.Contains(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	var none *Networks
	if none.Contains(netip.MustParseAddr("10.0.0.1")) || n.Contains(netip.Addr{}) || !none.Empty() || n.Empty() {
		t.Error("nothing is in no networks, and no address is in any")
	}
	for text, says := range map[string]string{
		"": "is no network", "10.0.0.0/33": "is no network", "10.0.0/8": "is no network", "example.com": "is no network",
		"10.1.2.3/8": "10.0.0.0/8", "2001:db8::1/32": "2001:db8::/32", "::ffff:10.0.0.0/104": "leave the ::ffff: away",
	} {
		if _, err := ParseNetworks([]string{"10.0.0.0/8", text}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, and should say %q", text, err, says)
		}
	}
}

func TestKeys(t *testing.T) {
	key := func(address string) Key { return KeyOf(netip.MustParseAddr(address)) }
	for _, same := range [][2]string{
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"192.0.2.1", "64:ff9b::192.0.2.1"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"},
		{"fe80::1%eth0", "fe80::1%eth1"},
	} {
		if key(same[0]) != key(same[1]) {
			t.Errorf("%v have two keys", same)
		}
	}
	seen := make(map[Key]string)
	for _, address := range []string{
		"192.0.2.1", "192.0.2.2", "1.2.0.192", "255.255.255.255", "127.0.0.1", "::1",
		"2001:db8:1:2::", "2001:db8:1:3::", "2001:db8::", "64:ff9b:1::1", "64:ff9b::192.0.2.9",
	} {
		if other, taken := seen[key(address)]; taken {
			t.Errorf("%s and %s have one key", address, other)
		}
		seen[key(address)] = address
		if key(address) == 0 {
			t.Errorf("%s has no key", address)
		}
	}
	if KeyOf(netip.Addr{}) != 0 {
		t.Error("no address has a key")
	}
}
