package bus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/bus"
	"c10m/bus/bustest"
	"c10m/channel"
)

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

func message(name, payload string) *bus.Publication { return keyed(name, "", payload) }

func keyed(name, key, payload string) *bus.Publication {
	return &bus.Publication{Channel: []byte(name), Key: []byte(key), Payload: []byte(payload)}
}

func isUnpublished(p *bus.Publication) bool { return errors.Is(p.Err, bus.ErrUnpublished) }

// newLate makes a driver of whose messages the connections are asked of the Counter.
func newLate() (*bustest.Memory, *bustest.Door) {
	door := newDoor()
	driver := bustest.NewMemory(door)
	driver.IsLate = true
	return driver, door
}

// failWith has a driver fail everything from now on.
func failWith(driver *bustest.Memory, err error) {
	driver.Fail(func(*bus.Publication) error { return err })
}

// told is all that a publisher is told.
func told(p *bus.Publication) string {
	n, known := p.Connections()
	return fmt.Sprint(p.Err, " ", n, known, " ", p.Subscribers, " ", p.ID())
}

func publishOne(to bus.Publishable, p *bus.Publication) *bus.Publication {
	to.PublishBatch(context.Background(), []*bus.Publication{p})
	return p
}

func TestRepeatsArePublishedOnce(t *testing.T) {
	onEachDriver(t, func(t *testing.T, driver bus.Bus, door *bustest.Door) {
		r := bus.NewRepeats(driver, &countOf{}, 100)
		first := told(publishOne(r, keyed("c", "k", "m")))
		for range 3 {
			if again := told(publishOne(r, keyed("c", "k", "m"))); again != first {
				t.Errorf("told %q, and first %q", again, first)
			}
		}
		batch := []*bus.Publication{keyed("c", "l", "n"), keyed("c", "k", "m"), keyed("c", "l", "n"), keyed("c", "", "m"), keyed("d", "k", "m")}
		r.PublishBatch(t.Context(), batch)
		if told(batch[1]) != first || told(batch[0]) != told(batch[2]) {
			t.Errorf("a batch is told %q %q %q", told(batch[0]), told(batch[1]), told(batch[2]))
		}
		if door.Times("m") != 3 || door.Times("n") != 1 {
			t.Errorf("published %d and %d times", door.Times("m"), door.Times("n"))
		}
		if stats := r.Stats(); stats != (bus.RepeatsStats{Repeats: 5, Keys: 3}) {
			t.Errorf("%+v", stats)
		}
	})
}

func TestRepeatsOfWhatFailed(t *testing.T) {
	driver, _ := newLate()
	failWith(driver, bus.Unpublished("the bus is down"))
	r := bus.NewRepeats(driver, &countOf{}, 100)
	if p := publishOne(r, keyed("c", "k", "m")); !isUnpublished(p) {
		t.Fatal(p.Err)
	}
	failWith(driver, errors.New("no answer"))
	if p := publishOne(r, keyed("c", "k", "m")); p.Err == nil || isUnpublished(p) || driver.Tried() != 2 {
		t.Fatalf("what was not published is answered with %v when it is repeated, and tried %d times in all", p.Err, driver.Tried())
	}
	failWith(driver, nil)
	if p := publishOne(r, keyed("c", "k", "m")); p.Err == nil || isUnpublished(p) || driver.Tried() != 2 {
		t.Errorf("what may have been published is answered with %v, and tried %d times in all", p.Err, driver.Tried())
	}
}

func TestKeyOfAnotherMessage(t *testing.T) {
	driver, door := newLate()
	r := bus.NewRepeats(driver, &countOf{}, 100)
	first := keyed("c", "k", "m")
	batch := []*bus.Publication{first, keyed("c", "k", "other")}
	r.PublishBatch(t.Context(), batch)
	for i, p := range []*bus.Publication{batch[1], publishOne(r, keyed("c", "k", "third"))} {
		if !errors.Is(p.Err, bus.ErrKeyReused) || !isUnpublished(p) || p.Fate() != channel.FateKeyReused {
			t.Errorf("%d: %v", i, p.Err)
		}
	}
	if first.Err != nil || door.Times("other")+door.Times("third") != 0 || r.Stats().KeysReused != 2 {
		t.Errorf("%v, %v, %+v", first.Err, door.All(), r.Stats())
	}
}

// A repeat waits for the answer of the first, also where two batches have each other's.
func TestRepeatsWaitForTheFirst(t *testing.T) {
	driver, door := newLate()
	driver.Hold, driver.Entered = make(chan struct{}), make(chan struct{}, 2)
	r := bus.NewRepeats(driver, &countOf{}, 100)
	batches := [][]*bus.Publication{{keyed("c", "a", "1")}, {keyed("c", "b", "2"), keyed("c", "a", "1")}}
	var publishers sync.WaitGroup
	for _, batch := range batches {
		publishers.Go(func() { r.PublishBatch(context.Background(), batch) })
		<-driver.Entered
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late := keyed("c", "b", "2")
	r.PublishBatch(gone, []*bus.Publication{late})
	if late.Err == nil || isUnpublished(late) {
		t.Errorf("who does not wait is told %v", late.Err)
	}
	close(driver.Hold)
	publishers.Wait()
	if first, again := told(batches[0][0]), told(batches[1][1]); first != again || batches[0][0].Err != nil {
		t.Errorf("told %q, and first %q", again, first)
	}
	if door.Times("1") != 1 || door.Times("2") != 1 {
		t.Errorf("published %v", door.All())
	}
}

// Random publishers, clock and failures beside a map that forgets nothing in time.
func TestRepeatsAgainstAMap(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	driver, door := newLate()
	const keysMax = 100
	r := bus.NewRepeats(driver, &countOf{}, keysMax)
	var now time.Duration
	r.SetClock(func() time.Duration { return now })
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
		var down error
		if random.IntN(10) == 0 {
			down = bus.Unpublished("down")
		}
		failWith(driver, down)
		for len(order) > 0 && now-model[order[0]].at >= bus.RepeatsAge {
			delete(model, order[0])
			order = order[1:]
		}
		before := door.Times(payload)
		p := publishOne(r, keyed("c", key, payload))
		old, isKnown := model[key]
		if isKnown {
			if door.Times(payload) != before || told(p) != old.told {
				t.Fatalf("seed %d, step %d: a repeat is told %q, first %q", seed, step, told(p), old.told)
			}
			continue
		}
		if down != nil {
			continue
		}
		if door.Times(payload) != before+1 {
			t.Fatalf("seed %d, step %d: %s is taken for a repeat", seed, step, key)
		}
		if len(order) == keysMax {
			delete(model, order[0])
			order = order[1:]
			forgotten++
		}
		model[key] = remembered{now, told(p)}
		order = append(order, key)
	}
	if stats := r.Stats(); stats.KeysForgotten != forgotten || int(stats.Keys) != len(model) || forgotten == 0 || stats.Repeats == 0 {
		t.Errorf("seed %d: %+v, and the model forgot %d and has %d", seed, stats, forgotten, len(model))
	}
}

func TestRepeatsOffPublishAll(t *testing.T) {
	driver, door := newLate()
	r := bus.NewRepeats(driver, nil, 0)
	publishOne(r, keyed("c", "k", "m"))
	publishOne(r, keyed("c", "k", "m"))
	if door.Times("m") != 2 {
		t.Errorf("published %d times", door.Times("m"))
	}
}
