package poller

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// As many as there are seats are inside, never more, and everybody gets in
// again and again: if a call to who sleeps were lost, this would hang.
func TestTurnstile(t *testing.T) {
	const loops, visits = 24, 500
	for _, seats := range []int{1, 2, 3} {
		turns := newTurnstile(seats)
		var inside atomic.Int64
		var running sync.WaitGroup
		for range loops {
			running.Add(1)
			go func() {
				defer running.Done()
				runtime.LockOSThread()
				turns.enter()
				for visit := range visits {
					if n := inside.Add(1); n > int64(seats) {
						t.Errorf("%d inside, %d seats", n, seats)
					}
					if visit%100 == 0 {
						time.Sleep(50 * time.Microsecond) // a seat taken off its processor
					}
					inside.Add(-1)
					switch visit % 7 {
					case 0:
						turns.leave()
						turns.enter()
					default:
						turns.yield()
					}
				}
				turns.leave()
			}()
		}
		done := make(chan struct{})
		go func() { running.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%d seats: loops wait for ever; free %d, waiting %d", seats, turns.free.Load(), turns.waiting.Load())
		}
		if turns.free.Load() != int32(seats) || turns.waiting.Load() != 0 || turns.pressure() != 1 {
			t.Errorf("%d seats: %d free at the end, %d waiting", seats, turns.free.Load(), turns.waiting.Load())
		}
	}
}

// Who yields goes behind who waits.
func TestTurnstileYield(t *testing.T) {
	turns := newTurnstile(1)
	turns.enter()
	turns.yield() // nobody waits: it keeps its seat
	if turns.free.Load() != 0 {
		t.Fatal("the seat is gone")
	}
	var visits atomic.Int64
	go func() {
		turns.enter()
		visits.Add(1)
		turns.leave()
	}()
	for turns.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if p := turns.pressure(); p != 2 {
		t.Errorf("pressure %d of two loops and one seat", p)
	}
	if turns.quantum() != roundNanos/2 {
		t.Errorf("a quantum of %d ns for two", turns.quantum())
	}
	// The other may be slow to wake, and then the nap ends first; not always.
	for end := time.Now().Add(time.Minute); visits.Load() == 0; {
		if turns.yield(); time.Now().After(end) {
			t.Fatal("who waits never gets the seat")
		}
	}
	turns.leave()
}

func TestNoTurnstile(t *testing.T) {
	var turns *turnstile
	turns.enter()
	turns.leave()
	if turns.pressure() != 1 {
		t.Errorf("pressure %d of nobody", turns.pressure())
	}
}

// There is a turnstile only where loops have to share, and one for each
// processor only where loops are bound to them.
func TestTurnstiles(t *testing.T) {
	for _, c := range []struct {
		loops      int
		cpus       []int
		takeTurns  bool
		turnstiles int
		seats      int32 // of each; 0: they are nil
	}{
		{4, nil, true, 1, 0},
		{5, nil, true, 1, 4},
		{5, nil, false, 1, 0},
		{2, []int{0, 1}, true, 1, 0},
		{5, []int{0, 1}, true, 2, 1},
		{5, []int{0, 1}, false, 1, 0},
	} {
		config := Config{Loops: c.loops, CPUs: c.cpus, TakeTurns: c.takeTurns}
		all := config.turnstiles(4)
		if len(all) != c.turnstiles || (all[0] == nil) != (c.seats == 0) || all[0] != nil && all[0].seats != c.seats {
			t.Errorf("%+v: %d turnstiles", c, len(all))
		}
	}
}
