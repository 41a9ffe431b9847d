package timers

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"c10m/internal/slab"
)

// FuzzExpiries compares the list with a map: whatever comes and goes, everybody
// who is still there is called once, when it is time, within the limits of a
// tick.
func FuzzExpiries(f *testing.F) {
	f.Add(uint64(1), uint16(100), uint8(3), false)
	f.Add(uint64(2), uint16(9000), uint8(1), false)
	f.Add(uint64(3), uint16(20000), uint8(60), true)
	f.Add(uint64(4), uint16(12289), uint8(0), true)
	f.Fuzz(func(t *testing.T, seed uint64, steps uint16, spread uint8, isChurn bool) {
		random := rand.New(rand.NewPCG(seed, 1))
		var x Expiries
		live := make(map[uint32]Expiry) // by generation
		var order []uint32
		peak, second := 0, uint32(1000)
		valid := func(e Expiry) bool { _, ok := live[e.Generation]; return ok }
		tick := func() (next int64) {
			calls := 0
			next = x.Expire(int64(second)*int64(time.Second), valid, func(fd uint32) {
				calls++
				e, ok := live[fd] // a test of its own: fd is the generation
				if !ok || e.At > second {
					t.Fatalf("%d was called at %d and is due at %d (%v)", fd, second, e.At, ok)
				}
				delete(live, fd)
			})
			if calls > LatePerTickMax {
				t.Fatalf("%d calls in a tick", calls)
			}
			return next
		}
		for step := range uint32(steps) {
			generation := step + 1
			live[generation] = Expiry{second + 1 + random.Uint32N(uint32(spread)+1)*random.Uint32N(100), generation, generation}
			order = append(order, generation)
			x.Add(live[generation], valid)
			peak = max(peak, len(live))
			if isChurn && len(live) > 300 {
				at := random.IntN(len(order))
				delete(live, order[at])
				order[at] = order[len(order)-1]
				order = order[:len(order)-1]
			}
			if random.IntN(400) == 0 {
				second++
				tick()
			}
			if x.count > 2*peak+8 {
				t.Fatalf("%d entries for %d connections at most", x.count, peak)
			}
		}
		for range 100 * (int(spread) + 2) {
			second++
			for tick() != math.MaxInt64 {
			}
			for _, e := range live {
				if e.At <= second {
					t.Fatalf("%d was due at %d, and it is %d", e.FD, e.At, second)
				}
			}
		}
		if len(live) != 0 || x.count != 0 || x.used() != 0 {
			t.Fatalf("%d connections and %d entries are left", len(live), x.count)
		}
		for i, first := range x.first {
			if first != Never {
				t.Fatalf("chunk %d is empty and due at %d", i, first)
			}
		}
	})
}

// A look with nothing due reads no entries, and an entry is as small as the docs
// say.
func TestExpiriesAreSmallAndIdle(t *testing.T) {
	if size := unsafe.Sizeof(Expiry{}); size != 12 {
		t.Errorf("an entry has %d bytes", size)
	}
	var x Expiries
	always := func(Expiry) bool { return true }
	for i := range uint32(3 * slab.ChunkEntries) {
		x.Add(Expiry{5000 + i, i, i}, always)
	}
	if n := testing.AllocsPerRun(10, func() { x.Add(Expiry{6000, 1, 1}, always) }); n != 0 {
		t.Errorf("adding allocates %v times", n)
	}
	never := func(Expiry) bool { t.Fatal("an entry was looked up"); return false }
	if next := x.Expire(4999*int64(time.Second), never, nil); next != math.MaxInt64 {
		t.Errorf("something is due at %d", next)
	}
}

// BenchmarkExpiries is what an end costs each connection that has one, beside
// the cache misses of the two records that an add looks up.
func BenchmarkExpiries(b *testing.B) {
	var x Expiries
	always := func(Expiry) bool { return true }
	for i := range uint32(1_000_000) {
		x.Add(Expiry{1000 + i%3600, i, i}, always)
	}
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			x.Add(Expiry{2000, 1, 1}, func(Expiry) bool { return true })
			x.remove(x.count - 1)
		}
	})
	b.Run("look at 1000000", func(b *testing.B) {
		for b.Loop() {
			x.Expire(999*int64(time.Second), always, nil)
		}
	})
}

// An entry that takes the place of a stale one is due when it was.
func TestExpiriesThatMove(t *testing.T) {
	var x Expiries
	valid := func(e Expiry) bool { return e.FD != 0 }
	for i := range uint32(slab.ChunkEntries) {
		x.Add(Expiry{9000, 1 + i, 1}, valid)
	}
	x.entry(7).FD = 0 // it is gone
	x.count++
	x.entries.Grow()
	x.first = append(x.first, Never)
	x.put(slab.ChunkEntries, Expiry{2000, 5000, 1})
	x.swept = 7
	x.Add(Expiry{9001, 5001, 1}, valid) // the last one takes its place
	if x.entry(7).FD != 5000 {
		t.Fatalf("entry 7 is of %d", x.entry(7).FD)
	}
	var called []uint32
	x.Expire(2000*int64(time.Second), valid, func(fd uint32) { called = append(called, fd) })
	if len(called) != 1 || called[0] != 5000 {
		t.Errorf("%v were called", called)
	}
}

func TestSecondAfter(t *testing.T) {
	for _, c := range []struct {
		now, nanos int64
		want       uint32
	}{
		{0, 1, 1}, {0, 1e9, 1}, {0, 1e9 + 1, 2}, {5e8, 5e8, 1}, {1e18, math.MaxInt64, Never},
		{7e18, math.MaxInt64 - 7e18, Never}, {0, int64(40 * 24 * time.Hour), 40 * 24 * 3600}, {0, 4294967295e9, Never},
	} {
		if got := SecondAfter(c.now, c.nanos); got != c.want {
			t.Errorf("%d ns after %d: second %d, want %d", c.nanos, c.now, got, c.want)
		}
	}
}
