package redisbus

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"c10m/bus"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// A gapRecorder keeps what OnGap was told, and behind how many messages, if it knows the
// door.
type gapRecorder struct {
	door *fakeDoor

	mu       sync.Mutex
	gaps     []bus.Gap
	messages []int
}

func (g *gapRecorder) add(gap bus.Gap) {
	came := 0
	if g.door != nil {
		came = len(g.door.All())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gaps, g.messages = append(g.gaps, gap), append(g.messages, came)
}

// behind is how many messages had come before each.
func (g *gapRecorder) behind() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.messages)
}

func (g *gapRecorder) all() []bus.Gap {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]bus.Gap(nil), g.gaps...)
}

// connectWithGaps connects to host:port, or user:password@host:port.
func connectWithGaps(t *testing.T, addr string) (*Redis, *gapRecorder) {
	t.Helper()
	var told gapRecorder
	r, err := ConnectRedis(RedisConfig{
		URL: "redis://" + addr, OnGap: told.add,
		ProbeInterval: 50 * time.Millisecond, ProbeTimeout: 500 * time.Millisecond,
		ReconnectBackoffMin: 10 * time.Millisecond, ReconnectBackoffMax: 100 * time.Millisecond,
	}, newDoor(nil), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, r) })
	return r, &told
}

func TestOnGapIsToldWhenItIsOver(t *testing.T) {
	server := startRedis(t)
	started := time.Now()
	r, told := connectWithGaps(t, server.addr)
	waitUp(t, r, true)
	eventually(t, "the time before the first subscription", func() bool { return len(told.all()) == 1 })
	if g := told.all()[0]; g.From.Before(started) || !g.To.After(g.From) {
		t.Errorf("the first: %+v, started %v", g, started)
	}
	before := time.Now()
	server.kill()
	eventually(t, "red", func() bool { return r.Health().Gaps == 1 })
	if n := len(told.all()); n != 1 {
		t.Errorf("told %d times while the gap is open", n)
	}
	server.start()
	waitUp(t, r, true)
	eventually(t, "the gap", func() bool { return len(told.all()) == 2 })
	h := r.Health()
	if g := told.all()[1]; g.From != h.GapFrom || g.To != h.GapTo || !g.To.After(before) {
		t.Errorf("told %+v, health %+v", g, h)
	}
}

// Subscriptions that come and go without a probe that came back are one gap:
// who was told after the first would miss what is lost in the next.
func TestOnGapWaitsForGreen(t *testing.T) {
	server := startRedis(t)
	r, told := connectWithGaps(t, server.addr)
	waitUp(t, r, true)
	eventually(t, "the start", func() bool { return len(told.all()) == 1 })
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	defer client.Close()
	do := func(args ...any) {
		t.Helper()
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	do("ACL", "SETUSER", "default", "-publish") // its probes are refused
	eventually(t, "red", func() bool { return !r.Health().Up })
	for i := range 3 {
		eventually(t, "subscribed", func() bool { return r.Stats().Reconnects == uint64(i) })
		do("CLIENT", "KILL", "TYPE", "pubsub")
		eventually(t, "the gap is counted", func() bool { return r.Health().Gaps == uint64(i+1) })
	}
	eventually(t, "subscribed", func() bool { return r.Stats().Reconnects == 3 })
	if n := len(told.all()); n != 1 {
		t.Errorf("told %d times while red", n)
	}
	first := r.Health().GapFrom
	do("ACL", "SETUSER", "default", "+publish")
	waitUp(t, r, true)
	eventually(t, "the gap", func() bool { return len(told.all()) == 2 })
	if g := told.all()[1]; !g.From.Before(first) || g.To != r.Health().GapTo {
		t.Errorf("%+v does not span all of %+v", g, r.Health())
	}
}

// A gap is told before the first message behind it, also while no probe is back.
func TestOnGapIsToldBeforeTheNextMessage(t *testing.T) {
	server := startRedis(t)
	door := newDoor(nil)
	var toldAt []int // how many messages had come
	var mu sync.Mutex
	r, err := ConnectRedis(RedisConfig{
		URL: "redis://" + server.addr, ProbeInterval: 50 * time.Millisecond, ReconnectBackoffMax: 100 * time.Millisecond,
		OnGap: func(bus.Gap) {
			mu.Lock()
			defer mu.Unlock()
			toldAt = append(toldAt, len(door.All()))
		},
	}, door, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, r) })
	waitUp(t, r, true)
	client := redis.NewClient(&redis.Options{Addr: server.addr, Username: "publisher", Password: "x"})
	defer client.Close()
	root := redis.NewClient(&redis.Options{Addr: server.addr})
	defer root.Close()
	do := func(client *redis.Client, args ...any) {
		t.Helper()
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	came := func() int { return len(door.All()) }
	do(root, "ACL", "SETUSER", "publisher", "on", ">x", "allchannels", "+publish")
	do(root, "ACL", "SETUSER", "default", "-publish") // its probes are refused
	eventually(t, "red", func() bool { return !r.Health().Up })
	for i := range 3 {
		do(client, "PUBLISH", "news", "before")
		eventually(t, "the message", func() bool { return came() == 2*i+1 })
		do(root, "CLIENT", "KILL", "TYPE", "pubsub")
		eventually(t, "subscribed again", func() bool { return r.Stats().Reconnects == uint64(i+1) })
		do(client, "PUBLISH", "news", "after")
		eventually(t, "the message behind the gap", func() bool { return came() == 2*i+2 })
	}
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprint(toldAt); got != "[0 1 3 5]" || r.Health().Up {
		t.Errorf("told after %s messages, and not after the start, 1, 3 and 5; up %v", got, r.Health().Up)
	}
}

