package redisbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"c10m/bus"
	"c10m/bus/bustest"
	"c10m/channel"
	"c10m/internal/servertest"

	"github.com/redis/go-redis/v9"
)

// publish1 publishes one message as a client's and returns what its sender is told.
func publish1(r *Redis, channel, payload string) *bus.Publication {
	p := &bus.Publication{Channel: []byte(channel), Payload: []byte(payload)}
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	r.PublishBatch(ctx, []*bus.Publication{p})
	return p
}

func redisDo(t *testing.T, addr string, commands ...string) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	for _, command := range commands {
		var args []any
		for _, word := range strings.Fields(command) {
			args = append(args, word)
		}
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
}

// What an operator changes at a live Redis: the subscription stands, since Redis asks
// for passwords at the beginning of a connection only. No message is acknowledged that
// was not published, and the light goes red.
func TestPublishIsRefusedAfterAChange(t *testing.T) {
	for _, c := range []struct{ name, change, undo, reason string }{
		{"password by CONFIG", "CONFIG SET requirepass new", "", "password"},
		{"password by ACL", "ACL SETUSER server resetpass >new", "ACL SETUSER server resetpass >old", "password"},
		{"user off", "ACL SETUSER server off", "ACL SETUSER server on", "password"},
		{"no publish", "ACL SETUSER server -publish", "ACL SETUSER server +publish", "NOPERM"},
		{"no probes", "ACL SETUSER server resetchannels &news*", "ACL SETUSER server allchannels", "NOPERM"},
		{"too many clients", "CONFIG SET maxclients 1", "CONFIG SET maxclients 100", "Redis at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := startRedis(t)
			redisDo(t, server.addr, "ACL SETUSER server on >old allcommands allchannels")
			url := "redis://server:old@" + server.addr
			if strings.HasPrefix(c.change, "CONFIG SET requirepass") {
				redisDo(t, server.addr, "CONFIG SET requirepass old")
				url = "redis://:old@" + server.addr
			}
			admin := redis.NewClient(&redis.Options{Addr: server.addr, Password: strings.TrimPrefix(map[bool]string{true: "old"}[strings.HasPrefix(url, "redis://:")], "")})
			defer admin.Close()
			do := func(command string) {
				var args []any
				for _, word := range strings.Fields(command) {
					args = append(args, word)
				}
				if err := admin.Do(t.Context(), args...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			do("PING")
			door := newDoor(nil)
			r := connect(t, url, door, nopLog)
			waitUp(t, r, true)
			do(c.change)
			var taken, told int
			eventually(t, "red: "+c.reason, func() bool {
				// Until the server knows, each message is published or refused, and not
				// acknowledged for nothing.
				switch p := publish1(r, "news", fmt.Sprint(taken)); {
				case p.Err == nil:
					taken++
				case errors.Is(p.Err, bus.ErrUnpublished):
					told++
				default:
					t.Errorf("nobody knows: %v", p.Err)
				}
				h := r.Health()
				return !h.Up && strings.Contains(h.Reason, c.reason)
			})
			var want []doorMessage
			for n := range taken {
				want = append(want, bustest.To("news", fmt.Sprint(n)))
			}
			if r.Health().Gaps == 0 { // Redis cuts a subscriber who may not hear all any more
				door.Wait(t, "what was acknowledged", has(want...))
			}
			p := publish1(r, "news", "red")
			if !errors.Is(p.Err, bus.ErrUnpublished) || !strings.Contains(p.Err.Error(), c.reason) {
				t.Errorf("while red: %v", p.Err)
			}
			sum := uint64(0)
			for _, n := range r.Stats().Unpublished {
				sum += n
			}
			if sum != uint64(told)+1 {
				t.Errorf("%d were told, counted %v", told+1, r.Stats().Unpublished)
			}
			if c.undo != "" {
				do(c.undo)
				waitUp(t, r, true)
				if p := publish1(r, "news", "green"); p.Err != nil {
					t.Errorf("after it was undone: %v", p.Err)
				}
			}
		})
	}
}

// The moment of the fault: the light is green, as no probe was since, and the pool has
// no connection yet.
func TestPublishWithoutAConnectionIsNotAcknowledged(t *testing.T) {
	server := startRedis(t, "--requirepass", "old")
	r, err := ConnectRedis(RedisConfig{URL: "redis://:old@" + server.addr}, newDoor(nil), nopLog)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBus(t, r)
	waitUp(t, r, true)
	client := redis.NewClient(&redis.Options{Addr: server.addr, Password: "old"})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "requirepass", "new").Err(); err != nil {
		t.Fatal(err)
	}
	batch := []*bus.Publication{{Channel: []byte("a")}, {Channel: []byte("b")}}
	r.PublishBatch(t.Context(), batch)
	for _, p := range batch {
		if !errors.Is(p.Err, bus.ErrUnpublished) || !strings.Contains(p.Err.Error(), "WRONGPASS") {
			t.Errorf("the sender is told %v", p.Err)
		}
	}
	if h := r.Health(); h.Up || !strings.Contains(h.Reason, "refuses the user or the password") {
		t.Errorf("health %+v", h)
	}
}

