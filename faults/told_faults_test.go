package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"c10m/internal/servertest"

	"github.com/redis/go-redis/v9"
)

// toldPassword is that of the user default, as whom the server comes; the test is
// another user, so that nothing that happens to the server happens to it.
const toldPassword, toldUser = "server", "checker"

// A toldRedis is one that the test does something to.
type toldRedis struct {
	world   *toldWorld
	port    int
	process *servertest.Process
	link    *network // to its master
	client  *redis.Client
	hears   atomic.Bool // the witness is subscribed
}

// isHeard reports whether the witness hears a message that is sent for this.
func (r *toldRedis) isHeard() bool {
	r.world.mu.Lock()
	r.world.asked++
	mark := fmt.Sprint("mark ", r.world.asked)
	r.world.mu.Unlock()
	r.client.Publish(context.Background(), "witness", mark)
	time.Sleep(20 * time.Millisecond)
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	return r.world.seen["witness "+mark]
}

func startToldRedis(w *toldWorld) *toldRedis {
	r := &toldRedis{world: w, port: servertest.FreePort(w.t)}
	r.client = r.newClient()
	r.start()
	r.witness()
	return r
}

func (r *toldRedis) newClient() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", r.port), Username: toldUser, Password: toldUser,
		Protocol: 2, MaxRetries: -1, DialerRetries: 1, ReadTimeout: faultGuard, ContextTimeoutEnabled: true})
	r.world.t.Cleanup(func() { client.Close() })
	return client
}

func (r *toldRedis) start() {
	r.process = servertest.StartRedis(r.world.t, r.port, "--requirepass", toldPassword, "--masterauth", toldPassword,
		"--user", toldUser, "on", ">"+toldUser, "~*", "&*", "+@all", "--repl-backlog-size", "16kb", "--repl-diskless-sync-delay", "0")
}

// must sends a command that has to be taken.
func (r *toldRedis) must(args ...any) {
	r.world.t.Helper()
	if err := r.client.Do(context.Background(), args...).Err(); err != nil {
		r.world.t.Fatalf("TOLD_SEED=%d: %v: %v", r.world.seed, args, err)
	}
}

// replicaOf makes it a replica, by a network of its own, and waits until it is.
func (r *toldRedis) replicaOf(master *toldRedis) {
	if r.link == nil {
		r.link = startNetwork(r.world.t, master.port)
	}
	r.must("REPLICAOF", "127.0.0.1", r.link.port)
	r.linked()
}

func (r *toldRedis) linked() {
	eventually(r.world.t, "the link to the master is up", func() bool {
		return strings.Contains(r.client.Info(context.Background(), "replication").Val(), "master_link_status:up")
	})
}

// witness notes what a Redis publishes. While it is not there itself, nothing is sure
// (blur).
func (r *toldRedis) witness() {
	w, client := r.world, r.newClient()
	w.goes(func() {
		r.hears.Store(false)
		sub := client.PSubscribe(w.over, "*")
		defer context.AfterFunc(w.over, func() { sub.Close() })() // a read does not look at its context
		defer sub.Close()
		if _, err := sub.Receive(w.over); err != nil {
			return
		}
		r.hears.Store(true)
		for {
			m, err := sub.ReceiveMessage(w.over)
			if err != nil {
				r.hears.Store(false)
				return
			}
			w.mu.Lock()
			w.seen[m.Channel+" "+m.Payload] = true
			w.mu.Unlock()
		}
	})
	eventually(w.t, "the witness listens", r.hears.Load)
}

// A toldFault does something to a world, undoes it, and returns.
type toldFault struct {
	name string
	do   func(w *toldWorld)
}

// play has each fault happen in random order, in the full form again and again, and
// everybody hear everything after each.
func (w *toldWorld) play(faults []toldFault) (names string) {
	var all []string
	for _, f := range faults {
		all = append(all, f.name)
	}
	length, _ := time.ParseDuration(os.Getenv("C10M_TOLD"))
	begun := time.Now()
	for round := 0; round < scale(1, 5) || time.Since(begun) < length; round++ {
		for _, i := range w.random.Perm(len(faults)) {
			w.t.Logf("%s", faults[i].name)
			faults[i].do(w)
			if w.t.Failed() {
				return ""
			}
			w.calm()
			w.blur(false, false)
			w.allow(0)
		}
	}
	return strings.Join(all, ", ")
}

// while sleeps up to so many milliseconds of the test's own choice.
func (w *toldWorld) while(millis int) {
	time.Sleep(time.Duration(w.random.IntN(millis)) * time.Millisecond)
}

func (w *toldWorld) gone() { red(w.t, w.server) }

