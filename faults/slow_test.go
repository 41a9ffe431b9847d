package faults

import (
	"bytes"
	"fmt"
	"testing"

	"c10m/bench/load"
	"c10m/internal/servertest"
)

const (
	slowMessageBytes = 1024
	slowLogBytes     = 256 << 10
	slowTotalBytes   = 4 << 20
	// slowFactor is what a log may hold, in limits, while slow readers are being
	// closed: beyond it the loop takes no more messages (channel.Registry.Full).
	slowFactor = 2
	// slowSlackBytes of live heap are for everything else: the scrapes of this
	// test, the bus's connections, the collector's own.
	slowSlackBytes = 8 << 20
	// stampOrderBytes of a payload are the sequence number of load's stamp and what
	// is before it.
	stampOrderBytes = 7 + 16
)

// slowServer is one whose sockets fill soon, so that its logs are what slow
// readers use up.
func slowServer(t *testing.T, clients int, args ...string) *servertest.Server {
	return servertest.StartServer(t, 0, append([]string{"--max-connections", fmt.Sprint(clients + 1000),
		"--send-buffer", "4KiB", "--message-bytes", "4KiB", "--max-memory", "off", "--ping-interval", "0s",
		"--log-bytes", fmt.Sprint(slowLogBytes), "--log-bytes-total", fmt.Sprint(slowTotalBytes)}, args...)...)
}

// slowReaders has so many clients that never read, and readers beside them.
type slowReaders struct {
	server  *servertest.Server
	deaf    *deafClients
	readers *crowd
	bus     *load.Bus
	heap    float64 // live bytes before any message
}

func startSlowReaders(t *testing.T, clients int, args ...string) *slowReaders {
	t.Helper()
	r := &slowReaders{server: slowServer(t, clients, args...)}
	r.deaf = startDeaf(t, r.server, clients)
	r.readers = connectCrowd(t, r.server, load.Config{Channel: "news"}, 200)
	r.bus = crowdBus(t, r.server)
	r.heap = r.liveHeap()
	return r
}

func (r *slowReaders) liveHeap() float64 {
	r.server.Get("/debug/pprof/heap?gc=1")
	return r.server.Metric("go_memstats_heap_alloc_bytes")
}

// checkMemory fails if the server holds more for its slow readers than the page
// of promises allows, however many they are.
func (r *slowReaders) checkMemory(t *testing.T) {
	t.Helper()
	loops := r.server.Metric("c10m_loops")
	logs := r.server.Metric("c10m_log_bytes")
	pinned := r.server.Metric("c10m_pinned_frame_bytes")
	// One channel, so its limit per loop counts; a message may pass it.
	logsMax := loops * (slowFactor*slowLogBytes + slowMessageBytes + 512)
	if logs > logsMax || logs > slowFactor*slowTotalBytes+loops*(slowMessageBytes+512) || pinned > slowTotalBytes {
		t.Errorf("%v bytes of logs (at most %v), %v pinned (at most %v)", logs, logsMax, pinned, slowTotalBytes)
	}
	heap := r.liveHeap()
	if grown := heap - r.heap; grown > logsMax+slowTotalBytes+slowSlackBytes {
		t.Errorf("the live heap has grown by %v bytes: more than logs, pins and %d", grown, slowSlackBytes)
	}
	t.Logf("%.0f KiB of logs, %.0f KiB pinned, %.1f MiB of live heap (%.1f before), %.0f blocked",
		logs/1024, pinned/1024, heap/(1<<20), r.heap/(1<<20), r.server.Metric("c10m_blocked_members"))
}

func (r *slowReaders) drive(t *testing.T, messages int) load.Run {
	t.Helper()
	return driveCrowd(t, r.readers, r.bus, messages, 4, slowMessageBytes)
}

// closedAsSlow counts connections that were closed for not reading.
func (r *slowReaders) closedAsSlow() float64 {
	return sumOfSeries(r.server, "c10m_closes_total", "reason", "slow_log_bytes", "slow_log_age", "slow_log_bytes_total", "write_deadline")
}

