package epoll

import (
	"sync"
	"testing"
	"time"
)

// Loops that share a rate keep it together, whoever of them has the newcomers,
// and are served in turn.
func TestLoopsShareTheAcceptRate(t *testing.T) {
	const perSecond, loops = 10_000, 8
	r := newAcceptRate(perSecond, loops)
	now := int64(time.Minute)
	r.reserve(now) // what a lull has saved is used up
	for r.reserve(now) <= now {
	}
	// One loop alone gets all of it.
	granted, at := 0, int64(0)
	for ; at < now+int64(time.Second); granted += r.share {
		at = r.reserve(now)
	}
	if granted < perSecond-2*r.share || granted > perSecond+2*r.share {
		t.Errorf("%d accepts for one loop in a second", granted)
	}
	// All at a time: nothing is given out twice, whoever asks first is first.
	var mu sync.Mutex
	seen := make(map[int64]bool)
	var all sync.WaitGroup
	for range loops {
		all.Add(1)
		go func() {
			defer all.Done()
			last := int64(0)
			for range 1000 {
				at := r.reserve(now)
				mu.Lock()
				if seen[at] || at <= last {
					t.Errorf("%d was given out twice, or after %d", at, last)
				}
				seen[at], last = true, at
				mu.Unlock()
			}
		}()
	}
	all.Wait()
	if want := r.rest.Load() - r.limit.Slack - int64(r.share)*r.limit.Interval; !seen[want] || len(seen) != 8000 {
		t.Errorf("%d reservations, the last is not %d", len(seen), want)
	}
	// What is given back is there again.
	rest := r.rest.Load()
	r.reserve(now)
	r.giveBack(r.share)
	if r.rest.Load() != rest {
		t.Error("what was given back is lost")
	}
}

func TestALullSavesNoMoreThanABurst(t *testing.T) {
	r := newAcceptRate(1000, 1)
	now := int64(time.Hour)
	granted := 0
	for r.reserve(now) <= now {
		granted += r.share
	}
	if most := int(1000*acceptBurstNanos/int64(time.Second)) + r.share; granted > most {
		t.Fatalf("%d at once after an hour, %d are a burst", granted, most)
	}
	if newAcceptRate(0, 4) != nil {
		t.Error("0 is a limit")
	}
}
