package load

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"c10m/bench/usertcp"
)

// What cannot work is refused in a sentence, before there is a device.
func TestUserSpaceIsChecked(t *testing.T) {
	for wanted, change := range map[string]func(*Config){
		"1 to 64":          func(c *Config) { c.UserSpace.Queues = 65 },
		"500ms":            func(c *Config) { c.UserSpace.AckDelay = time.Second },
		"--dialect":        func(c *Config) { c.Dialect = Bare },
		"--source":         func(c *Config) { c.Spread.Sources = []netip.Addr{netip.MustParseAddr("10.0.0.1")} },
		"expect no more":   func(c *Config) { c.Expect = 1 << 16 },
		"share of 0.7":     func(c *Config) { c.UserSpace.Rough.Lose = 0.7 },
		"198.18.0.1 is":    func(c *Config) { c.Spread.Host = netip.MustParseAddr("127.0.0.1") },
		"198.18.0.1 for":   func(c *Config) { c.Spread.Host = netip.MustParseAddr("198.19.255.1") },
		"an IPv4 address":  func(c *Config) { c.Spread.Host = netip.MustParseAddr("::1") },
		"number of connec": func(c *Config) { c.Spread.Connections = 0 },
	} {
		config := Config{Channel: "news", UserSpace: &UserSpace{Device: "c10m%d"},
			Spread: Spread{Host: netip.MustParseAddr("198.18.0.1"), FirstPort: 10000, PerPort: 50_000, Connections: 200_000}}
		change(&config)
		if client, err := Start(config); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s: %v", wanted, err)
			if err == nil {
				client.Stop()
			}
		}
	}
}

// userLoopOf is a loop without a device, whose connections are all open.
func userLoopOf(t *testing.T, connections int) *userLoop {
	t.Helper()
	l, err := newUserLoop(0, nowhere{}, usertcp.Plan{PerPort: 1000, ServerPort: 1, Connections: connections}, 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	for fd := range uint32(connections) {
		l.stack.Open(fd)
	}
	return l
}

type nowhere struct{ usertcp.Wire }

func (nowhere) Write([]byte) syscall.Errno { return 0 }

// Whatever the handler keeps in a record is there again after another record
// was looked at.
func TestUserLoopPacksRecords(t *testing.T) {
	l := userLoopOf(t, 4)
	const all = 4
	wanted := [all]connection{
		{next: 7, number: 100, received: 3},
		{next: 8 | atMost, number: 101, received: 65_000, returned: 1, storm: 3},
		{next: roomSequence, number: 102, slot: 999, storm: 1},
		{next: 0, number: 103, slot: 1},
	}
	phases := [all]uint8{phaseOpen, phaseLeaving, phaseUpgrading, phaseConnecting}
	marks := [all]uint8{0, markPartial | markReturns, markReturns, markPartial}
	for fd := range uint32(all) {
		r := l.Record(fd)
		*(*connection)(unsafe.Pointer(&r.Room)) = wanted[fd]
		r.Phase, r.Marks = phases[fd], marks[fd]
		l.Close(fd) // a mark that is not in the record
	}
	for range 2 {
		for fd := range uint32(all) {
			r := l.Record(fd)
			if got := *(*connection)(unsafe.Pointer(&r.Room)); got != wanted[fd] || r.Phase != phases[fd] || r.Marks != marks[fd] || !l.Closing(fd) {
				t.Errorf("%d: %+v in phase %d with marks %x, closing %v", fd, got, r.Phase, r.Marks, l.Closing(fd))
			}
		}
	}
	if len(l.closing) != all {
		t.Errorf("%d are to be closed", len(l.closing))
	}
}

// A walk visits those that are open and not to be closed, once each, however it
// is cut.
func TestUserLoopWalks(t *testing.T) {
	l := userLoopOf(t, 100)
	for fd := uint32(0); fd < 100; fd += 3 {
		l.stack.Close(fd, true)
	}
	l.Close(1)
	seen := map[uint32]int{}
	for cursor, calls := uint32(0), 0; ; calls++ {
		cursor = l.Walk(cursor, 7, func(fd uint32) { seen[fd]++ })
		if cursor == 0 {
			break
		}
		if calls > 20 {
			t.Fatal("the walk has no end")
		}
	}
	for fd := range uint32(100) {
		if want := fd%3 != 0 && fd != 1; (seen[fd] == 1) != want || seen[fd] > 1 {
			t.Errorf("%d was visited %d times", fd, seen[fd])
		}
	}
}
