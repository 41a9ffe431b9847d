package scenario

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"c10m/bench/load"
	"c10m/bench/load/loadtest"
	"c10m/internal/patience"
)

func TestTimetable(t *testing.T) {
	times := timetable{begin: 1000, rate: 3}
	for n, due := range map[uint64]int64{0: 1000, 1: 1000 + 333_333_333, 3: 1000 + 1_000_000_000, 3_000_000: 1000 + 1_000_000_000_000_000} {
		if got := times.due(n); got != due {
			t.Errorf("message %d is due at %d", n, got)
		}
	}
}

// A publisher that wakes up late sends all that is due, with the times at
// which it was due, and counts what is late.
func TestPublisherIsOnTime(t *testing.T) {
	const start = int64(5_000_000_000)
	for _, c := range []struct {
		name      string
		lag       time.Duration // of every wake-up
		published uint64
		late      uint64
	}{
		{"on time", 0, 100, 0},
		{"a little late", 900 * time.Microsecond, 100, 0},
		// Message 0 is due at once; then it wakes every 25 ms, with the
		// messages of 10 and 20 (or 10) ms before being late.
		{"late", 15 * time.Millisecond, 100, 99},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := loadtest.Start(t, loadtest.Fault{})
			client, err := load.Start(load.Config{Channel: "news", Publishes: true, Loops: 1,
				Spread: load.Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: s.Port, PerPort: 10, Connections: 1}})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Stop()
			r := run{options: Options{Bus: s.Bus, Bytes: 64}}
			p, err := r.newPublisher("fanout", &party{Client: client}, 100)
			if err != nil {
				t.Fatal(err)
			}
			defer p.bus.Close()
			clock := start
			p.now = func() int64 { return clock }
			p.sleep = func(until int64) { clock = until + int64(c.lag) }
			if err := p.run(context.Background(), int64(time.Second)); err != nil {
				t.Fatal(err)
			}
			if p.published != c.published || p.late != c.late || client.Published() != c.published {
				t.Errorf("%d published, %d late", p.published, p.late)
			}
			due := timetable{begin: start, rate: 100}.due(c.published - 1)
			last := string(load.AppendStamped(nil, c.published, due, 64))
			for end := time.Now().Add(patience.Guard); s.Last() != last; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("the last message is %q instead of %q", s.Last(), last)
				}
			}
		})
	}
}
