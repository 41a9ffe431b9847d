package redisbus

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"c10m/bus/bustest"

	"github.com/redis/go-redis/v9"
)

func TestGoRedis(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", protocol), func(t *testing.T) {
			b := startEmbedded(t, testDoor(), "pw")
			client := redis.NewClient(&redis.Options{Addr: b.Addr().String(), Password: "pw", Protocol: protocol, ClientName: "test"})
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), hang)
			defer cancel()
			sub := client.Subscribe(ctx, "news")
			defer sub.Close()
			if err := sub.PSubscribe(ctx, "o*"); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := sub.Receive(ctx); err != nil {
					t.Fatal(err)
				}
			}
			pipe := client.Pipeline()
			var replies []*redis.IntCmd
			for i := range 3000 {
				replies = append(replies, pipe.Publish(ctx, "news", i))
			}
			if _, err := pipe.Exec(ctx); err != nil {
				t.Fatal(err)
			}
			for i, reply := range replies {
				if reply.Val() != 4 {
					t.Fatalf("reply %d is %d", i, reply.Val())
				}
				if m, err := sub.ReceiveMessage(ctx); err != nil || m.Payload != fmt.Sprint(i) {
					t.Fatalf("message %d is %v, %v", i, m, err)
				}
			}
			multi := client.TxPipeline()
			in := multi.Publish(ctx, "nobody", "x")
			numsub := multi.PubSubNumSub(ctx, "news")
			if _, err := multi.Exec(ctx); err != nil || in.Val() != 0 || numsub.Val()["news"] != 4 {
				t.Errorf("a transaction: %v, %v, %v", err, in, numsub)
			}
			if n, err := client.Publish(ctx, "one", "x").Result(); n != 2 || err != nil {
				t.Errorf("publish: %d %v", n, err)
			}
			if m, err := sub.ReceiveMessage(ctx); err != nil || m.Pattern != "o*" {
				t.Errorf("message %v, %v", m, err)
			}
			if err := sub.Ping(ctx, "hey"); err != nil {
				t.Fatal(err)
			}
			if p, err := sub.Receive(ctx); err != nil || fmt.Sprint(p) != "Pong<hey>" {
				t.Errorf("pong %v %v", p, err)
			}
			if n, err := client.PubSubNumSub(ctx, "news", "nobody").Result(); err != nil || n["news"] != 4 || n["nobody"] != 0 {
				t.Errorf("numsub %v %v", n, err)
			}
			if s, err := client.Info(ctx, "server").Result(); err != nil || !strings.Contains(s, "server_name:10m-server") {
				t.Errorf("info %q %v", s, err)
			}
			if s, err := client.ClientList(ctx).Result(); err != nil || !strings.Contains(s, "lib-name=go-redis") && !strings.Contains(s, "name=test") {
				t.Errorf("client list %q %v", s, err)
			}
			if c, err := client.Command(ctx).Result(); err != nil || c["publish"] == nil {
				t.Errorf("command %v %v", c, err)
			}
		})
	}
}

func TestRedisCli(t *testing.T) {
	cli := program(t, "redis-cli")
	b := startEmbedded(t, testDoor(), "pw")
	_, port, _ := net.SplitHostPort(b.Addr().String())
	for _, resp := range [][]string{nil, {"-3"}} {
		for _, c := range []struct{ args, want string }{
			{"PUBLISH news hello", "3\n"}, {"PING", "PONG\n"}, {"PUBSUB NUMSUB news", "news\n3\n"}, {"COMMAND COUNT", fmt.Sprintln(len(commands))},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), hang)
			defer cancel()
			args := append(append([]string{"-p", port, "--no-auth-warning", "-a", "pw"}, resp...), strings.Fields(c.args)...)
			out, err := exec.CommandContext(ctx, cli, args...).CombinedOutput()
			if string(out) != c.want || err != nil {
				t.Errorf("redis-cli %v %s: %q %v", resp, c.args, out, err)
			}
		}
		// From standard input it is a session on one connection.
		ctx, cancel := context.WithTimeout(t.Context(), hang)
		defer cancel()
		session := exec.CommandContext(ctx, cli, append([]string{"-p", port, "--no-auth-warning", "-a", "pw"}, resp...)...)
		session.Stdin = strings.NewReader("COMMAND DOCS publish\nPUBLISH one x\nFOO a\nSELECT 0\nPING\n")
		out, err := session.CombinedOutput()
		for _, want := range []string{"Posts a message", "\n1\n", "unknown command 'FOO'", "OK\nPONG"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("a session of redis-cli %v has no %q: %q %v", resp, want, out, err)
			}
		}
	}
}

// TestRedisCliHints: on a terminal redis-cli begins with COMMAND DOCS and makes
// hints of it; what it can not use it asserts about.
func TestRedisCliHints(t *testing.T) {
	cli, script := program(t, "redis-cli"), program(t, "script")
	b := startEmbedded(t, testDoor(), "")
	_, port, _ := net.SplitHostPort(b.Addr().String())
	for _, flags := range []string{"", "-3"} {
		ctx, cancel := context.WithTimeout(t.Context(), hang)
		defer cancel()
		c := exec.CommandContext(ctx, script, "-qec", cli+" "+flags+" -p "+port, "/dev/null")
		c.Env = append(c.Environ(), "TERM=dumb") // no questions about the cursor
		c.Stdin = strings.NewReader("help publish\nPUBLISH news hello\nquit\n")
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Posts a message") || !strings.Contains(string(out), "(integer) 3") {
			t.Errorf("redis-cli %s on a terminal: %v\n%s", flags, err, out)
		}
	}
}

// TestTwoServers: a second server subscribes at the embedded bus of a first.
func TestTwoServers(t *testing.T) {
	first, second := newDoor(map[string]int{"a": 2}), newDoor(nil)
	b := startEmbedded(t, first, "pw")
	r := connect(t, "redis://:pw@"+b.Addr().String(), second, nopLog)
	waitUp(t, r, true)
	p := dialRaw(t, b.Addr().String())
	p.do("AUTH", "pw")
	var want []doorMessage
	for i := range 100 {
		if got := p.do("PUBLISH", "a", fmt.Sprint(i)); got != ":3\r\n" {
			t.Fatalf("receivers %q", got)
		}
		want = append(want, bustest.To("a", fmt.Sprint(i)))
	}
	first.Wait(t, "the first, without probes", has(want...))
	second.Wait(t, "the second, without probes", has(want...))
	closeBus(t, b)
	if h := waitUp(t, r, false); h.Gaps > 1 {
		t.Errorf("health %+v", h)
	}
	eventually(t, "a gap", func() bool { return r.Health().Gaps == 1 })
}
