package tuning

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"
)

// memoryHost is a host whose memory a test moves.
type memoryHost struct {
	Host
	connections, blocked int64
}

const miB, giB = 1 << 20, 1 << 30

func newMemoryHost() *memoryHost {
	h := &memoryHost{Host: Host{Proc: fstest.MapFS{}, Sys: fstest.MapFS{}, Cores: 2}}
	h.write("/proc/self/cgroup", "0::/c10m.service\n")
	h.write("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	return h
}

func (h *memoryHost) write(name, text string) {
	tree := h.Proc.(fstest.MapFS)
	name, below := strings.CutPrefix(name, "/proc/")
	if !below {
		tree, name = h.Sys.(fstest.MapFS), strings.TrimPrefix(name, "/sys/")
	}
	tree[name] = &fstest.MapFile{Data: []byte(text)}
}

// uses sets what is used of the host's 64 GiB.
func (h *memoryHost) uses(bytes int64) {
	h.write("/proc/meminfo", meminfo(64<<20, 64<<20-bytes>>10))
}

func (h *memoryHost) cgroupUses(bytes, cache int64) {
	h.write("/sys/fs/cgroup/c10m.service/memory.current", plain(bytes))
	h.write("/sys/fs/cgroup/c10m.service/memory.stat", fmt.Sprintf("anon 1\ninactive_file %d\n", cache))
}

func (h *memoryHost) resident(bytes int64) {
	h.write("/proc/self/statm", fmt.Sprintf("900000 %d 1 1 0 1 0", bytes/4096))
}

func (h *memoryHost) guard(config MemoryConfig) *MemoryGuard {
	config.Connections = func() int64 { return h.connections }
	config.Blocked = func() int64 { return h.blocked }
	return NewMemoryGuard(h.Host, config)
}

// A step changes the host; short is what the guard says then.
type step struct {
	do    func()
	short bool
}

func walk(t *testing.T, g *MemoryGuard, steps []step) {
	t.Helper()
	before := g.Short()
	for i, s := range steps {
		s.do()
		changed := g.Look()
		if g.Short() != s.short || changed != (s.short != before) {
			used, limit := g.Usage()
			t.Fatalf("step %d: short %v, changed %v, with %d of %d used", i, g.Short(), changed, used, limit)
		}
		if (g.Reason() != "") != s.short {
			t.Fatalf("step %d: short %v, and it says %q", i, s.short, g.Reason())
		}
		before = s.short
	}
}

// 32 GiB are free at the start, so R is 2 GiB: short at 1 GiB left, well at 1.5.
func TestTheHostsMemoryHasTwoMarks(t *testing.T) {
	h := newMemoryHost()
	h.uses(32 * giB)
	walk(t, h.guard(MemoryConfig{}), []step{
		{func() { h.uses(63*giB - miB) }, false},
		{func() { h.uses(63 * giB) }, true},
		{func() { h.uses(63*giB - 500*miB) }, true}, // between the marks it stays
		{func() { h.uses(63*giB - 513*miB) }, false},
		{func() { h.uses(63*giB - miB) }, false},
		{func() { h.uses(64*giB - miB) }, true},
		{func() { h.uses(10 * giB) }, false},
	})
}

// 8 GiB of the cgroup's 9 are free at the start, so R is 512 MiB. What the
// kernel can drop does not count.
func TestTheCgroupsMemoryHasTwoMarks(t *testing.T) {
	h := newMemoryHost()
	h.uses(32 * giB)
	h.write("/sys/fs/cgroup/c10m.service/memory.max", plain(9*giB))
	h.cgroupUses(giB, 0)
	g := h.guard(MemoryConfig{})
	walk(t, g, []step{
		{func() { h.cgroupUses(9*giB-257*miB, 0) }, false},
		{func() { h.cgroupUses(9*giB-256*miB, 0) }, true},
		{func() { h.cgroupUses(9*giB-384*miB, 0) }, true},
		{func() { h.cgroupUses(9*giB-385*miB, 0) }, false},
		{func() { h.cgroupUses(9*giB, 2*giB) }, false},
		{func() { h.cgroupUses(9*giB, 0) }, true},
	})
	if !strings.Contains(g.Reason(), "cgroup /c10m.service") || !strings.Contains(g.Reason(), "9.0 GiB") {
		t.Errorf("it says %q", g.Reason())
	}
	// While one limit is near, the others do not make it well.
	walk(t, g, []step{
		{func() { h.cgroupUses(giB, 0); h.uses(64 * giB) }, true},
		{func() { h.uses(32 * giB) }, false},
	})
}

func TestMaxMemoryCountsTheProcessAndItsSockets(t *testing.T) {
	h := newMemoryHost()
	h.uses(32 * giB)
	h.resident(100 * miB)
	h.write("/proc/sys/net/core/wmem_max", "212992\n")
	h.write("/proc/net/sockstat", "sockets: used 100\nTCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1048576\nUDP: inuse 1 mem 9\n")
	g := h.guard(MemoryConfig{MaxBytes: 160 * miB, SendBufferBytes: 256 << 10})
	walk(t, g, []step{
		{func() { h.resident(160*miB - 4096) }, false},
		{func() { h.resident(160 * miB) }, true},
		{func() { h.resident(150 * miB) }, true},
		{func() { h.resident(150*miB - 4096) }, false},
		{func() { h.resident(100 * miB); h.connections = 15_000 }, false},
		{func() { h.connections = 16_000 }, true}, // 61.5 MiB of the kernel's
		{func() { h.connections = 0 }, false},
		{func() { h.blocked = 147 }, false},
		{func() { h.blocked = 148 }, true}, // 2 * 212,992 bytes each
		// All of TCP has less than they could hold.
		{func() {
			h.write("/proc/net/sockstat", "TCP: inuse 5 orphan 0 tw 3 alloc 7 mem 256\n")
		}, false},
	})
	if used, limit := g.Usage(); used != 101*miB || limit != 160*miB {
		t.Errorf("%d of %d used", used, limit)
	}
}

// A small cgroup, or one that is nearly full at the start, is not short for
// that alone: a quarter of what is free is all that is kept back.
func TestLittleMemoryIsNotShortFromTheStart(t *testing.T) {
	for _, used := range []int64{10 * miB, 60 * miB} {
		h := newMemoryHost()
		h.write("/sys/fs/cgroup/c10m.service/memory.max", plain(64*miB))
		h.cgroupUses(used, 0)
		if g := h.guard(MemoryConfig{}); g.Short() {
			t.Errorf("short with %d of 64 MiB used", used)
		}
	}
}

func TestUnknownMemoryIsNeverShort(t *testing.T) {
	for _, h := range []Host{{}, {Proc: brokenFS{}, Sys: brokenFS{}}} {
		none := func() int64 { return 1 << 40 }
		g := NewMemoryGuard(h, MemoryConfig{Connections: none, Blocked: none})
		if used, limit := g.Usage(); g.Short() || g.Reason() != "" || used != 0 || limit != 0 {
			t.Errorf("short %v, %d of %d", g.Short(), used, limit)
		}
	}
}

func TestTheSoftLimitIsTheLowestMarkButTheHosts(t *testing.T) {
	h := newMemoryHost()
	h.uses(63 * giB)
	if n := h.guard(MemoryConfig{}).SoftLimit(); n != 0 {
		t.Errorf("%d without a limit", n)
	}
	h.write("/sys/fs/cgroup/c10m.service/memory.max", plain(9*giB))
	h.cgroupUses(giB, 0)
	if n := h.guard(MemoryConfig{}).SoftLimit(); n != 9*giB-384*miB {
		t.Errorf("%d of the cgroup", n)
	}
	if n := h.guard(MemoryConfig{MaxBytes: giB}).SoftLimit(); n != giB-64*miB {
		t.Errorf("%d of --max-memory", n)
	}
}

// The default number of connections leaves the server below both marks.
func TestAServerThatIsFilledToItsDefaultIsNotShort(t *testing.T) {
	for _, free := range []int64{2 * giB, 20 * giB, 60 * giB} {
		h := newMemoryHost()
		h.uses(64*giB - free)
		g := h.guard(MemoryConfig{})
		h.uses(64*giB - reserve(free))
		if g.Look(); g.Short() {
			t.Errorf("with %d GiB free at the start it is short", free/giB)
		}
		h.uses(64*giB - reserve(free)/2)
		g.Look()
		h.uses(64*giB - reserve(free))
		if g.Look(); g.Short() {
			t.Errorf("with %d GiB free at the start it does not become well again at that number", free/giB)
		}
	}
}

func TestWatchLooksRelievesAndStops(t *testing.T) {
	h := newMemoryHost()
	h.uses(32 * giB)
	relieved := make(chan bool)
	g := NewMemoryGuard(h.Host, MemoryConfig{Relieve: func() { relieved <- true }})
	h.uses(64 * giB)
	changed := make(chan bool)
	stop := g.Watch(func() { changed <- g.Short() })
	if !<-changed {
		t.Error("it changed, and memory is not short")
	}
	<-relieved
	<-relieved // and again, while it stays short
	stop()
}

// While nothing happens the guard rests until something does. It does not rest while memory
// is short.
func TestWatchRests(t *testing.T) {
	h := newMemoryHost()
	h.uses(32 * giB)
	var activity atomic.Uint64
	rests, wake := make(chan uint64), make(chan func())
	// All that changes the host is done on the guard's goroutine.
	var g *MemoryGuard
	g = NewMemoryGuard(h.Host, MemoryConfig{
		Relieve:  func() { h.uses(32 * giB) },
		Activity: activity.Load,
		Await: func(seen uint64, _ time.Duration) {
			if g.Short() {
				t.Error("it rests while memory is short")
				h.uses(32 * giB)
				return
			}
			rests <- seen
			(<-wake)()
		},
		Interrupt: func() {
			select {
			case wake <- func() {}:
			default:
			}
		},
	})
	changed := make(chan bool, 2)
	stop := g.Watch(func() { changed <- g.Short() })
	if seen := <-rests; seen != 0 {
		t.Errorf("it rests at %d", seen)
	}
	activity.Add(5)
	wake <- func() {}
	if seen := <-rests; seen != 5 {
		t.Errorf("it rests at %d", seen)
	}
	wake <- func() { h.uses(64 * giB) }
	if !<-changed {
		t.Error("memory is not short")
	}
	if <-changed {
		t.Error("it is short for ever")
	}
	<-rests
	stop()
}