func (r *slowReaders) allClosed(t *testing.T) {
	t.Helper()
	want := float64(r.deaf.clients)
	servertest.Eventually(t, "every slow reader is closed", func() bool { return r.closedAsSlow() >= want })
	if n := r.closedAsSlow(); n != want {
		t.Errorf("%v were closed as slow, and %v were", n, want)
	}
	if open := r.server.Metric("c10m_connections_open"); open != 200 {
		t.Errorf("%v connections are open, 200 readers", open)
	}
}

// Clients that never read are closed when their channel's log is longer than it
// may be. The readers beside them lose nothing, and memory stays bounded.
func TestSlowReadersAreClosedAtTheirBytes(t *testing.T) {
	clients := scale(3000, 100_000)
	r := startSlowReaders(t, clients, "--write-deadline", "10m")
	// What fills the sockets is a fan-out to all of them like any other.
	for sent := 0; r.server.Metric("c10m_blocked_members") < float64(clients); sent++ {
		if sent == 100 {
			t.Fatalf("after %d messages %v are blocked", sent, r.server.Metric("c10m_blocked_members"))
		}
		r.drive(t, 1)
	}
	beside := r.drive(t, 100)
	r.checkMemory(t)
	closing := r.drive(t, 150)
	for sent := 150; r.closedAsSlow() < float64(clients) && sent < 5000; sent += 150 {
		r.checkMemory(t)
		r.drive(t, 150)
	}
	r.allClosed(t)
	if n := r.server.Metric(`c10m_closes_total{reason="slow_log_bytes"}`); n != float64(clients) {
		t.Errorf("%v were closed for their bytes", n)
	}
	after := r.drive(t, 150)
	crowdLostNothing(t, "readers", r.readers)
	t.Logf("latency of the readers in ms, p50 and p99: %.1f %.1f beside the slow ones, %.1f %.1f while these are closed, %.1f %.1f without them",
		beside.Latency.P50Millis, beside.Latency.P99Millis, closing.Latency.P50Millis, closing.Latency.P99Millis,
		after.Latency.P50Millis, after.Latency.P99Millis)
	held(t, outcome{fault: "clients that never read, many messages", clients: clients,
		held: "each closed as slow_log_bytes; logs and heap bounded; 200 readers beside them lose nothing"})
}

