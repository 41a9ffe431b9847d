package bus_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"c10m/bus"
	"c10m/bus/bustest"
	"c10m/channel"
	"c10m/internal/patience"

	"go.uber.org/zap"
)

// The Door hears what clients say in the order in which each loop said it.
func TestUplinkKeepsTheOrder(t *testing.T) {
	onEachDriver(t, func(t *testing.T, driver bus.Bus, door *bustest.Door) {
		u, queues := bustest.StartUplink(t, driver, nil, 8<<20, &bustest.Ear{}, &bustest.Ear{}, &bustest.Ear{})
		const each = 500
		var loops sync.WaitGroup
		for i, q := range queues {
			loops.Go(func() {
				buffer := make([]byte, 0, 32)
				for n := range each {
					buffer = fmt.Appendf(buffer[:0], "%d %d", i, n)
					if !q.Publish(uint64(i), []byte("news"), buffer) {
						t.Errorf("message %d was not taken", n)
					}
					clear(buffer) // the queue keeps nothing that it was lent
				}
			})
		}
		loops.Wait()
		bustest.Close(t, u) // publishes what is left
		var next [3]int
		for _, m := range door.All() {
			var loop, n int
			if _, err := fmt.Sscanf(m.Payload, "%d %d", &loop, &n); err != nil || n != next[loop] {
				t.Fatalf("%q where %d is due: %v", m.Payload, next, err)
			}
			next[loop]++
		}
		if next != [3]int{each, each, each} {
			t.Errorf("the Door has %d of each loop", next)
		}
	})
}

// A full queue says so, refuses nothing up to its hard limit, and says when
// there is room.
func TestUplinkFull(t *testing.T) {
	for _, c := range []struct {
		name          string
		payload       string
		queueBytesMax int
		soft, hard    int // messages
	}{
		{"messages", "", 64 << 20, bus.UplinkMessagesMax, bus.UplinkHardFactor * bus.UplinkMessagesMax},
		{"bytes", strings.Repeat("x", 10_000-bus.PublicationBytesExtra-1), 200_000, 20, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			door := newDoor()
			driver, ear := bustest.NewMemory(door), &bustest.Ear{}
			driver.Hold = make(chan struct{})
			_, queues := bustest.StartUplink(t, driver, nil, c.queueBytesMax, ear)
			q := queues[0]
			for n := range c.hard + 1 {
				if isFull := q.Full(); isFull != (n >= c.soft) {
					t.Fatalf("with %d messages under way, Full is %v", n, isFull)
				}
				if taken := q.Publish(1, []byte("c"), []byte(c.payload)); taken != (n < c.hard) {
					t.Fatalf("message %d was taken: %v", n+1, taken)
				}
			}
			if ear.Rooms() != 0 {
				t.Fatal("there is room, and nothing was published")
			}
			close(driver.Hold)
			patience.Eventually(t, "there is room", func() bool { return ear.Rooms() == 1 })
			if q.Full() {
				t.Error("there is room, and Full says no")
			}
			patience.Eventually(t, "all is published", func() bool { messages, bytes := q.UnderWay(); return messages == 0 && bytes == 0 })
			if n := len(door.All()); n != c.hard {
				t.Errorf("the bus has %d messages, and %d were taken", n, c.hard)
			}
		})
	}
}

// Each sender whose message failed is named, once per message, and no other.
func TestUplinkFailures(t *testing.T) {
	driver := bustest.NewMemory(newDoor())
	driver.Fail(func(*bus.Publication) error { return errors.New("no") })
	ears := []*bustest.Ear{{}, {}}
	u, queues := bustest.StartUplink(t, driver, nil, 1<<20, ears...)
	var want []uint64
	for from := range uint64(600) {
		queues[0].Publish(from, []byte("c"), nil)
		want = append(want, from)
	}
	bustest.Close(t, u)
	if !slices.Equal(ears[0].Failed(), want) || len(ears[1].Failed()) != 0 {
		t.Errorf("%d and %d failures, want 600 and 0", len(ears[0].Failed()), len(ears[1].Failed()))
	}
}

// Who waits for an answer gets one for each message, in order, with all that the driver
// knows of it; who does not is told of failures as ever.
func TestUplinkAnswers(t *testing.T) {
	const messages = 900
	check := func(t *testing.T, driver bus.Bus, door *bustest.Door, want channel.Fate) {
		ear := &bustest.Ear{}
		u := bus.NewUplink(1<<20, zap.NewNop())
		q := u.Queue(ear)
		var names []string
		for from := range uint64(messages) {
			name := []string{"news", "one", "nobody"}[from%3]
			q.PublishAnswered(from, []byte(name), fmt.Appendf(nil, "key%d", from), nil)
			q.Publish(10_000+from, []byte("other"), nil)
			names = append(names, name)
		}
		if m, isMemory := driver.(*bustest.Memory); isMemory && m.IsLate {
			u.Start(driver, door)
		} else {
			u.Start(driver, nil) // receipts tell the connections, and nobody is asked
		}
		bustest.Close(t, u)
		outcomes := ear.Outcomes()
		ids := ids(driver, 2*messages)
		for i, o := range outcomes {
			wanted := channel.Outcome{From: uint64(i), Channel: []byte(names[i]), Key: fmt.Appendf(nil, "key%d", i), Fate: want}
			if want == channel.FatePublished {
				wanted.Connections, wanted.ID = door.Members[names[i]], ids[2*i]
				if m, isMemory := driver.(*bustest.Memory); isMemory {
					wanted.Subscribers = m.Subscribers
				}
			}
			if fmt.Sprint(o) != fmt.Sprint(wanted) {
				t.Fatalf("answer %d is %+v, want %+v", i, o, wanted)
			}
		}
		failures := 0
		if want != channel.FatePublished {
			failures = messages
		}
		failed := ear.Failed()
		if len(outcomes) != messages || len(failed) != failures || failures > 0 && failed[0] != 10_000 {
			t.Errorf("%d answers, %d failures", len(outcomes), len(failed))
		}
	}
	onEachDriver(t, func(t *testing.T, driver bus.Bus, door *bustest.Door) {
		if m, isMemory := driver.(*bustest.Memory); isMemory {
			m.Subscribers = 7
		}
		check(t, driver, door, channel.FatePublished)
	})
	for name, c := range map[string]struct {
		fail error
		want channel.Fate
	}{
		"unconfirmed": {errors.New("no"), channel.FateUnconfirmed},
		"unpublished": {bus.Unpublished("no"), channel.FateUnpublished},
	} {
		t.Run(name, func(t *testing.T) {
			door := newDoor()
			driver := bustest.NewMemory(door)
			driver.Fail(func(*bus.Publication) error { return c.fail })
			check(t, driver, door, c.want)
		})
	}
}

// A message beyond the Door's limit fails, and its sender is told.
func TestUplinkRefusedByTheDoor(t *testing.T) {
	onEachDriver(t, func(t *testing.T, driver bus.Bus, _ *bustest.Door) {
		ear := &bustest.Ear{}
		u, queues := bustest.StartUplink(t, driver, nil, 8<<20, ear)
		queues[0].Publish(7, []byte("c"), make([]byte, bustest.PayloadBytesMax+1))
		bustest.Close(t, u)
		if failed := ear.Failed(); !slices.Equal(failed, []uint64{7}) {
			t.Errorf("failures of %d", failed)
		}
	})
}
