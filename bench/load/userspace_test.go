package load

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/bench/usertcp"
	"c10m/poller"
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

// userEngineOf is an engine without a device, whose connections are all open.
func userEngineOf(t *testing.T, connections int) *userEngine {
	t.Helper()
	e, err := newUserEngine(nowhere{}, usertcp.Plan{PerPort: 1000, ServerPort: 1, Connections: connections}, 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.loop = poller.New(poller.Config{Loops: 1}).Add(e)
	for fd := range uint32(connections) {
		e.open(100 + int(fd))
		e.Record(fd).Phase = phaseConnecting
	}
	return e
}

type nowhere struct{ usertcp.Wire }

func (nowhere) Write([]byte) syscall.Errno { return 0 }

// Whatever the handler keeps in a record is there again after another record
// was looked at.
func TestUserEnginePacksRecords(t *testing.T) {
	e := userEngineOf(t, 4)
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
		r := e.Record(fd)
		*(*connection)(unsafe.Pointer(&r.Room)) = wanted[fd]
		r.Phase, r.Marks = phases[fd], marks[fd]
		if fd != 0 {
			e.loop.Close(fd)
		}
	}
	for range 2 {
		for fd := range uint32(all) {
			r := e.Record(fd)
			if got := *(*connection)(unsafe.Pointer(&r.Room)); got != wanted[fd] || r.Phase != phases[fd] || r.Marks != marks[fd] || e.loop.Closing(fd) != (fd != 0) || r.Flags&poller.FlagOpen == 0 {
				t.Errorf("%d: %+v in phase %d with marks %x, flags %x", fd, got, r.Phase, r.Marks, r.Flags)
			}
		}
	}
	if flags := e.Record(0).Flags; flags&poller.FlagWriteArmed != 0 {
		t.Errorf("an open connection has flags %x", flags)
	}
	if flags := e.Record(3).Flags; flags&poller.FlagWriteArmed == 0 {
		t.Errorf("one that connects has flags %x", flags)
	}
}

// A walk visits those that are open and not to be closed, once each, however it
// is cut.
func TestUserEngineWalks(t *testing.T) {
	e := userEngineOf(t, 100)
	for fd := uint32(0); fd < 100; fd += 3 {
		e.loop.Leave(fd)
		e.Close(fd)
	}
	e.loop.Close(1)
	seen := map[uint32]int{}
	for cursor, calls := uint32(0), 0; ; calls++ {
		cursor = e.loop.Walk(cursor, 7, func(fd uint32) { seen[fd]++ })
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

// A scripted wire has functions for packets.
type scripted struct {
	nowhere
	packets []func()
}

func (*scripted) FD() int { return -1 }

func (w *scripted) Read() ([]byte, syscall.Errno) {
	if len(w.packets) == 0 {
		return nil, unix.EAGAIN
	}
	w.packets[0]()
	w.packets = w.packets[1:]
	return nil, 0
}

// What the stack tells is shown and read in its order, and each once; what comes when
// Wait has ended is shown by the next; and what is of a closed connection is not.
func TestUserEngineTellsInOrder(t *testing.T) {
	e := userEngineOf(t, 4)
	w := &scripted{}
	e.wire = w
	var room [8]poller.Ready
	buffer := make([]byte, 10)
	look := func() (seen string) {
		for _, r := range room[:e.Wait(room[:], 0)] {
			seen += fmt.Sprintf("%d:%x", r.Number, r.Event)
			if r.Event&poller.Readable != 0 {
				n, status := e.Recv(r.Number, buffer)
				seen += fmt.Sprintf(" %q %d", buffer[:n], status)
			}
			seen += "; "
		}
		return seen
	}
	w.packets = []func(){
		func() { e.Received(1, []byte("ab")) },
		func() { e.Received(2, []byte("c")); e.Ended(2, 0) },
		func() { e.Opened(3) },
		func() { e.Received(1, []byte("de")) },
		func() { e.Ended(1, unix.ECONNRESET) },
	}
	if seen, want := look(), `1:1 "ab" 0; 2:1 "c" 0; 2:1 "" 0; 3:2; 1:1 "de" 0; 1:1 "" 2; `; seen != want {
		t.Errorf("%s, and not %s", seen, want)
	}
	if n, status := e.Recv(1, buffer); n != 0 || status != poller.Full {
		t.Errorf("read twice: %d bytes, %d", n, status)
	}
	e.Ended(3, unix.ETIMEDOUT)
	e.Ended(2, unix.ECONNRESET)
	e.Close(2)
	if n := e.Wait(nil, 0); n != 0 {
		t.Errorf("%d are shown where there is no room", n)
	}
	if seen, want := look(), `3:1 "" 3; `; seen != want {
		t.Errorf("%s, and not %s", seen, want)
	}
	if errno := e.Errno(); errno != unix.ETIMEDOUT {
		t.Errorf("the error is %v", errno)
	}
	// No more is taken from the wire than there is room for.
	for range 20 {
		w.packets = append(w.packets, func() { e.Received(0, []byte("x")); e.Ended(3, 0) })
	}
	for range 5 {
		if n := e.Wait(room[:], 0); n != len(room) {
			t.Errorf("%d are shown", n)
		}
	}
	if seen := look(); seen != "" {
		t.Errorf("%s is left", seen)
	}
	packets := slices.Repeat([]func(){func() { e.Received(1, buffer) }}, 4)
	if allocations := testing.AllocsPerRun(100, func() {
		w.packets = packets
		for _, r := range room[:e.Wait(room[:], 0)] {
			e.Recv(r.Number, buffer)
		}
		e.Tick()
	}); allocations != 0 {
		t.Errorf("%v allocations for four packets", allocations)
	}
}
