package redisbus

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"c10m/bus"
	"c10m/bus/bustest"
	"c10m/internal/patience"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// replicate makes one Redis a replica of another, or a master.
func (s *redisServer) replicate(of *redisServer) {
	s.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.addr})
	defer client.Close()
	host, port := "NO", "ONE"
	if of != nil {
		host, port, _ = net.SplitHostPort(of.addr)
	}
	if err := client.Do(s.t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		s.t.Fatal(err)
	}
	if of != nil {
		eventually(s.t, "the replica is connected", func() bool {
			reply, err := client.Do(s.t.Context(), "ROLE").Result()
			m, bad := parseRole(reply)
			return err == nil && bad == nil && m.link == linkUp
		})
	}
}

// A master that is demoted goes on to answer, and to send what is published at it and at
// its new master. It is not what it was: that is a gap, and red until it is one again.
func TestRedisDemoted(t *testing.T) {
	for _, url := range []string{"redis://", "redis://norole:pw@"} {
		server, other := startRedis(t, "--repl-diskless-sync-delay", "0"), startRedis(t, "--repl-diskless-sync-delay", "0")
		redisDo(t, server.addr, "ACL SETUSER norole on >pw allcommands allchannels -role")
		r, told := connectWithGaps(t, strings.TrimPrefix(url, "redis://")+server.addr)
		waitUp(t, r, true)
		eventually(t, "the start is told", func() bool { return len(told.all()) == 1 })
		server.replicate(other)
		eventually(t, "red with a gap", func() bool {
			h := r.Health()
			return !h.Up && h.Gaps == 1 && strings.Contains(h.Reason, "is a replica of "+other.addr)
		})
		if p := publish1(r, "news", "x"); !errors.Is(p.Err, bus.ErrUnpublished) {
			t.Errorf("a message at a replica: %v", p.Err)
		}
		probes := probesUntil(r, 3)
		if h := r.Health(); h.Up || h.Gaps != 1 || len(told.all()) != 1 {
			t.Errorf("after %d probes at the replica: %+v, told %v", probes, h, told.all())
		}
		before := time.Now()
		server.replicate(nil)
		waitUp(t, r, true)
		eventually(t, "the gap is told", func() bool { return len(told.all()) == 2 })
		if g, h := told.all()[1], r.Health(); !g.From.Before(g.To) || !g.From.Before(before) || h.GapFrom != g.From || h.GapTo != g.To {
			t.Errorf("told %+v, health %+v, a master again at %v", g, h, before)
		}
		if p := publish1(r, "news", "y"); p.Err != nil {
			t.Errorf("at the master: %v", p.Err)
		}
	}
}

// probesUntil waits for so many more probes to be sent, by what comes back of them.
func probesUntil(r *Redis, n uint64) uint64 {
	for before := r.count.Reserved.Load(); r.count.Reserved.Load() < before+n; {
		time.Sleep(time.Millisecond)
	}
	return n
}

// A server may be pointed to a replica, to subscribe only. While its link is down
// nothing comes from the master, and nothing else says so.
func TestRedisReplicaLosesItsMaster(t *testing.T) {
	master := startRedis(t, "--repl-diskless-sync-delay", "0")
	replica := startRedis(t)
	replica.replicate(master)
	r, told := connectWithGaps(t, replica.addr)
	waitUp(t, r, true)
	p := publish1(r, "news", "x")
	if !errors.Is(p.Err, bus.ErrUnpublished) || !strings.Contains(p.Err.Error(), "publish at its master "+master.addr) {
		t.Errorf("a message at the replica: %v", p.Err)
	}
	if n := r.Stats().Unpublished["replica"]; n != 1 {
		t.Errorf("counted %v", r.Stats().Unpublished)
	}
	publishAt(t, master.addr, "news", "from the master")
	r.door.(*fakeDoor).Wait(t, "what is published at the master", has(bustest.To("news", "from the master")))

	master.kill()
	eventually(t, "red with a gap", func() bool {
		h := r.Health()
		return !h.Up && h.Gaps == 1 && strings.Contains(h.Reason, "its link to its master")
	})
	// What it hears meanwhile comes from its own publishers alone, and stands between
	// messages that are missing.
	for range 20 {
		publishAt(t, replica.addr, "news", "in the gap")
		time.Sleep(20 * time.Millisecond)
	}
	if h := r.Health(); h.Up || h.Gaps != 1 || len(told.all()) != 1 {
		t.Errorf("while it is down: %+v, told %v", h, told.all())
	}
	before := time.Now()
	master.start()
	waitUp(t, r, true)
	eventually(t, "the gap is told", func() bool { return len(told.all()) == 2 })
	if g := told.all()[1]; !g.To.After(before) {
		t.Errorf("told %+v, and the master was there at %v only", g, before)
	}
	if n := len(r.door.(*fakeDoor).All()); n != 1 || r.Health().Gaps != 1 {
		t.Errorf("%d messages came, health %+v", n, r.Health())
	}
}