var subscriptionKilled = toldFault{"subscription killed", func(w *toldWorld) {
	for range 1 + w.random.IntN(4) {
		w.redis[0].must("CLIENT", "KILL", "TYPE", "pubsub", "USER", "default")
		w.while(300)
	}
}}

// locked is the server's user locked out, with its connections ended or not.
func (w *toldWorld) locked(lock, unlock []any) {
	r := w.redis[0]
	r.must(lock...)
	w.while(1000)
	if w.random.IntN(2) == 0 {
		r.must("CLIENT", "KILL", "TYPE", "normal", "USER", "default")
	}
	w.while(1000)
	if w.random.IntN(2) == 0 {
		r.must("CLIENT", "KILL", "TYPE", "pubsub", "USER", "default")
		w.gone()
	}
	w.while(1000)
	r.must(unlock...)
}

var passwordByConfig = toldFault{"password changed by CONFIG", func(w *toldWorld) {
	w.locked([]any{"CONFIG", "SET", "requirepass", "other"}, []any{"CONFIG", "SET", "requirepass", toldPassword})
}}

var passwordByACL = toldFault{"password changed by ACL", func(w *toldWorld) {
	w.locked([]any{"ACL", "SETUSER", "default", "resetpass", ">other"}, []any{"ACL", "SETUSER", "default", "resetpass", ">" + toldPassword})
}}

var userOff = toldFault{"user switched off", func(w *toldWorld) {
	w.locked([]any{"ACL", "SETUSER", "default", "off"}, []any{"ACL", "SETUSER", "default", "on"})
}}

// publishAt has others publish at another Redis.
func (w *toldWorld) publishAt(at int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = at
}

// A master that is demoted hears what is published at the new one only once the link is
// up, and nothing says so before the next probe.
var demoted = toldFault{"master demoted", func(w *toldWorld) {
	old, other := w.redis[0], w.redis[1]
	w.blur(false, true)
	w.publishAt(1)
	w.while(100)
	old.replicaOf(other)
	w.gone()
	w.while(1000)
	old.must("REPLICAOF", "NO", "ONE")
	w.publishAt(0)
}}

var failover = toldFault{"failover", func(w *toldWorld) {
	for _, to := range []int{1, 0} {
		w.publishAt(to)
		w.while(100)
		w.way.Stop()
		w.way.Upstream = fmt.Sprintf("127.0.0.1:%d", w.redis[to].port)
		w.while(500)
		w.way.mend()
		green(w.t, w.server)
		w.while(1000)
	}
}}

var frozen = toldFault{"frozen", func(w *toldWorld) {
	for range 2 {
		w.redis[0].process.Signal(syscall.SIGSTOP)
		if w.random.IntN(2) == 0 {
			w.gone()
		}
		w.while(3000)
		w.redis[0].process.Signal(syscall.SIGCONT)
		w.while(1000)
	}
}}

var paused = toldFault{"paused by CLIENT PAUSE", func(w *toldWorld) {
	w.redis[0].must("CLIENT", "PAUSE", 1+w.random.IntN(5000), "ALL")
}}

var restarting = toldFault{"restarting in a loop", func(w *toldWorld) {
	w.blur(true, false)
	for range 3 {
		w.redis[0].process.Signal(syscall.SIGKILL)
		w.redis[0].process.Wait()
		w.while(500)
		w.redis[0].start()
		w.while(1500)
	}
	w.while(100) // go-redis comes back by itself
	eventually(w.t, "the witness is back", w.redis[0].isHeard)
}}

var cutOff = toldFault{"connections reset", func(w *toldWorld) {
	w.way.Stop()
	w.while(300)
	w.way.mend()
}}

// A new server on the same ports, and the old one is told to end.
var replaced = toldFault{"server replaced", func(w *toldWorld) {
	old := w.server
	w.allow(byDrain)
	w.server = w.startServer("--listen", fmt.Sprintf("127.0.0.1:%d", w.port))
	green(w.t, w.server)
	old.Signal(syscall.SIGTERM)
	if status := old.Wait(); status != 0 {
		w.failf("the server's exit status is %d", status)
	}
}}

// What is published at the master while the link is down is lost, if it is more than
// the master keeps for that, and the replica says nothing.
var linkCut = toldFault{"replica's link cut", func(w *toldWorld) {
	w.blur(false, true)
	w.redis[0].link.Stop()
	w.gone()
	for range 40 {
		w.redis[1].must("PUBLISH", "elsewhere", strings.Repeat("x", 1<<10))
	}
	w.while(1000)
	w.redis[0].link.mend()
	w.redis[0].linked()
}}
