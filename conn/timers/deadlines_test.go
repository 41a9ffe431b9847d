package timers

import (
	"math"
	"testing"
	"time"
)

// The queue keeps its order and its memory while connections come and go.
func TestDeadlines(t *testing.T) {
	var d Deadlines
	const timeout, rounds = int64(time.Second), 1000
	now, late, last := int64(0), 0, uint32(0)
	for i := range uint32(rounds) {
		d.Add(now+timeout, i%3, 1+i)
		if next := d.Visit(now, func(fd, generation uint32) bool {
			if generation != last+1 || fd != last%3 {
				t.Fatalf("%d of generation %d came after generation %d", fd, generation, last)
			}
			last = generation
			late++
			return true
		}); next != math.MaxInt64 {
			t.Fatalf("there is more at %d", next)
		}
		if n := d.queue.Len(); n > 12 {
			t.Errorf("after %d: %d wait", i, n)
		}
		now += timeout / 10
	}
	if late < rounds-12 || late > rounds-8 {
		t.Errorf("%d of %d came due", late, rounds)
	}
	if n := testing.AllocsPerRun(1000, func() {
		d.Add(now, 1, 1)
		d.Visit(now, func(uint32, uint32) bool { return false })
	}); n != 0 {
		t.Errorf("a deadline allocates %v times", n)
	}
}

// What a storm of good handshakes leaves behind is passed over in bounded
// steps, and who is late behind it is still found.
func TestStaleDeadlinesAreSpread(t *testing.T) {
	const stale = 10*looksPerTickMax + 50
	var d Deadlines
	for range stale {
		d.Add(0, 7, 1)
	}
	d.Add(0, 7, 2)
	steps, late := 0, 0
	for next := int64(0); next != math.MaxInt64; steps++ {
		looks := 0
		next = d.Visit(5, func(_, generation uint32) bool {
			looks++
			if generation == 2 {
				late++
			}
			return generation == 2
		})
		if looks > looksPerTickMax {
			t.Fatalf("one tick looked at %d entries", looks)
		}
		if next != math.MaxInt64 && next != 5+int64(TickMin) {
			t.Fatalf("the next step is %d ns away", next-5)
		}
		if steps > stale {
			t.Fatal("no end")
		}
	}
	if steps != 11 || late != 1 || d.queue.Len() != 0 {
		t.Errorf("%d late after %d steps, and %d entries are left", late, steps, d.queue.Len())
	}
}

// Those who are late are few in a tick, and what look adds comes in its time.
func TestLateOnesAreSpread(t *testing.T) {
	var d Deadlines
	for range 2*LatePerTickMax + 1 {
		d.Add(0, 7, 1)
	}
	for _, want := range []int{LatePerTickMax, LatePerTickMax, 1} {
		late := 0
		next := d.Visit(5, func(fd, generation uint32) bool {
			late++
			d.Add(6, fd, generation)
			return true
		})
		if late != want || (next == math.MaxInt64) != (want == 1) {
			t.Errorf("%d were late, not %d; the next time is %d", late, want, next)
		}
	}
	if n := d.queue.Len(); n != 2*LatePerTickMax+1 {
		t.Errorf("%d wait", n)
	}
}
