package faults

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/servertest"
)

// killed and started again, under a publisher that never pauses.
func TestBusRedisKilledAndRestarted(t *testing.T) {
	t.Parallel()
	clients := scale(300, 2000)
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	s := startServerAt(t, port)
	green(t, s)
	p, f := newPublisher(t, port), subscribe(t, s, clients)
	f.await(p.publish(10, 100))

	// What Redis takes until it dies, and from its return until it has a
	// subscriber again.
	died := make(chan struct{})
	go func() {
		defer close(died)
		for {
			if _, err := p.try(100); err != nil {
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond) // so that it is in full flow
	redis.Signal(syscall.SIGKILL)
	redis.Wait()
	<-died
	red(t, s)
	servertest.StartRedis(t, port)
	restarted := time.Now()
	wanted, unheard := 0, 0
	eventually(t, "Redis has a subscriber", func() bool {
		wanted = len(p.taken)
		subscribers, err := p.try(100)
		if err == nil && subscribers == 0 {
			unheard++
		}
		return subscribers == 1
	})
	green(t, s)
	recovered := time.Since(restarted)
	f.closedWith(missedMessages)
	// The last one may have come after a client was closed.
	lost := f.lost(p.taken[:wanted])
	if lost < clients*unheard {
		t.Errorf("%d messages lost, but %d were published while nobody was subscribed", lost, clients*unheard)
	}
	aNewFleetMissesNothing(t, s, p, clients)
	gaps(t, s, 1, clients)
	held(t, outcome{fault: "Redis killed (-9) and restarted", clients: clients, lost: lost, recover: recovered,
		held: fmt.Sprintf("%d messages in order and none twice, every client told (4001), newcomers left alone", wanted)})
}

// Frozen, so that no connection ends and nothing is refused.
func TestBusRedisFrozen(t *testing.T) {
	t.Parallel()
	clients, stuck := scale(300, 2000), 20
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	s := startServerAt(t, port)
	green(t, s)
	p, f := newPublisher(t, port), subscribe(t, s, clients)
	f.await(p.publish(10, 100))
	redis.Signal(syscall.SIGSTOP)
	frozen := time.Now()
	why := red(t, s)
	t.Logf("red after %v: %s", time.Since(frozen).Round(time.Millisecond), why)
	eventually(t, "the subscription is given up", func() bool { return s.Metric("c10m_bus_gaps_total") == 1 })
	published := make(chan struct{})
	go func() { // waits in Redis's socket
		defer close(published)
		p.publish(stuck, 100)
	}()
	time.Sleep(time.Until(frozen.Add(time.Duration(scale(3, 60)) * time.Second)))
	if s.Healthy() || f.open() != clients {
		t.Errorf("while frozen: healthy %v, %d of %d clients open", s.Healthy(), f.open(), clients)
	}
	redis.Signal(syscall.SIGCONT)
	thawed := time.Now()
	green(t, s)
	recovered := time.Since(thawed)
	<-published
	f.closedWith(missedMessages)
	// Redis may have a subscription again before it has read what waited.
	lost := f.lost(p.taken)
	if lost > clients*stuck {
		t.Errorf("%d messages lost of %d", lost, clients*stuck)
	}
	aNewFleetMissesNothing(t, s, p, clients)
	gaps(t, s, 1, clients)
	held(t, outcome{fault: fmt.Sprintf("Redis frozen for %d s", scale(3, 60)), clients: clients, lost: lost, recover: recovered,
		held: "health red, every client told (4001), newcomers left alone"})
}

// Frozen for less than the probe's time: a pause, and no gap.
func TestBusRedisFrozenForAMoment(t *testing.T) {
	t.Parallel()
	clients, stuck := scale(300, 2000), 20
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	s := startServerAt(t, port, "--bus-probe", "30s") // it never gets late here
	green(t, s)
	p, f := newPublisher(t, port), subscribe(t, s, clients)
	f.await(p.publish(10, 100))
	redis.Signal(syscall.SIGSTOP)
	published := make(chan struct{})
	go func() {
		defer close(published)
		p.publish(stuck, 100)
	}()
	time.Sleep(500 * time.Millisecond)
	redis.Signal(syscall.SIGCONT)
	<-published
	f.await(p.publish(1, 100))
	lost := f.lost(p.taken)
	if lost != 0 || f.open() != clients || !s.Healthy() {
		t.Errorf("%d messages lost, %d of %d clients open, healthy %v", lost, f.open(), clients, s.Healthy())
	}
	gaps(t, s, 0, 0)
	held(t, outcome{fault: "Redis frozen for a moment", clients: clients, lost: lost, held: "late, in order, no gap"})
}

// Redis cuts a subscriber whose output buffer is full.
func TestBusRedisOutputBufferLimit(t *testing.T) {
	t.Parallel()
	clients, burst := scale(300, 2000), 40
	port := servertest.FreePort(t)
	servertest.StartRedis(t, port, "--client-output-buffer-limit", "pubsub 1mb 0 0")
	s := startServerAt(t, port)
	green(t, s)
	p, f := newPublisher(t, port), subscribe(t, s, clients)
	f.await(p.publish(10, 100))
	// In one transaction, Redis writes nothing before all is published.
	pipe := p.client.TxPipeline()
	for range burst {
		pipe.Publish(t.Context(), "news", payload(p.next, 64<<10))
		p.taken, p.next = append(p.taken, p.next), p.next+1
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	eventually(t, "the gap is counted", func() bool { return s.Metric("c10m_bus_gaps_total") == 1 })
	green(t, s)
	recovered := time.Since(cut)
	f.closedWith(missedMessages)
	lost := f.lost(p.taken)
	if lost == 0 || lost > clients*burst {
		t.Errorf("%d messages lost of a burst of %d", lost, clients*burst)
	}
	aNewFleetMissesNothing(t, s, p, clients)
	gaps(t, s, 1, clients)
	held(t, outcome{fault: "Redis cuts the subscription (client-output-buffer-limit)", clients: clients, lost: lost, recover: recovered,
		held: "the gap counted, every client told (4001)"})
}

// The password changes: one sentence says so, once, and nobody reads the
// password anywhere.
func TestBusRedisPasswordChanged(t *testing.T) {
	t.Parallel()
	clients, meanwhile := scale(300, 2000), 20
	port := servertest.FreePort(t)
	servertest.StartRedis(t, port, "--requirepass", "0ldsecret")
	s := servertest.StartServer(t, 0, "--bus", fmt.Sprintf("redis://default:0ldsecret@127.0.0.1:%d", port), "--bus-probe", "2s", "--drain", "1s")
	green(t, s)
	p := newPublisher(t, port)
	p.client.Options().Password = "0ldsecret"
	f := subscribe(t, s, clients)
	f.await(p.publish(10, 100))
	admin := func(args ...any) {
		t.Helper()
		// One connection, which stays authenticated; KILL spares its caller.
		if err := p.client.Do(context.Background(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	admin("CONFIG", "SET", "requirepass", "n3wsecret")
	admin("CLIENT", "KILL", "TYPE", "normal")
	admin("CLIENT", "KILL", "TYPE", "pubsub")
	sentence := regexp.MustCompile(`Redis at 127\.0\.0\.1:\d+ refuses the user or the password, correct the --bus URL: [^\n]*WRONGPASS [^\n]+`)
	eventually(t, "health says that it is the password", func() bool { return sentence.MatchString(s.Get("/healthz")) })
	p.publish(meanwhile, 100)
	// It tries on all the time; the log has it once.
	connections := func() (n int) {
		for _, line := range strings.Split(p.client.Info(context.Background(), "stats").Val(), "\n") {
			fmt.Sscanf(line, "total_connections_received:%d", &n)
		}
		return n
	}
	logged := func() int { return len(sentence.FindAllString(s.Output.String(), -1)) }
	eventually(t, "the log says it, too", func() bool { return logged() > 0 })
	before := connections()
	eventually(t, "it tries again and again", func() bool { return connections() > before+3 })
	if n := logged(); n != 1 {
		t.Errorf("the log has the sentence %d times", n)
	}
	if out := s.Output.String() + s.Get("/healthz"); strings.Contains(out, "secret") {
		t.Errorf("somebody tells the password: %s", out)
	}
	admin("CONFIG", "SET", "requirepass", "0ldsecret")
	mended := time.Now()
	green(t, s)
	recovered := time.Since(mended)
	f.closedWith(missedMessages)
	lost := f.lost(p.taken)
	if lost != clients*meanwhile {
		t.Errorf("%d messages lost, and %d were published to nobody", lost, clients*meanwhile)
	}
	aNewFleetMissesNothing(t, s, p, clients)
	gaps(t, s, 1, clients)
	held(t, outcome{fault: "Redis's password changed, and back", clients: clients, lost: lost, recover: recovered,
		held: "one sentence in health and log, no password in either, every client told (4001)"})
}

// No Redis at the start: the server serves and is not ready. Who connects then
// is deaf, and is told as soon as messages arrive.
func TestBusRedisUnreachableAtStart(t *testing.T) {
	t.Parallel()
	clients := scale(300, 2000)
	port := servertest.FreePort(t)
	s := startServerAt(t, port)
	why := red(t, s)
	eventually(t, "health says why", func() bool { why = s.Get("/healthz"); return strings.Contains(why, "refused") })
	if s.Ready() {
		t.Error("ready without a bus")
	}
	f := subscribe(t, s, clients)
	servertest.StartRedis(t, port)
	started := time.Now()
	green(t, s)
	recovered := time.Since(started)
	if !s.Ready() {
		t.Errorf("not ready: %s", s.Get("/readyz"))
	}
	f.closedWith(missedMessages)
	p := newPublisher(t, port)
	aNewFleetMissesNothing(t, s, p, clients)
	gaps(t, s, 0, clients)
	held(t, outcome{fault: "Redis unreachable at the start", clients: clients, recover: recovered,
		held: "it serves, is not ready, recovers; who came before is told (4001)"})
}