// A late probe is no gap: the stream went on.
func TestOnGapIsNotToldOfALateProbe(t *testing.T) {
	server := startRedis(t)
	r, told := connectWithGaps(t, server.addr)
	waitUp(t, r, true)
	eventually(t, "the start", func() bool { return len(told.all()) == 1 })
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	defer client.Close()
	for range 3 {
		if err := client.Do(t.Context(), "ACL", "SETUSER", "default", "-publish").Err(); err != nil {
			t.Fatal(err)
		}
		waitUp(t, r, false)
		if err := client.Do(t.Context(), "ACL", "SETUSER", "default", "+publish").Err(); err != nil {
			t.Fatal(err)
		}
		waitUp(t, r, true)
	}
	if h := r.Health(); len(told.all()) != 1+int(h.Gaps) {
		t.Errorf("told of %v, health %+v", told.all(), h)
	}
}

func TestBulletin(t *testing.T) {
	var b bulletin
	now := time.Now()
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	var lines []string
	say := func(what string, ok bool) {
		if ok {
			lines = append(lines, what)
		}
	}
	say("works", b.good())
	say("a", b.bad(&b.lost, true, at(0)))
	say("works", b.good())
	for range 100 { // it flaps
		say("b", b.bad(&b.lost, true, at(1)))
		say("works", b.good())
	}
	say("c", b.bad(&b.lost, true, at(2))) // and stays down
	say("c", b.bad(&b.lost, false, at(4)))
	say("c later", b.bad(&b.lost, false, at(bus.LogIntervalSecondsMin)))
	say("c again", b.bad(&b.lost, false, at(2*bus.LogIntervalSecondsMin)))
	say("works", b.good())
	say("doubt", b.bad(&b.doubt, true, at(2*bus.LogIntervalSecondsMin)))
	say("gone", b.bad(&b.lost, true, at(2*bus.LogIntervalSecondsMin+1))) // is another thing
	if got, want := fmt.Sprint(lines), "[works a works c later works doubt gone]"; got != want {
		t.Errorf("%s, and should be %s", got, want)
	}
}

// Confirmed subscriptions are no reason for green: this one can not be proved to
// work, as its probes are refused.
func TestRedisIsRedUntilAProbeIsBack(t *testing.T) {
	server := startRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.addr})
	defer client.Close()
	if err := client.Do(t.Context(), "ACL", "SETUSER", "default", "-publish").Err(); err != nil {
		t.Fatal(err)
	}
	r, told := connectWithGaps(t, server.addr)
	since := r.Health().Since
	for i := range 5 {
		eventually(t, "subscribed", func() bool { return r.Stats().ProbesLost > 0 && r.Stats().Reconnects == uint64(i) })
		if err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "subscribed", func() bool { return r.Stats().Reconnects == 5 })
	// Since is when Up last changed, so a moment of green shows in it.
	if h := r.Health(); h.Up || h.Since != since || len(told.all()) != 0 {
		t.Errorf("it was green: %+v, and told of %v", h, told.all())
	}
}
