package channel

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"c10m/poller"
)

func TestSizes(t *testing.T) {
	if size := unsafe.Sizeof(member{}); size != 24 {
		t.Errorf("a member has %d bytes", size)
	}
	if size := unsafe.Sizeof(poller.Record{}); size > poller.RecordBytesMax {
		t.Errorf("a record has %d bytes", size)
	}
	if size := unsafe.Sizeof(entry{}); size != 16 {
		t.Errorf("an entry of a log has %d bytes", size)
	}
	if size := unsafe.Offsetof(cell{}.nameLen) + 1; size != cellHeadBytes {
		t.Errorf("a cell's fields have %d bytes, and its name begins at %d", size, cellHeadBytes)
	}
}

// idleChannels is what a test needs of many channels: an even number of cheap
// connections, of which each is a channel's only member.
func idleChannels(tb testing.TB, n int) *host {
	h := newHost(tb, roomy, n)
	h.subscribeMany(1, n)
	return h
}

// subscribeMany makes each of these connections a member of a channel of its
// own with a name of 12 bytes.
func (h *host) subscribeMany(first, last int) {
	name := make([]byte, 12)
	for fd := first; fd <= last; fd++ {
		if err := h.registry.Subscribe(uint32(fd), twelve(name, fd)); err != nil {
			h.tb.Fatal(err)
		}
	}
}

// twelve writes number i into a name of 12 bytes.
func twelve(name []byte, i int) []byte {
	for at := range name {
		name[len(name)-1-at] = '0' + byte(i%10)
		i /= 10
	}
	return name
}

// mapped is what the registry took from the kernel for channels.
func (r *Registry) mapped() (bytes int) {
	for i := range r.cells.classes {
		bytes += r.cells.classes[i].Bytes()
	}
	return bytes + len(r.index.chunks)*int(unsafe.Sizeof(indexChunk{}))
}

func heap() (objects int64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapObjects)
}

const many = 1_000_000

// A million channels cost their cells and no heap: no objects while they are
// idle, none when they are gone, no log.
func TestManyChannelsAreNoHeapObjects(t *testing.T) {
	h := newHost(t, roomy, many)
	before := heap()
	h.subscribeMany(1, many)
	if n := heap() - before; n > 100 {
		t.Errorf("a million idle channels are %d heap objects", n)
	}
	if h.stats.Channels.Load() != many || h.stats.Logs.Load() != 0 || len(h.registry.logs) != 0 {
		t.Errorf("%d channels, %d logs", h.stats.Channels.Load(), h.stats.Logs.Load())
	}
	if bytes := float64(h.registry.mapped()) / many; bytes > 64 {
		t.Errorf("an idle channel costs %.1f bytes", bytes)
	} else {
		t.Logf("an idle channel costs %.1f bytes, its connection %d more", bytes, unsafe.Sizeof(poller.Record{}))
	}
	for fd := uint32(1); fd <= many; fd++ {
		h.registry.Unsubscribe(fd)
	}
	if n := heap() - before; n > 100 {
		t.Errorf("a million channels left %d heap objects behind", n)
	}
	h.checkEmpty()
	// All come back, in other names, and take nothing new.
	mapped := h.registry.mapped()
	name := make([]byte, 12)
	for fd := 1; fd <= many; fd++ {
		if err := h.registry.Subscribe(uint32(fd), twelve(name, many+fd)); err != nil {
			t.Fatal(err)
		}
	}
	if again := h.registry.mapped(); again != mapped {
		t.Errorf("from %d to %d bytes for as many channels", mapped, again)
	}
	runtime.KeepAlive(h)
}

// A sweep over n members allocates as often as one over a few: the message and
// nothing per delivery. A full socket and its EPOLLOUT allocate nothing either.
func TestDeliveryAllocatesNothing(t *testing.T) {
	const members = 1000
	h := newHost(t, roomy, members)
	h.subscribe("c", span(1, members)...)
	for fd := range h.peers {
		h.peers[fd].discard = true
	}
	frame := []byte(strings.Repeat("x", 256))
	name, hash := []byte("c"), hashName([]byte("c"))
	round := func(messages int) {
		for range messages {
			h.registry.Letter(&Message{name: name, hash: hash, frame: frame, at: h.now})
		}
		h.peers[7].room = 100
		for h.registry.Work() {
		}
		h.peers[7].room = plenty
		for h.registry.Blocked(7) {
			h.registry.Writable(7)
		}
	}
	round(8)
	for _, messages := range []int{1, 8} {
		allocs := testing.AllocsPerRun(20, func() { round(messages) })
		if allocs > float64(messages) {
			t.Errorf("%d messages to %d members: %.1f allocations, %d of them the messages", messages, members, allocs, messages)
		}
	}
	h.check()
}

func TestMembershipAllocatesNothing(t *testing.T) {
	h := idleChannels(t, 3000)
	name, fresh := []byte("000000000001"), []byte("fresh")
	h.registry.Unsubscribe(3000)
	if allocs := testing.AllocsPerRun(100, func() {
		for range 100 {
			_ = h.registry.Subscribe(3000, name) // beside connection 1
			h.registry.Unsubscribe(3000)
			_ = h.registry.Subscribe(3000, fresh) // a channel that comes and goes
			h.registry.Unsubscribe(3000)
		}
	}); allocs != 0 {
		t.Errorf("%.1f allocations for 200 memberships", allocs)
	}
	h.registry.Tick()
	if allocs := testing.AllocsPerRun(100, func() { h.registry.Tick(); h.registry.Work() }); allocs != 0 {
		t.Errorf("%.1f allocations for an idle turn", allocs)
	}
}

// A message to a channel without a log takes a spare one.
func TestUnicastAllocatesItsMessageOnly(t *testing.T) {
	h := idleChannels(t, 100)
	for fd := range h.peers {
		h.peers[fd].discard = true
	}
	message := h.message(fmt.Sprintf("%012d", 5), []byte("hello"), nil)
	if allocs := testing.AllocsPerRun(100, func() { h.registry.Letter(message); h.registry.Work() }); allocs != 0 {
		t.Errorf("%.1f allocations", allocs)
	}
	if n := h.stats.Deliveries.Load(); n != 101 {
		t.Errorf("%d deliveries", n)
	}
}