// A channel that the user may not publish to is the message's trouble, and not the bus's.
func TestPublishToAForbiddenChannel(t *testing.T) {
	server := startRedis(t)
	redisDo(t, server.addr, "ACL SETUSER server on >pw allcommands &* ", "ACL SETUSER server clearselectors")
	r := connect(t, "redis://server:pw@"+server.addr, newDoor(nil), nopLog)
	waitUp(t, r, true)
	// Subscribed to all, and from now on it may publish to few: Redis cuts those who
	// subscribe to what they may not, so this is a rule about PUBLISH alone.
	redisDo(t, server.addr, "ACL SETUSER server -publish (+publish &news &-/*)")
	waitUp(t, r, true)
	batch := []*bus.Publication{{Channel: []byte("news")}, {Channel: []byte("secret")}, {Channel: []byte("news")}}
	r.PublishBatch(t.Context(), batch)
	if batch[0].Err != nil || batch[2].Err != nil || !errors.Is(batch[1].Err, bus.ErrUnpublished) || !strings.Contains(batch[1].Err.Error(), "NOPERM") {
		t.Errorf("told %v, %v, %v", batch[0].Err, batch[1].Err, batch[2].Err)
	}
	if n := r.Stats().Unpublished; n["refused"] != 1 {
		t.Errorf("counted %v", n)
	}
}

// A strangeRedis answers as a script says to the connections that publish. It takes
// everything else as Redis does.
type strangeRedis struct {
	net.Listener
	t *testing.T

	mu    sync.Mutex
	sub   net.Conn
	reply func(channel string) string // "" ends the connection
	hello string                      // refuses the handshake of newcomers
	role  string                      // the reply to ROLE, a master's by default

	// The reply to the ROLE behind a message, once.
	roleOfBatch string
	published   net.Conn // the connection of the last message
}

func startStrange(t *testing.T) *strangeRedis {
	t.Helper()
	s := &strangeRedis{t: t}
	s.Listener = servertest.Accept(t, "127.0.0.1", s.serve)
	return s
}

