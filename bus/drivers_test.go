package bus_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"c10m/bus"
	"c10m/bus/bustest"
	"c10m/internal/patience"
	"c10m/redisbus"

	"go.uber.org/zap"
)

// onEachDriver runs a test on a driver that answers at once, one whose messages come to
// the loops later, and the embedded bus.
func onEachDriver(t *testing.T, test func(t *testing.T, driver bus.Bus, door *bustest.Door)) {
	for name, open := range map[string]func(t *testing.T, door bus.Door) bus.Bus{
		"memory": func(_ *testing.T, door bus.Door) bus.Bus { return bustest.NewMemory(door) },
		"late": func(_ *testing.T, door bus.Door) bus.Bus {
			m := bustest.NewMemory(door)
			m.IsLate = true
			return m
		},
		"embedded": func(t *testing.T, door bus.Door) bus.Bus {
			b, err := redisbus.ListenEmbedded(redisbus.EmbeddedConfig{Addr: "127.0.0.1:0"}, door, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			door := newDoor()
			driver := open(t, door)
			t.Cleanup(func() { bustest.Close(t, driver) })
			test(t, driver, door)
		})
	}
}

func newDoor() *bustest.Door { return bustest.NewDoor(map[string]int{"news": 3, "one": 1}) }

// ids of n messages, in order, where a driver gives ids.
func ids(driver bus.Bus, n int) []string {
	all := make([]string, n)
	if m, isMemory := driver.(*bustest.Memory); isMemory && !m.IsLate {
		for i := range all {
			all[i] = fmt.Sprint("memory-", i+1)
		}
	}
	return all
}

// What main and admin ask of a driver.
func TestDrivers(t *testing.T) {
	onEachDriver(t, func(t *testing.T, driver bus.Bus, door *bustest.Door) {
		if h := driver.Health(); !h.Up || h.Since.IsZero() || h.Reason != "" {
			t.Errorf("at the begin %+v", h)
		}
		batch := []*bus.Publication{message("news", "a"), message("news", string(make([]byte, bustest.PayloadBytesMax+1))), message("one", "bc")}
		driver.PublishBatch(t.Context(), batch)
		if batch[0].Err != nil || batch[1].Err == nil || batch[2].Err != nil {
			t.Errorf("%v, %v, %v", batch[0].Err, batch[1].Err, batch[2].Err)
		}
		if batch[1].Receipt != nil || batch[1].ID() != "" {
			t.Error("what was refused has a receipt")
		}
		if got, want := door.All(), []bustest.Message{bustest.To("news", "a"), bustest.To("one", "bc")}; !slices.Equal(got, want) {
			t.Errorf("the Door has %v", got)
		}
		s := driver.Stats()
		if s.MessagesIn != 3 || s.BytesIn != bustest.PayloadBytesMax+4 || s.Dropped["refused"] != 1 || s.Unpublished["refused"] != 1 {
			t.Errorf("%+v", s)
		}
		if len(s.Dropped) != int(bus.DropReasons) || len(s.Unpublished) != int(bus.PublishFailures) {
			t.Errorf("not every reason is there: %+v", s)
		}
		bustest.Close(t, driver)
		late := message("news", "late")
		driver.PublishBatch(t.Context(), []*bus.Publication{late})
		if h := driver.Health(); h.Up || h.Reason == "" || !isUnpublished(late) || driver.Stats().Unpublished["bus_down"] != 1 {
			t.Errorf("after Close %+v, %v", h, late.Err)
		}
	})
}

// A Door that blocks for one channel, as the hub does while a loop that wants it is full,
// holds up who publishes to that one, and nobody else.
func TestADriverHoldsUpOneChannel(t *testing.T) {
	onEachDriver(t, func(t *testing.T, driver bus.Bus, door *bustest.Door) {
		const others = 1000
		waits, release := make(chan struct{}, 2), make(chan struct{})
		door.Before = func(name string) {
			if name == "hot" {
				waits <- struct{}{}
				<-release
			}
		}
		var hot sync.WaitGroup
		hot.Go(func() { publishOne(driver, message("hot", "first")) })
		<-waits
		hot.Go(func() { publishOne(driver, message("hot", "second")) })
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range others {
				if p := publishOne(driver, message(fmt.Sprint("other ", i), "")); p.Err != nil {
					t.Error(p.Err)
				}
			}
		}()
		select {
		case <-done:
		case <-time.After(patience.Guard):
			t.Fatal("who publishes to other channels waits, too")
		}
		select {
		case <-waits:
			t.Error("the second of a channel is at the Door before the first has left it")
		default:
		}
		close(release)
		hot.Wait()
		all := door.All()
		if len(all) != others+2 || all[others] != bustest.To("hot", "first") || all[others+1] != bustest.To("hot", "second") {
			t.Errorf("the Door has %d messages, at last %v", len(all), all[max(0, len(all)-2):])
		}
	})
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{"": true}
	note := func(name string) {
		if seen[name] {
			t.Errorf("reason %q is empty or twice", name)
		}
		seen[name] = true
	}
	for r := range bus.DropReasons {
		note("drop " + r.String())
	}
	for r := range bus.PublishFailures {
		note("publish " + r.String())
	}
	if seen["drop "] || seen["publish "] {
		t.Error("a reason has no name")
	}
}
