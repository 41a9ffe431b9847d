package redisbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/channel"
)

// A countingBus counts what it publishes, and fails as the test says.
type countingBus struct {
	mu      sync.Mutex
	taken   map[string]int // by payload
	tried   int
	err     error
	hold    chan struct{} // PublishBatch waits for its end, if it is there
	entered chan struct{} // gets one for each PublishBatch, if it is there
}

func (b *countingBus) PublishBatch(_ context.Context, batch []*Publication) {
	if b.entered != nil {
		b.entered <- struct{}{}
	}
	if b.hold != nil {
		<-b.hold
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range batch {
		b.tried++
		if p.Err = b.err; p.Err == nil {
			if b.taken == nil {
				b.taken = make(map[string]int)
			}
			b.taken[string(p.Payload)]++
			p.Subscribers = len(b.taken)
		}
	}
}

func (b *countingBus) times(payload string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken[payload]
}

// countOf is a Counter that counts how often it was asked, so that a second question
// has another answer.
type countOf struct{ asked atomic.Int64 }

func (c *countOf) Count(channels []string) []int {
	counts := make([]int, len(channels))
	for i := range counts {
		counts[i] = int(c.asked.Add(1))
	}
	return counts
}

func keyed(name, key, payload string) *Publication {
	return &Publication{Channel: []byte(name), Key: []byte(key), Payload: []byte(payload)}
}

// told is all that a publisher is told.
func (p *Publication) told() string {
	n, known := p.Connections()
	return fmt.Sprint(p.Err, " ", n, known, " ", p.Subscribers, " ", p.ID())
}

func publishOne(bus Publishable, p *Publication) *Publication {
	bus.PublishBatch(context.Background(), []*Publication{p})
	return p
}

func TestRepeatsArePublishedOnce(t *testing.T) {
	for name, bus := range map[string]func(t *testing.T) (bus Publishable, times func(payload string) int){
		"a bus that tells no connections": func(t *testing.T) (Publishable, func(string) int) {
			b := &countingBus{}
			return b, b.times
		},
		"embedded": func(t *testing.T) (Publishable, func(string) int) {
			return startEmbedded(t, testDoor(), ""), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			bus, times := bus(t)
			r := NewRepeats(bus, &countOf{}, 100)
			first := publishOne(r, keyed("c", "k", "m")).told()
			for range 3 {
				if again := publishOne(r, keyed("c", "k", "m")).told(); again != first {
					t.Errorf("told %q, and first %q", again, first)
				}
			}
			batch := []*Publication{keyed("c", "l", "n"), keyed("c", "k", "m"), keyed("c", "l", "n"), keyed("c", "", "m"), keyed("d", "k", "m")}
			r.PublishBatch(t.Context(), batch)
			if batch[1].told() != first || batch[0].told() != batch[2].told() {
				t.Errorf("a batch is told %q %q %q", batch[0].told(), batch[1].told(), batch[2].told())
			}
			if times != nil && (times("m") != 3 || times("n") != 1) {
				t.Errorf("published %d and %d times", times("m"), times("n"))
			}
			if stats := r.Stats(); stats != (RepeatsStats{Repeats: 5, Keys: 3}) {
				t.Errorf("%+v", stats)
			}
		})
	}
}

func TestRepeatsOfWhatFailed(t *testing.T) {
	bus := &countingBus{err: unpublished("the bus is down")}
	r := NewRepeats(bus, &countOf{}, 100)
	if p := publishOne(r, keyed("c", "k", "m")); !errors.Is(p.Err, ErrUnpublished) {
		t.Fatal(p.Err)
	}
	bus.err = errors.New("no answer")
	if p := publishOne(r, keyed("c", "k", "m")); p.Err == nil || errors.Is(p.Err, ErrUnpublished) || bus.tried != 2 {
		t.Fatalf("what was not published is answered with %v when it is repeated, and tried %d times in all", p.Err, bus.tried)
	}
	bus.err = nil
	if p := publishOne(r, keyed("c", "k", "m")); p.Err == nil || errors.Is(p.Err, ErrUnpublished) || bus.tried != 2 {
		t.Errorf("what may have been published is answered with %v, and tried %d times in all", p.Err, bus.tried)
	}
}

