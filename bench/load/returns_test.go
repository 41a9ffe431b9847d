package load

import (
	"net/netip"
	"testing"
	"time"

	"c10m/bench/load/loadtest"
	"c10m/internal/patience"
)

func spreadTo(s *loadtest.Server, connections int) Spread {
	return Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: s.Port, PerPort: 50_000, Connections: connections}
}

// Everybody, or some, leave and come back, once each, and the rest stays.
func TestStorm(t *testing.T) {
	const connections = 300
	s := loadtest.Start(t, loadtest.Fault{})
	client := start(t, Config{Spread: spreadTo(s, connections), Channel: "news", Publishes: true, Loops: 3})
	connected(t, client)
	bus, err := DialBus(s.Bus, "")
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	publish := client.Publisher(bus, 100)
	left := 0
	for _, storm := range []Storm{{Jitter: 50 * time.Millisecond, Reset: true}, {Drop: 100}, {Drop: 5000}} {
		dropped := storm.Drop
		if dropped == 0 || dropped > connections {
			dropped = connections
		}
		left += dropped
		if err := client.Storm(storm); err != nil {
			t.Fatal(err)
		}
		await(t, client, "everybody", func(s *Snapshot) bool { return s.Left >= left && s.AllBack() })
		if err := publish(client.Next(0)); err != nil {
			t.Fatal(err)
		}
		await(t, client, "a message for each", func(s *Snapshot) bool { return s.Served >= s.Returned })
		settled(t, "the ends", func() bool { return client.Missing() == 0 })
		snapshot := client.Snapshot()
		if snapshot.Left != left || snapshot.Returned != left || snapshot.Open != connections ||
			snapshot.Reconnects.Count() != uint64(left) || snapshot.Connects.Count() != connections ||
			snapshot.Fault() != "" || snapshot.ServedAtNanos < snapshot.ReturnedAtNanos {
			t.Errorf("%+v: %+v, %d reconnects; %s", storm, snapshot.ReturnCounters, snapshot.Reconnects.Count(), snapshot.Fault())
		}
	}
	if err := client.Storm(Storm{Drop: -1}); err == nil {
		t.Error("a storm of -1 is taken")
	}
}