// Slow readers of many channels, none of whose logs is long: together they reach
// --log-bytes-total, and are closed for it. Nothing that a server has kept then is
// beyond what the page of promises says.
func TestSlowReadersOfManyChannelsShareTheTotal(t *testing.T) {
	const channels = 64 // as many limits of one log are four times what all may have
	clients := scale(640, 6400)
	s := slowServer(t, clients, "--write-deadline", "30m")
	startDeafIn(t, s, clients, func(number int) string { return fmt.Sprint("slow", number%channels) })
	readers := connectCrowd(t, s, load.Config{Channel: "news"}, 10)
	bus := crowdBus(t, s)
	loops := s.Metric("c10m_loops")
	most := slowFactor*slowTotalBytes + loops*(slowMessageBytes+512)
	closed := func() float64 {
		return sumOfSeries(s, "c10m_closes_total", "reason", "slow_log_bytes", "slow_log_age", "slow_log_bytes_total", "write_deadline")
	}
	payload := bytes.Repeat([]byte("x"), slowMessageBytes)
	peak, sent := 0.0, 0
	for closed() < float64(clients) {
		if sent > 1<<20 {
			t.Fatalf("%d messages were published, and %v of %d slow readers are closed", sent, closed(), clients)
		}
		for range 4 * channels {
			if err := bus.Publish(fmt.Sprint("slow", sent%channels), payload); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		servertest.Eventually(t, "the bus has answered", func() bool { _, answers := bus.Receivers(); return answers == sent })
		logs, pinned := s.Metric("c10m_log_bytes"), s.Metric("c10m_pinned_frame_bytes")
		if peak = max(peak, logs); logs > most || pinned > slowTotalBytes {
			t.Errorf("%v bytes of logs (at most %v), %v pinned (at most %d)", logs, most, pinned, slowTotalBytes)
		}
	}
	// In the end so few channels are left that each may fill its own log.
	total, own := s.Metric(`c10m_closes_total{reason="slow_log_bytes_total"}`), s.Metric(`c10m_closes_total{reason="slow_log_bytes"}`)
	if total < float64(clients)*3/4 || total+own != float64(clients) || closed() != total+own {
		t.Errorf("of %d slow readers %v were closed for what all owe, %v for what their channel does, %v in all", clients, total, own, closed())
	}
	// Nobody is closed before the limit of its loop is reached.
	if least := slowTotalBytes / loops; peak < least/2 {
		t.Errorf("there were never more than %v bytes of logs, and %v is the limit of a loop", peak, least)
	}
	driveCrowd(t, readers, crowdBus(t, s), 40, 4, slowMessageBytes)
	crowdLostNothing(t, "readers", readers)
	t.Logf("%d messages, at most %.0f KiB of logs seen, %.0f KiB allowed", sent, peak/1024, most/1024)
	held(t, outcome{fault: fmt.Sprintf("clients that never read, in %d channels", channels), clients: clients,
		held: "most closed as slow_log_bytes_total, the last as slow_log_bytes; logs within twice --log-bytes-total"})
}

// The same with few messages: the age of what they are owed closes them.
func TestSlowReadersAreClosedAtTheirAge(t *testing.T) {
	clients := scale(3000, 100_000)
	r := startSlowReaders(t, clients, "--write-deadline", "2s")
	r.drive(t, 40)
	r.checkMemory(t)
	r.allClosed(t)
	for _, reason := range []string{"slow_log_age", "write_deadline", "slow_log_bytes"} {
		t.Logf("%s: %v", reason, r.server.Metric(fmt.Sprintf(`c10m_closes_total{reason=%q}`, reason)))
	}
	if n := r.server.Metric(`c10m_closes_total{reason="slow_log_bytes"}`); n != 0 {
		t.Errorf("%v were closed for bytes that they did not owe", n)
	}
	r.drive(t, 40)
	crowdLostNothing(t, "readers", r.readers)
	held(t, outcome{fault: "clients that never read, few messages", clients: clients,
		held: "each closed as slow_log_age or write_deadline; 200 readers beside them lose nothing"})
}

// With --slow skip they stay, and when they read they get whole frames only, in
// order, up to the newest. What was left out is counted to the message.
func TestSlowReadersAreSkippedIfTheOperatorWants(t *testing.T) {
	clients := scale(500, 5000)
	r := startSlowReaders(t, clients, "--slow", "skip", "--write-deadline", "30m")
	const messages = 600
	r.drive(t, messages)
	r.checkMemory(t)
	if n := r.closedAsSlow(); n != 0 {
		t.Fatalf("%v were closed, though they were to be skipped", n)
	}
	const last = "the newest of all"
	if err := r.bus.Publish("news", []byte(last)); err != nil {
		t.Fatal(err)
	}
	got := 0
	previous := make([]string, clients)
	err := r.deaf.hear(last, func(client int, payload []byte) error {
		got++
		// Stamps of one sequence are texts of one length, so they are in order as texts.
		if len(payload) != slowMessageBytes || bytes.Compare(payload[:stampOrderBytes], []byte(previous[client])) <= 0 {
			return fmt.Errorf("a payload of %d bytes that begins with %.48q after %.48q", len(payload), payload, previous[client])
		}
		previous[client] = string(payload[:stampOrderBytes])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	skipped := r.server.Metric("c10m_skipped_frames_total")
	if want := float64(clients*messages - got); skipped != want || got == 0 || skipped == 0 {
		t.Errorf("%v frames were skipped by the counter; %d clients got %d of %d, so %v were", skipped, clients, got, clients*messages, want)
	}
	crowdLostNothing(t, "readers", r.readers)
	held(t, outcome{fault: "clients that do not read for 600 messages, --slow skip", clients: clients,
		held: fmt.Sprintf("all stay and read on to the newest, whole frames in order; %.0f skipped frames counted exactly", skipped)})
}
