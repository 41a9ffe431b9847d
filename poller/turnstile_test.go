package poller

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/internal/patience"
)

// As many as there are seats are inside, never more, and everybody gets in
// again and again: if a call to who sleeps were lost, this would hang.
func TestTurnstile(t *testing.T) {
	const loops, visits = 24, 500
	for _, seats := range []int{1, 2, 3} {
		turns := newTurnstile(seats)
		var inside atomic.Int64
		var running sync.WaitGroup
		for id := range loops {
			running.Add(1)
			go func() {
				defer running.Done()
				runtime.LockOSThread()
				var pass atomic.Bool
				turns.enter(id, &pass)
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
						turns.enter(id, &pass)
					default:
						turns.yield(id, &pass)
					}
				}
				turns.leave()
			}()
		}
		done := make(chan struct{})
		go func() { running.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(patience.Guard):
			t.Fatalf("%d seats: loops wait for ever; free %d, waiting %d", seats, turns.free.Load(), turns.waiting.Load())
		}
		if turns.free.Load() != int32(seats) || turns.waiting.Load() != 0 {
			t.Errorf("%d seats: %d free at the end, %d waiting", seats, turns.free.Load(), turns.waiting.Load())
		}
	}
}

// Who yields goes behind who waits.
func TestTurnstileYield(t *testing.T) {
	turns := newTurnstile(1)
	var pass atomic.Bool
	turns.enter(0, &pass)
	if !turns.yield(0, &pass) || turns.free.Load() != 0 { // nobody waits
		t.Fatal("the seat is gone")
	}
	if turns.quantum() != quantumNanosMax {
		t.Errorf("a quantum of %d ns with nobody waiting", turns.quantum())
	}
	var visits atomic.Int64
	go func() {
		var pass atomic.Bool
		turns.enter(1, &pass)
		visits.Add(1)
		turns.leave()
	}()
	for turns.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	// The other may be slow to wake, and then the nap ends first; not always.
	for end := time.Now().Add(patience.Guard); visits.Load() == 0; {
		if turns.yield(0, &pass); time.Now().After(end) {
			t.Fatal("who waits never gets the seat")
		}
	}
	turns.leave()
}

// A pass lets one loop in without a seat, whoever else waits, and whether it
// comes before or during the wait.
func TestTurnstilePass(t *testing.T) {
	turns := newTurnstile(1)
	var none, pass atomic.Bool
	turns.enter(0, &none)
	pass.Store(true)
	if turns.enter(1, &pass) {
		t.Fatal("two seats")
	}
	pass.Store(false)
	seated := make(chan bool)
	go func() { seated <- turns.enter(2, &none) }()
	go func() { seated <- turns.enter(1, &pass) }()
	for turns.waiting.Load() != 2 {
		time.Sleep(time.Millisecond)
	}
	pass.Store(true)
	turns.wake(1)
	if <-seated {
		t.Fatal("a pass is no seat")
	}
	turns.leave()
	if !<-seated {
		t.Fatal("a seat is no pass")
	}
	turns.leave()
	for waiting, quantum := int32(1000), turns.quantum(); waiting < 1003; waiting++ {
		turns.waiting.Store(waiting)
		if q := turns.quantum(); q >= quantum || q < roundNanos/1100 {
			t.Errorf("a quantum of %d ns with %d waiting", q, waiting)
		}
	}
}

// There is a turnstile only where loops have to share processors.
func TestWhereThereIsATurnstile(t *testing.T) {
	for _, c := range []struct {
		loops     int
		takeTurns bool
		seats     int32 // 0: there is none
	}{
		{4, true, 0},
		{5, true, 4},
		{5, false, 0},
	} {
		config := Config{Loops: c.loops, TakeTurns: c.takeTurns}
		turns := config.turnstile(4)
		if (turns == nil) != (c.seats == 0) || turns != nil && turns.seats != c.seats {
			t.Errorf("%+v: %+v", c, turns)
		}
	}
}
