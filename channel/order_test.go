package channel

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"c10m/internal/patience"
)

// Many at few channels: nobody is in a channel with somebody else, and nothing is left.
func TestOrderLocksEachChannel(t *testing.T) {
	const goroutines, rounds, channels = 16, 2000, 5
	var order Order
	var names [channels][]byte
	var inside, entered [channels]int // no atomics: the lock is to guard them
	for c := range names {
		names[c] = fmt.Append(nil, "channel ", c)
	}
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range rounds {
				c := (g + i) % channels
				held := order.Lock(names[c])
				if inside[c]++; inside[c] != 1 {
					t.Errorf("%d are in channel %d", inside[c], c)
				}
				if i%8 == 0 {
					runtime.Gosched()
				}
				entered[c]++
				inside[c]--
				held.Unlock()
			}
		})
	}
	all.Wait()
	for c, n := range entered {
		if n != goroutines*rounds/channels {
			t.Errorf("channel %d was entered %d times", c, n)
		}
	}
	for i := range order.buckets {
		b := &order.buckets[i]
		if b.held != nil {
			t.Errorf("bucket %d holds a lock that nobody has", i)
		}
		spare := 0
		for h := b.spare; h != nil; h = h.next {
			spare++
		}
		if spare > channels {
			t.Errorf("bucket %d has %d spare locks, and there are %d channels", i, spare, channels)
		}
	}
}

// Whoever holds a channel holds up no other, also none of its bucket, in whatever order
// they are let go.
func TestOrderHoldsUpNoOtherChannel(t *testing.T) {
	const channels = 4 * orderBuckets
	var order Order
	var held []*Held
	locked := make(chan *Held, channels)
	go func() {
		for hash := range uint32(channels) {
			locked <- order.lock(hash)
		}
	}()
	for range channels {
		select {
		case h := <-locked:
			held = append(held, h)
		case <-time.After(patience.Guard):
			t.Fatalf("%d channels are locked, and the next one waits for one of them", len(held))
		}
	}
	for _, step := range []int{3, 2, 1} {
		for i := 0; i < len(held); i += step {
			if held[i] != nil {
				held[i].Unlock()
				held[i] = nil
			}
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { order.lock(7).Unlock() }); allocs != 0 {
		t.Errorf("a lock costs %v allocations", allocs)
	}
}
