package conn

import (
	"testing"

	"c10m/internal/slab"
	"c10m/poller"
)

// BenchmarkRoom is what finding a member's room costs through the table of
// memberships, for a descriptor and for a membership, beside the loop alone, as a
// registry had it that knew descriptors only.
func BenchmarkRoom(b *testing.B) {
	w := newTwoWayWorld(b, 1, false, false, map[string]int{})
	c := w.kernel.Dial()
	c.Write(twoWayRequest("/a"))
	for range 50 {
		w.loop.Turn()
	}
	var fd uint32
	w.loop.Walk(0, 10, func(open uint32) { fd = open })
	n := twoWayOf(w.loop.Record(fd)).first
	if n == 0 {
		b.Fatal("there is no membership")
	}
	b.Run("loop", func(b *testing.B) {
		var socket interface{ Record(uint32) *poller.Record } = w.loop
		for b.Loop() {
			socket.Record(fd)
		}
	})
	var socket interface{ Room(uint32) *[3]uint64 } = w.server.members
	for name, member := range map[string]uint32{"descriptor": fd, "membership": n} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				socket.Room(member)
			}
		})
	}
}

// Memberships are used again before more are made, and begin blank.
func TestMembershipsAreUsedAgain(t *testing.T) {
	m := &memberships{}
	var taken []uint32
	for range 2*slab.ChunkEntries + 1 {
		n := m.take()
		if *m.at(n) != (membership{}) || n < firstMembership {
			t.Fatalf("membership %x is %+v", n, *m.at(n))
		}
		*m.at(n) = membership{room: [3]uint64{1, 2, 3}, fd: 4, next: 5}
		taken = append(taken, n)
	}
	for _, n := range taken {
		m.give(n)
	}
	seen := make(map[uint32]bool)
	for range taken {
		n := m.take()
		if *m.at(n) != (membership{}) || seen[n] {
			t.Fatalf("membership %x is %+v, taken twice: %v", n, *m.at(n), seen[n])
		}
		seen[n] = true
	}
	if n := m.table.Used(); n != uint32(len(taken)) {
		t.Errorf("%d were made", n)
	}
}