func TestKeyOfAnotherMessage(t *testing.T) {
	bus := &countingBus{}
	r := NewRepeats(bus, &countOf{}, 100)
	first := keyed("c", "k", "m")
	batch := []*Publication{first, keyed("c", "k", "other")}
	r.PublishBatch(t.Context(), batch)
	for i, p := range []*Publication{batch[1], publishOne(r, keyed("c", "k", "third"))} {
		if !errors.Is(p.Err, ErrKeyReused) || !errors.Is(p.Err, ErrUnpublished) || p.fate() != channel.FateKeyReused {
			t.Errorf("%d: %v", i, p.Err)
		}
	}
	if first.Err != nil || bus.times("other")+bus.times("third") != 0 || r.Stats().KeysReused != 2 {
		t.Errorf("%v, %v, %+v", first.Err, bus.taken, r.Stats())
	}
}

// A repeat waits for the answer of the first, also where two batches have each other's.
func TestRepeatsWaitForTheFirst(t *testing.T) {
	bus := &countingBus{hold: make(chan struct{}), entered: make(chan struct{}, 2)}
	r := NewRepeats(bus, &countOf{}, 100)
	batches := [][]*Publication{{keyed("c", "a", "1")}, {keyed("c", "b", "2"), keyed("c", "a", "1")}}
	var publishers sync.WaitGroup
	for _, batch := range batches {
		publishers.Go(func() { r.PublishBatch(context.Background(), batch) })
		<-bus.entered
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late := keyed("c", "b", "2")
	r.PublishBatch(gone, []*Publication{late})
	if late.Err == nil || errors.Is(late.Err, ErrUnpublished) {
		t.Errorf("who does not wait is told %v", late.Err)
	}
	close(bus.hold)
	publishers.Wait()
	if first, again := batches[0][0].told(), batches[1][1].told(); first != again || batches[0][0].Err != nil {
		t.Errorf("told %q, and first %q", again, first)
	}
	if bus.times("1") != 1 || bus.times("2") != 1 {
		t.Errorf("published %v", bus.taken)
	}
}

// Random publishers, clock and failures beside a map that forgets nothing in time.
func TestRepeatsAgainstAMap(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	bus := &countingBus{}
	const keysMax = 100
	r := NewRepeats(bus, &countOf{}, keysMax)
	var now time.Duration
	r.now = func() time.Duration { return now }
	type remembered struct {
		at   time.Duration
		told string
	}
	model := make(map[string]remembered)
	var order []string // of model, oldest first
	forgotten := uint64(0)
	for step := range 20_000 {
		now += time.Duration(random.IntN(3000)) * time.Millisecond
		key := fmt.Sprint("k", random.IntN(300))
		payload := "of " + key
		bus.err = nil
		if random.IntN(10) == 0 {
			bus.err = unpublished("down")
		}
		for len(order) > 0 && now-model[order[0]].at >= repeatsAge {
			delete(model, order[0])
			order = order[1:]
		}
		before := bus.times(payload)
		p := publishOne(r, keyed("c", key, payload))
		old, isKnown := model[key]
		if isKnown {
			if bus.times(payload) != before || p.told() != old.told {
				t.Fatalf("seed %d, step %d: a repeat is told %q, first %q", seed, step, p.told(), old.told)
			}
			continue
		}
		if bus.err != nil {
			continue
		}
		if bus.times(payload) != before+1 {
			t.Fatalf("seed %d, step %d: %s is taken for a repeat", seed, step, key)
		}
		if len(order) == keysMax {
			delete(model, order[0])
			order = order[1:]
			forgotten++
		}
		model[key] = remembered{now, p.told()}
		order = append(order, key)
	}
	if stats := r.Stats(); stats.KeysForgotten != forgotten || stats.Keys != len(model) || forgotten == 0 || stats.Repeats == 0 {
		t.Errorf("seed %d: %+v, and the model forgot %d and has %d", seed, stats, forgotten, len(model))
	}
}

func TestRepeatsOffPublishAll(t *testing.T) {
	bus := &countingBus{}
	r := NewRepeats(bus, nil, 0)
	publishOne(r, keyed("c", "k", "m"))
	publishOne(r, keyed("c", "k", "m"))
	if bus.times("m") != 2 {
		t.Errorf("published %d times", bus.times("m"))
	}
}