// Promoted, and moved to another master: what the old master did not hand over is lost.
// That is one gap, from when the replica was last found to be what it was to the
// subscription at what it is now; it is told once, before the first message from there.
func TestRedisReplicaChanges(t *testing.T) {
	for _, isPromoted := range []bool{true, false} {
		first := startRedis(t, "--repl-diskless-sync-delay", "0")
		second := startRedis(t, "--repl-diskless-sync-delay", "0")
		replica := startRedis(t)
		replica.replicate(first)
		door := newDoor(nil)
		r, told := connectPatiently(t, replica.addr, door)
		waitUp(t, r, true)
		publishAt(t, first.addr, "news", "before")
		door.Wait(t, "what is published at the master", has(bustest.To("news", "before")))

		changing, publishAfter := time.Now(), second.addr
		if isPromoted {
			replica.replicate(nil)
			publishAfter = replica.addr
		} else {
			replica.replicate(second)
		}
		changed := time.Now()
		eventually(t, "a gap", func() bool { return r.Health().Gaps > 0 })
		publishAt(t, first.addr, "news", "at the old master")
		eventually(t, "what is published now", func() bool {
			publishAt(t, publishAfter, "news", "after")
			return len(door.All()) > 1
		})
		waitUp(t, r, true)
		probesUntil(r, 5)
		h, gaps := r.Health(), told.all()
		if len(gaps) != 2 || !slices.Equal(told.behind(), []int{0, 1}) || h.Gaps != 1 {
			t.Fatalf("promoted %v: told %+v after %v messages, %d gaps; one is due after the start, and one after a message", isPromoted, gaps, told.behind(), h.Gaps)
		}
		if g := gaps[1]; !g.From.After(gaps[0].To) || !g.From.Before(changed) || !g.To.After(changing) || g.From != h.GapFrom || g.To != h.GapTo {
			t.Errorf("promoted %v: told %+v, health %+v; changed between %v and %v", isPromoted, g, h, changing, changed)
		}
		for i, m := range door.All() {
			if want := []string{"before", "after"}[min(i, 1)]; m.Payload != want {
				t.Errorf("promoted %v: message %d is %q, and should be %q", isPromoted, i, m.Payload, want)
			}
		}
		if p := publish1(r, "news", "x"); (p.Err == nil) != isPromoted {
			t.Errorf("promoted %v: a message is told %v", isPromoted, p.Err)
		}
	}
}

// connectPatiently is connectWithGaps with times that no busy host makes a gap of.
func connectPatiently(t *testing.T, addr string, door *fakeDoor) (*Redis, *gapRecorder) {
	t.Helper()
	told := gapRecorder{door: door}
	r, err := ConnectRedis(RedisConfig{
		URL: "redis://" + addr, OnGap: told.add,
		ProbeInterval: 50 * time.Millisecond, ProbeTimeout: patience.Guard,
		ReconnectBackoffMin: 10 * time.Millisecond, ReconnectBackoffMax: 100 * time.Millisecond,
	}, door, nopLog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, r) })
	return r, &told
}

// A master that is demoted between two probes: no message is acknowledged that reached
// its own subscribers alone.
func TestPublishAtADemotedMaster(t *testing.T) {
	server, other := startRedis(t), startRedis(t, "--repl-diskless-sync-delay", "0")
	r, err := ConnectRedis(RedisConfig{URL: "redis://" + server.addr}, newDoor(nil), nopLog)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBus(t, r)
	waitUp(t, r, true)
	if p := publish1(r, "news", "x"); p.Err != nil {
		t.Fatal(p.Err)
	}
	server.replicate(other)
	if p := publish1(r, "news", "y"); p.Err == nil {
		t.Error("acknowledged at a replica")
	}
	if h := r.Health(); h.Up {
		t.Errorf("health %+v", h)
	}
}

