package conn

import (
	"testing"

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
	n := w.server.members.Of(fd).First
	if n == 0 {
		b.Fatal("there is no membership")
	}
	b.Run("loop", func(b *testing.B) {
		var socket interface{ Record(uint32) *poller.Record } = w.loop
		for b.Loop() {
			socket.Record(fd)
		}
	})
	var socket interface{ Room(uint32) *[3]uint64 } = &w.server.members
	for name, member := range map[string]uint32{"descriptor": fd, "membership": n} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				socket.Room(member)
			}
		})
	}
}
