package conn

import (
	"math"
	"testing"

	"c10m/poller"
)

// What a storm of good handshakes leaves behind is passed over in bounded
// steps, and who is late behind it is still found.
func TestStaleDeadlinesAreSpread(t *testing.T) {
	s := startServer(t, 1, testConfig())
	clients := s.members(t, 1)
	s.onLoops(func(l *poller.Loop, _ *Server) {
		var fd uint32
		l.Walk(0, 1, func(some uint32) { fd = some })
		const stale = 10*deadlinesPerTickMax + 50
		var d deadlines
		for range stale {
			d.add(l, fd, -1)
			d.queue[len(d.queue)-1].generation--
		}
		d.add(l, fd, -1)
		steps, late := 0, 0
		for next := int64(0); next != math.MaxInt64; steps++ {
			before := d.first
			next = d.expire(l, phaseOpen, func(uint32) { late++ })
			if n := d.first - before; n > deadlinesPerTickMax {
				t.Fatalf("one tick looked at %d entries", n)
			}
			if next != math.MaxInt64 && next != l.Now()+int64(walkTickMin) {
				t.Fatalf("the next step is %d ns away", next-l.Now())
			}
			if steps > stale {
				t.Fatal("no end")
			}
		}
		if steps != 11 || late != 1 || d.queue != nil {
			t.Errorf("%d late after %d steps, and %d entries are left", late, steps, len(d.queue))
		}
	})
	closeAll(clients)
	s.checkNothingLeft(t)
}