// Who leaves for good is counted exactly, does not come back, and is due nothing; the
// server knows when all are gone.
func TestStormForGood(t *testing.T) {
	const connections, leaving = 300, 200
	for name, reset := range map[string]bool{"FIN": false, "RST": true} {
		t.Run(name, func(t *testing.T) {
			s := loadtest.Start(t, loadtest.Fault{})
			client := start(t, Config{Spread: spreadTo(s, connections), Channel: "news", Publishes: true, Loops: 3})
			connected(t, client)
			bus := AskBus(s.Bus, "")
			defer bus.Close()
			ask := func() int {
				n, err := bus.Of(t.Context(), "news")
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if n := ask(); n != connections {
				t.Errorf("%d subscribers", n)
			}
			for _, storm := range []Storm{{Drop: leaving, Reset: reset, ForGood: true}, {Reset: reset, ForGood: true}} {
				gone := connections
				if storm.Drop > 0 {
					gone = storm.Drop
				}
				if err := client.Storm(storm); err != nil {
					t.Fatal(err)
				}
				await(t, client, "the end of those that leave", func(s *Snapshot) bool { return s.Open == connections-gone })
				settled(t, "the server", func() bool { return ask() == connections-gone })
				client.Next(0)
				want := uint64(connections - gone)
				if missing := client.Missing(); missing != want {
					t.Errorf("%d messages are missing, %d are due", missing, want)
				}
				if s := client.Snapshot(); s.Ended != gone || s.Left != 0 || s.Opened != connections || s.Waiting != 0 || s.Fault() != "" {
					t.Errorf("%+v, %d opened, %d wait; %s", s.ReturnCounters, s.Opened, s.Waiting, s.Fault())
				}
			}
			if n, err := bus.Of(t.Context(), "nobody"); n != 0 || err != nil {
				t.Errorf("%d subscribers of nothing, %v", n, err)
			}
		})
	}
}

// Half of a churn says goodbye, and gets its answer.
func TestChurn(t *testing.T) {
	const connections = 100
	s := loadtest.Start(t, loadtest.Fault{})
	client := start(t, Config{Spread: spreadTo(s, connections), Channel: "news", Publishes: true, Loops: 2})
	connected(t, client)
	if err := client.Churn(Churn{Rate: 2000, Reset: true}); err != nil {
		t.Fatal(err)
	}
	await(t, client, "a churn", func(s *Snapshot) bool { return s.Left >= 200 })
	if err := client.Churn(Churn{}); err != nil {
		t.Fatal(err)
	}
	snapshot := await(t, client, "everybody", func(s *Snapshot) bool { return s.AllBack() && s.Open == connections })
	if snapshot.Fault() != "" || snapshot.Returned != snapshot.Left {
		t.Errorf("%+v; %s", snapshot.ReturnCounters, snapshot.Fault())
	}
	// Each loop alternates, so half is exact but for one per loop.
	if n := s.Closes(); n < snapshot.Left/2-1 || n > snapshot.Left/2+1 {
		t.Errorf("%d of %d said goodbye", n, snapshot.Left)
	}
	if err := client.Churn(Churn{Rate: -1}); err == nil {
		t.Error("a churn of -1 is taken")
	}
}

// A server that ends the stream without an answer to a close frame, or
// answers nothing at all, is seen.
func TestGoodbyeWithoutAnswer(t *testing.T) {
	a := accept(t, true) // closes at once, without a frame
	client := start(t, Config{Spread: a.spread(4), Dialect: Bare, Loops: 1, HandshakeTimeout: patience.Guard})
	connected(t, client)
	settled(t, "all peers", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.peers) == 4 })
	client.Churn(Churn{Rate: 500})
	await(t, client, "an end", func(s *Snapshot) bool { return s.Broken[brokenNotEchoed] > 0 })
	client.Churn(Churn{})
}

// A server that does not end the stream costs a time-out.
func TestGoodbyeWithoutEnd(t *testing.T) {
	h, fds := benchHandler(t, 2)
	h.dialer.timeout = int64(time.Second)
	for _, fd := range fds {
		h.leave(fd, true)
	}
	if h.loop.Record(fds[0]).Phase != phaseLeaving || h.returns.leavers.Len() != 2 {
		t.Fatalf("phase %d, %d leavers", h.loop.Record(fds[0]).Phase, h.returns.leavers.Len())
	}
	h.overdue(h.loop.Now() + int64(time.Second) - 1)
	if h.loop.Closing(fds[0]) {
		t.Error("closed before its time")
	}
	h.overdue(h.loop.Now() + int64(time.Second))
	if !h.loop.Closing(fds[0]) || !h.loop.Closing(fds[1]) || h.counters.Broken[brokenNotEnded] != 2 {
		t.Errorf("broken %v", h.counters.Broken)
	}
}

// Full jitter: any moment of the time, none before and none after.
func TestJitter(t *testing.T) {
	h, _ := benchHandler(t, 1)
	const jitter, n = int64(time.Second), 4000
	h.returns.from, h.returns.jitter = h.loop.Now(), jitter
	var quarters [4]int
	for i := range n {
		h.comeBack(uint32(i))
	}
	last := int64(0)
	for len(h.dialer.retries) > 0 {
		next, ok := h.dialer.take(h.loop.Now() + jitter)
		at := next.at - h.returns.from
		if !ok || at < last || at >= jitter || !next.again {
			t.Fatalf("%+v after %d, %v", next, last, ok)
		}
		last = at
		quarters[at*4/jitter]++
	}
	for _, q := range quarters {
		if q < n/4*8/10 || q > n/4*12/10 {
			t.Errorf("quarters %v", quarters)
		}
	}
	h.comeBack(1)
	if _, ok := h.dialer.take(h.loop.Now() - 1); ok {
		t.Error("back before its time")
	}
}
