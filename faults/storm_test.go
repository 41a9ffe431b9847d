package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"c10m/bench/load"
	"c10m/internal/servertest"
)

// A publisher sends stamped messages of a client's channel at a steady pace
// until stop, whatever happens to the client.
func publishSteadily(t *testing.T, s *servertest.Server, client *crowd, every time.Duration) (stop func()) {
	t.Helper()
	bus := crowdBus(t, s)
	send := client.Publisher(bus, 256)
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Add(1)
	go func() {
		defer ended.Done()
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if err := send(client.Next(0)); err != nil {
					t.Errorf("publishing: %v", err)
					return
				}
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); ended.Wait() })
}

// Everybody is dropped at once, by FIN or by RST, and comes back at once, while
// the server takes so many a second. Those who stay get every message, those
// who come back get every message from their 101 on, and nobody is refused.
func TestAStormOfReconnects(t *testing.T) {
	for _, reset := range []bool{false, true} {
		t.Run(map[bool]string{false: "FIN", true: "RST"}[reset], func(t *testing.T) {
			clients := scale(3000, 18_000)
			rate := scale(600, 4000) // what a busy machine reaches, too
			s := servertest.StartServer(t, 0, "--max-connections", fmt.Sprint(clients+1000), "--accept-rate", fmt.Sprint(rate))
			stay := connectCrowd(t, s, load.Config{Channel: "alive", Fewest: true}, 100)
			storm := connectCrowd(t, s, load.Config{Channel: "news", UnderWay: 1 << 14}, clients)
			stopStay, stopStorm := publishSteadily(t, s, stay, 2*time.Millisecond), publishSteadily(t, s, storm, 50*time.Millisecond)
			defer stopStay()
			defer stopStorm()
			time.Sleep(500 * time.Millisecond)
			before := stay.Snapshot()
			waits := s.Metric("c10m_accept_rate_waits_total")

			begun := time.Now()
			if err := storm.Storm(load.Storm{Reset: reset}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), crowdPatience)
			defer cancel()
			back, err := storm.Await(ctx, func(s *load.Snapshot) bool {
				return s.Left >= clients && s.AllBack() && s.Served+s.NotBack >= clients
			})
			if err != nil {
				t.Fatalf("%d left, %d are back, %d got a message, %d gave up: %v", back.Left, back.Returned, back.Served, back.NotBack, err)
			}
			took := time.Since(begun)
			stopStay()
			stopStorm()
			seen, stayed := crowdLostNothing(t, "who came back", storm), crowdLostNothing(t, "who stayed", stay)
			if n := len(seen.Failures); n > 0 || seen.Open != clients {
				t.Errorf("%d of %d are open; failures %v", seen.Open, clients, seen.Failures)
			}
			if s.Metric("c10m_accept_rate_waits_total") == waits {
				t.Error("the accept rate was never reached")
			}
			t.Logf("latency of who stayed in ms, p50 and p99: %.1f %.1f before the storm, %.1f %.1f in all; connect to 101: p50 %v, p99 %v",
				before.Latencies.Summary().P50Millis, before.Latencies.Summary().P99Millis,
				stayed.Latencies.Summary().P50Millis, stayed.Latencies.Summary().P99Millis,
				seen.Reconnects.Quantile(0.5), seen.Reconnects.Quantile(0.99))
			held(t, outcome{fault: "all dropped at once, back at once, --accept-rate " + fmt.Sprint(rate), clients: clients, recover: took,
				held: "all are back and get messages from their 101 on, none refused or reset; 100 who stayed lose nothing"})
		})
	}
}

// disconnectMessagesMin are of a publisher that sends one each millisecond while
// thousands leave, on a host however slow: a turn closes 128.
const disconnectMessagesMin = 20

// So many leave at once, for good: whoever stays gets every message meanwhile.
func TestADisconnectOfEverybodyAtOnce(t *testing.T) {
	clients := scale(10_000, 200_000)
	s := servertest.StartServer(t, 0, "--max-connections", fmt.Sprint(clients+1000))
	leave := connectCrowd(t, s, load.Config{Channel: "news"}, clients)
	stay := connectCrowd(t, s, load.Config{Channel: "alive", Fewest: true}, 1)
	stop := publishSteadily(t, s, stay, time.Millisecond)
	defer stop()
	servertest.Eventually(t, "messages flow", func() bool { return stay.Snapshot().Stamped > 100 })
	before := stay.Snapshot()
	begun := time.Now()
	// Of the messages that come while connections are being closed: how many, and the
	// fewest connections that were left when one more had come.
	gone := make(chan struct{})
	go func() { leave.Stop(); close(gone) }()
	meanwhile, left := uint64(0), float64(clients+1)
	servertest.Eventually(t, "they are gone", func() bool {
		n, seen := s.Metric("c10m_connections"), stay.Snapshot().Stamped-before.Stamped
		if seen > meanwhile && n > 1 {
			meanwhile, left = seen, n
		}
		return n == 1
	})
	<-gone
	took := time.Since(begun)
	during := stay.Snapshot().Stamped - before.Stamped
	stop()
	// With everybody's closes ahead of it the first message would come at the end.
	if during < disconnectMessagesMin || meanwhile == 0 {
		t.Errorf("%d messages came until all were gone, %d of them while %v connections were left", during, meanwhile, left)
	}
	seen := crowdLostNothing(t, "who stayed", stay)
	if n := sumOfSeries(s, "c10m_closes_total", "reason", "client_gone", "client_reset"); n != float64(clients) {
		t.Errorf("%v disconnects counted", n)
	}
	for _, name := range []string{"c10m_members", "c10m_connections_open"} {
		if n := s.Metric(name); n != 1 {
			t.Errorf("%s is %v", name, n)
		}
	}
	t.Logf("latency of who stayed in ms, p50 and p99: %.1f %.1f before, %.1f %.1f in all, longest %.1f; longest turns %v s",
		before.Latencies.Summary().P50Millis, before.Latencies.Summary().P99Millis,
		seen.Latencies.Summary().P50Millis, seen.Latencies.Summary().P99Millis, seen.Latencies.Summary().MaxMillis,
		s.Metric("c10m_loop_turn_p99_seconds"))
	held(t, outcome{fault: "all but one leave at once", clients: clients + 1, recover: took,
		held: fmt.Sprintf("the one that stays got %d messages meanwhile (one each %.1f ms; one is published each millisecond), all and in order",
			during, took.Seconds()*1000/float64(during))})
}
