package bus_test

import (
	"fmt"
	"testing"

	"c10m/bus"
	"c10m/bus/bustest"
	"c10m/channel"
	"c10m/internal/patience"
)

// A testShortcut publishes at a door like its bus, unless it is busy.
type testShortcut struct {
	door   *bustest.Door
	isBusy bool
	taken  int
}

func (s *testShortcut) Publish(name, payload []byte) (sent channel.Sent, ok bool) {
	if s.isBusy {
		return sent, false
	}
	s.taken++
	s.door.Publish(name, payload)
	return channel.Sent{Connections: s.door.Members[string(name)]}, true
}

// shortcut has one queue, whose bus waits for hold.
func shortcut(t *testing.T) (q *bus.UplinkQueue, ear *bustest.Ear, way *testShortcut, driver *bustest.Memory) {
	door := newDoor()
	driver = bustest.NewMemory(door)
	driver.Hold, driver.Entered = make(chan struct{}), make(chan struct{})
	repeats := bus.NewRepeats(driver, door, 100)
	ear, way = &bustest.Ear{}, &testShortcut{door: door}
	_, queues := bustest.StartUplink(t, repeats, door, 1<<20, ear)
	q = queues[0]
	q.TakeShortcut(repeats.Shortcut(way))
	return q, ear, way, driver
}

// What goes by the shortcut does not overtake what its loop's clients said before.
func TestShortcutOvertakesNothing(t *testing.T) {
	q, _, way, driver := shortcut(t)
	say := func(text string) { q.Publish(1, []byte("news"), []byte(text)) }
	say("1")
	way.isBusy = true
	say("2")
	<-driver.Entered
	way.isBusy = false
	if q.IsQuiet() {
		t.Error("a queue is quiet while its bus is at work")
	}
	say("3")
	if way.taken != 1 {
		t.Fatalf("%d messages by the shortcut while one is under way", way.taken-1)
	}
	driver.Hold <- struct{}{}
	<-driver.Entered
	driver.Hold <- struct{}{}
	patience.Eventually(t, "the queue is empty", q.IsQuiet)
	say("4")
	if got := fmt.Sprint(way.door.All()); got != "[{news 1} {news 2} {news 3} {news 4}]" || way.taken != 2 {
		t.Errorf("the door got %s, %d by the shortcut", got, way.taken)
	}
}

// So much by the long way has clients wait until all of it is gone.
func TestShortcutBacklogIsEmptied(t *testing.T) {
	q, ear, way, driver := shortcut(t)
	way.isBusy = true
	for n := 0; n < bus.ShortcutBacklogMax; n++ {
		if q.IsBacklogged() {
			t.Fatalf("clients wait for %d messages", n)
		}
		q.Publish(1, []byte("news"), nil)
	}
	if !q.IsBacklogged() || q.Full() {
		t.Fatal("clients do not wait, or those that wait for answers are refused")
	}
	for {
		rooms := ear.Rooms()
		if q.IsQuiet() {
			break
		}
		if rooms > 0 {
			t.Fatal("there is room while something is in the queue")
		}
		select {
		case <-driver.Entered:
		case driver.Hold <- struct{}{}:
		default:
		}
	}
	patience.Eventually(t, "there is room", func() bool { return ear.Rooms() == 1 })
}

// A key is remembered whichever way its message took, and what it was given before takes
// the long way to its answer.
func TestShortcutKeys(t *testing.T) {
	q, ear, way, driver := shortcut(t)
	name, key := []byte("news"), []byte("k")
	first, ok := q.PublishNow(name, key, []byte("one"))
	if !ok || first.Connections != way.door.Members["news"] || string(first.Key) != "k" || first.Fate != channel.FatePublished {
		t.Fatalf("%+v %v", first, ok)
	}
	for _, payload := range []string{"one", "another"} {
		if o, ok := q.PublishNow(name, key, []byte(payload)); ok {
			t.Fatalf("a repeat is published: %+v", o)
		}
		q.PublishAnswered(1, name, key, []byte(payload))
	}
	patience.Eventually(t, "both are answered", func() bool { return len(ear.Outcomes()) == 2 })
	again := ear.Outcomes()
	if again[0].Connections != first.Connections || again[0].Fate != channel.FatePublished || again[1].Fate != channel.FateKeyReused {
		t.Errorf("repeats are answered with %+v", again)
	}
	// And the other way round.
	way.isBusy = true
	if _, ok := q.PublishNow(name, []byte("l"), nil); ok {
		t.Fatal("a busy shortcut publishes")
	}
	q.PublishAnswered(1, name, []byte("l"), nil)
	<-driver.Entered
	way.isBusy = false
	if _, ok := q.PublishNow(name, []byte("l"), nil); ok {
		t.Error("a message whose key is under way is published")
	}
	driver.Hold <- struct{}{}
	patience.Eventually(t, "it is answered", func() bool { return len(ear.Outcomes()) == 3 })
	if _, ok := q.PublishNow(name, []byte("l"), nil); ok || way.taken != 1 {
		t.Errorf("%d messages by the shortcut", way.taken)
	}
}