// The change of role alone, with a link that stands all the time.
func TestRedisHasAnotherRole(t *testing.T) {
	slave := func(host string) string {
		return array("*", bulk("slave"), bulk(host), ":6379\r\n", bulk("connected"), ":7\r\n")
	}
	for _, c := range []struct {
		from, to string
		isGreen  bool // again, after the gap
	}{
		{"", slave("a"), false}, {slave("a"), "", true}, {slave("a"), slave("b"), true},
	} {
		s := startStrange(t)
		s.role = c.from
		r, told := connectWithGaps(t, s.Addr().String())
		waitUp(t, r, true)
		s.mu.Lock()
		s.role = c.to
		s.mu.Unlock()
		eventually(t, "a gap", func() bool { return r.Health().Gaps == 1 })
		if c.isGreen {
			waitUp(t, r, true)
			eventually(t, "it is told", func() bool { return len(told.all()) == 2 })
			continue
		}
		probesUntil(r, 5)
		if h := r.Health(); h.Up || h.Gaps != 1 || len(told.all()) != 1 {
			t.Errorf("%+v, told %v", h, told.all())
		}
	}
}

// A demotion that is over before the next probe: only who published saw it.
func TestRedisDemotedBetweenTwoProbes(t *testing.T) {
	s := startStrange(t)
	r, told := connectWithGaps(t, s.Addr().String())
	waitUp(t, r, true)
	demoted := array("*", bulk("slave"), bulk("a"), ":6379\r\n", bulk("connected"), ":7\r\n")
	s.mu.Lock()
	s.roleOfBatch = demoted
	s.mu.Unlock()
	if p := publish1(r, "news", "x"); p.Err == nil {
		t.Error("acknowledged at a replica")
	}
	eventually(t, "a gap", func() bool { return r.Health().Gaps == 1 })
	waitUp(t, r, true)
	eventually(t, "it is told", func() bool { return len(told.all()) == 2 })
	probesUntil(r, 5)
	if h := r.Health(); !h.Up || h.Gaps != 1 || len(told.all()) != 2 {
		t.Errorf("%+v, told %v", h, told.all())
	}
}

// A user who may ask for nothing: it works as before, and the log says once what is
// not seen.
func TestRedisRoleIsForbidden(t *testing.T) {
	server := startRedis(t)
	redisDo(t, server.addr, "ACL SETUSER few on >pw allchannels -@all +@pubsub +@connection")
	core, logs := observer.New(zap.WarnLevel)
	r := connect(t, "redis://few:pw@"+server.addr, newDoor(nil), zap.New(core))
	for gap := range uint64(3) {
		eventually(t, "green", func() bool { h := r.Health(); return h.Up && h.Gaps == gap })
		if p := publish1(r, "news", "x"); p.Err != nil {
			t.Error(p.Err)
		}
		redisDo(t, server.addr, "CLIENT KILL TYPE pubsub")
		eventually(t, "a gap", func() bool { return r.Health().Gaps == gap+1 })
	}
	if n := logs.FilterMessageSnippet("neither ROLE nor INFO").Len(); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

func TestParseRole(t *testing.T) {
	for _, c := range []struct {
		reply any
		want  member
		bad   bool
	}{
		{[]any{"master", int64(7), []any{}}, member{role: roleMaster}, false},
		{[]any{"slave", "10.0.0.1", int64(6379), "connected", int64(7)}, member{roleReplica, "10.0.0.1:6379", "connected"}, false},
		{[]any{"slave", "::1", int64(6379), "sync", int64(-1)}, member{roleReplica, "[::1]:6379", "sync"}, false},
		{[]any{"slave"}, member{roleReplica, ":", ""}, false},
		{[]any{"sentinel", []any{"mymaster"}}, member{}, true},
		{[]any{}, member{}, true},
		{"OK", member{}, true},
		{nil, member{}, true},
	} {
		if m, err := parseRole(c.reply); m != c.want || (err != nil) != c.bad {
			t.Errorf("%v: %+v, %v", c.reply, m, err)
		}
	}
	for info, want := range map[string]member{
		"# Replication\r\nrole:master\r\nconnected_slaves:0\r\n":                                {role: roleMaster},
		"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n":   {roleReplica, "10.0.0.1:6379", linkUp},
		"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n": {roleReplica, "10.0.0.1:6379", "down"},
		"": {},
	} {
		if m := parseReplication(info); m != want {
			t.Errorf("%q: %+v", info, m)
		}
	}
}