func (s *strangeRedis) set(hello string, reply func(channel string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hello, s.reply = hello, reply
}

func (s *strangeRedis) serve(conn net.Conn) {
	defer conn.Close()
	in := framer{}
	for {
		args, err := in.next(true)
		if err == errMore {
			if in.fill(conn) != nil {
				return
			}
			continue
		}
		if err != nil || len(args) == 0 {
			return
		}
		answer := s.answer(conn, args)
		if answer == "" {
			return
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}

func (s *strangeRedis) answer(conn net.Conn, args [][]byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch strings.ToLower(string(args[0])) {
	case "psubscribe":
		s.sub = conn
		return confirmed("*", "psubscribe", "*", 1)
	case "role":
		if s.roleOfBatch != "" && conn == s.published {
			role := s.roleOfBatch
			s.roleOfBatch = ""
			return role
		}
		if s.role != "" {
			return s.role
		}
		return array("*", bulk("master"), ":0\r\n", "*0\r\n")
	case "publish":
		name := string(args[1])
		if channel.IsReserved(name) {
			_, _ = s.sub.Write([]byte(array("*", bulk("pmessage"), bulk("*"), bulk(name), bulk(string(args[2])))))
			return ":1\r\n"
		}
		s.published = conn
		if s.reply != nil {
			return s.reply(name)
		}
		return ":1\r\n"
	default: // the handshake
		switch {
		case s.hello != "":
			return s.hello
		case strings.EqualFold(string(args[0]), "hello"):
			return "-ERR unknown command 'HELLO'\r\n"
		}
		return ok
	}
}

// Every way in which a batch can end, and what each of its senders is told.
func TestPublishOutcomes(t *testing.T) {
	const yes, no, unknown = "published", "unpublished", "unknown"
	one := func(answer string) func(string) string { return func(string) string { return answer } }
	second := func(answer string) func(string) string {
		return func(channel string) string {
			if channel == "b" {
				return answer
			}
			return ":1\r\n"
		}
	}
	for _, c := range []struct {
		name    string
		hello   string
		reply   func(channel string) string
		want    [3]string // of the messages a, b, c
		goesRed bool
	}{
		{"all is well", "", one(":7\r\n"), [3]string{yes, yes, yes}, false},
		{"nobody listens", "", one(":0\r\n"), [3]string{yes, yes, yes}, false},
		{"handshake: another password", "-WRONGPASS invalid username-password pair or user is disabled.\r\n", nil, [3]string{no, no, no}, true},
		{"handshake: none given", "-NOAUTH Authentication required.\r\n", nil, [3]string{no, no, no}, true},
		{"handshake: too many clients", "-ERR max number of clients reached\r\n", nil, [3]string{no, no, no}, true},
		{"handshake: rubbish", "!\r\n", nil, [3]string{no, no, no}, true},
		{"one channel is forbidden", "", second("-NOPERM No permissions to access a channel\r\n"), [3]string{yes, no, yes}, false},
		{"read only", "", one("-READONLY You can't write against a read only replica.\r\n"), [3]string{no, no, no}, true},
		{"loading", "", one("-LOADING Redis is loading the dataset in memory\r\n"), [3]string{no, no, no}, true},
		{"master down", "", one("-MASTERDOWN Link with MASTER is down\r\n"), [3]string{no, no, no}, true},
		{"no replicas", "", one("-NOREPLICAS Not enough good replicas to write.\r\n"), [3]string{no, no, no}, true},
		{"no disk", "", one("-MISCONF Redis is configured to save RDB snapshots\r\n"), [3]string{no, no, no}, true},
		{"no memory", "", one("-OOM command not allowed when used memory > 'maxmemory'.\r\n"), [3]string{no, no, no}, true},
		{"cluster down", "", second("-CLUSTERDOWN The cluster is down\r\n"), [3]string{yes, no, yes}, true},
		{"moved", "", one("-MOVED 1 127.0.0.1:1\r\n"), [3]string{no, no, no}, true},
		{"an error of no kind", "", second("-ERR what?\r\n"), [3]string{yes, no, yes}, true},
		{"it ends the connection", "", one(""), [3]string{unknown, unknown, unknown}, false},
		{"it ends the connection in the middle", "", second(""), [3]string{yes, unknown, unknown}, false},
		{"it ends it after nobody heard the first", "", func(channel string) string {
			return map[string]string{"a": ":0\r\n", "b": ""}[channel]
		}, [3]string{yes, unknown, unknown}, false},
		{"half an answer", "", second(":"), [3]string{yes, unknown, unknown}, false},
		{"no number", "", second("+OK\r\n"), [3]string{yes, unknown, unknown}, false},
		{"null", "", second("$-1\r\n"), [3]string{yes, unknown, yes}, false},
		{"below nothing", "", second(":-1\r\n"), [3]string{yes, unknown, yes}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startStrange(t)
			// No probe but the first, which makes it green.
			r, err := ConnectRedis(RedisConfig{URL: "redis://:pw@" + s.Addr().String(), ProbeInterval: hang, ProbeTimeout: hang / 10}, newDoor(nil), nopLog)
			if err != nil {
				t.Fatal(err)
			}
			defer closeBus(t, r)
			waitUp(t, r, true)
			s.set(c.hello, c.reply)
			batch := []*bus.Publication{{Channel: []byte("a")}, {Channel: []byte("b")}, {Channel: []byte("c")}}
			r.PublishBatch(t.Context(), batch)
			failures := uint64(0)
			for i, p := range batch {
				got := yes
				if errors.Is(p.Err, bus.ErrUnpublished) {
					got = no
				} else if p.Err != nil {
					got = unknown
				}
				if p.Err != nil {
					failures++
				}
				if got != c.want[i] {
					t.Errorf("%s: %s (%v), and should be %s", p.Channel, got, p.Err, c.want[i])
				}
			}
			for _, n := range r.Stats().Unpublished {
				failures -= n
			}
			if failures != 0 {
				t.Errorf("counted %v", r.Stats().Unpublished)
			}
			if r.Health().Up == c.goesRed {
				t.Errorf("health %+v", r.Health())
			}
		})
	}
}

// An address at which nobody listens any more, or never answers.
func TestPublishWithoutAServer(t *testing.T) {
	s := startStrange(t)
	r, err := ConnectRedis(RedisConfig{URL: "redis://" + s.Addr().String(), ProbeInterval: hang, ProbeTimeout: hang / 10}, newDoor(nil), nopLog)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBus(t, r)
	waitUp(t, r, true)
	s.Close()
	if p := publish1(r, "a", "x"); !errors.Is(p.Err, bus.ErrUnpublished) {
		t.Errorf("told %v", p.Err)
	}
	if h := r.Health(); h.Up {
		t.Errorf("health %+v", h)
	}
	if n := r.Stats().Unpublished["unreached"]; n != 1 {
		t.Errorf("counted %v", r.Stats().Unpublished)
	}
}
