package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"c10m/internal/servertest"
)

// Told is told: whatever happens to the bus, each client has every message once and in
// order, or is told of a gap before the next one; and each publisher is told what is
// true. A world is a server, its Redis and another one behind a network that the test
// plays, a client on every way out and a publisher on every way in, of which each
// publishes numbers to a channel of its own (told_ways_test.go); what happens to it is
// in told_faults_test.go. It is judged at the end, from what everybody noted.

// toldChannels are the channels, by who publishes there.
var toldChannels = []string{"redis", "post", "pub", "own"}

// A fate is what a publisher was told of a message.
type fate uint8

const (
	unknown fate = iota
	published
	unpublished
)

// A toldWorld is what a test has of it.
type toldWorld struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand // of the test's goroutine
	server *servertest.Server
	way    *network // from the server to its Redis
	redis  [2]*toldRedis
	over   context.Context
	end    context.CancelFunc
	runs   sync.WaitGroup

	mu       sync.Mutex
	at       int               // the Redis where others publish
	judged   map[string]int    // the last number of each channel that is judged
	next     map[string]int    // number of each channel
	fates    map[string][]fate // by number
	blurred  map[string]bool   // channel and number, published while no witness can be sure
	silent   map[string]bool   // published while the loss cannot be noticed at once
	isBlurry bool
	isSilent bool
	seen     map[string]bool // channel and number, by the witnesses
	ears     []*toldEar
	asked    int // marks for a witness
}

// An ear is what one client noted of one channel.
type toldEar struct {
	world        *toldWorld
	way, channel string
	// Guarded by the world's mu.
	heard []int // numbers; 0 is a gap, of which it was told
}

func (w *toldWorld) failf(format string, a ...any) {
	w.t.Helper()
	w.t.Errorf("TOLD_SEED=%d: %s", w.seed, fmt.Sprintf(format, a...))
}

func (w *toldWorld) ear(way, channel string) *toldEar {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &toldEar{world: w, way: way, channel: channel}
	w.ears = append(w.ears, e)
	return e
}

func (e *toldEar) message(payload string) {
	number, err := strconv.Atoi(payload)
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	if err != nil {
		number = -1
	}
	e.heard = append(e.heard, number)
}

func (e *toldEar) gap() {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	e.heard = append(e.heard, 0)
}

// number is the next of a channel, of which nothing is known yet.
func (w *toldWorld) number(channel string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next[channel]++
	n := w.next[channel]
	w.fates[channel] = append(w.fates[channel], unknown)
	key := fmt.Sprint(channel, n)
	w.blurred[key], w.silent[key] = w.isBlurry, w.isSilent
	return n
}

func (w *toldWorld) told(channel string, number int, f fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fates[channel][number-1] = f
	key := fmt.Sprint(channel, number)
	w.blurred[key] = w.blurred[key] || w.isBlurry
	w.silent[key] = w.silent[key] || w.isSilent
}

func (w *toldWorld) blur(blurry, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isBlurry, w.isSilent = blurry, silent
}

// calm waits until everybody hears what is published now.
func (w *toldWorld) calm() {
	w.t.Helper()
	green(w.t, w.server)
	w.mu.Lock()
	from := make(map[string]int)
	for channel, n := range w.next {
		from[channel] = n
	}
	w.mu.Unlock()
	missing := ""
	defer func() {
		if missing != "" {
			w.t.Logf("metrics:\n%s", w.server.Get("/metrics"))
			w.t.Logf("goroutines:\n%s", w.server.Get("/debug/pprof/goroutine?debug=1"))
			w.failf("these hear nothing:%s", missing)
		}
	}()
	eventually(w.t, "everybody hears what is published", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		missing = ""
		for _, e := range w.ears {
			if len(e.heard) == 0 || e.heard[len(e.heard)-1] <= from[e.channel] {
				missing += fmt.Sprintf(" %s/%s", e.way, e.channel)
			}
		}
		return missing == ""
	})
}

// witnessed waits until the witness has seen all that is judged: it ends together with
// the publishers, and what they say in that moment it may not see.
func (w *toldWorld) witnessed() {
	w.mu.Lock()
	w.judged = make(map[string]int)
	for channel, n := range w.next {
		w.judged[channel] = n
	}
	w.mu.Unlock()
	eventually(w.t, "the witness sees what is published now", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for channel, last := range w.judged {
			isSeen := false
			for n := last + 1; n <= w.next[channel] && !isSeen; n++ {
				isSeen = w.seen[fmt.Sprint(channel, n)]
			}
			if !isSeen {
				return false
			}
		}
		return true
	})
}

// judge looks at what everybody noted.
func (w *toldWorld) judge() (lost, gaps int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, channel := range toldChannels {
		for i, f := range w.fates[channel] {
			key := fmt.Sprint(channel, i+1)
			if f == published && i < w.judged[channel] && !w.seen[key] && !w.blurred[key] {
				w.failf("%s: the publisher was told that %d was published, and it was not", channel, i+1)
			}
			if f == unpublished && w.seen[key] {
				w.failf("%s: the publisher was told that %d was not published, and it was", channel, i+1)
			}
		}
	}
	for _, e := range w.ears {
		last, before := 0, 0 // the number before, and the one before the gap
		for at, n := range e.heard {
			if n == 0 {
				before, last = max(before, last), 0
				gaps++
				continue
			}
			if n < 0 || n > len(w.fates[e.channel]) || n <= max(last, before) {
				w.failf("%s: %d of %s came after %d", e.way, n, e.channel, max(last, before))
				break
			}
			if w.fates[e.channel][n-1] == unpublished {
				w.failf("%s: %d of %s came, of which the publisher was told that it was not published", e.way, n, e.channel)
			}
			for hole := last + 1; last > 0 && hole < n; hole++ {
				key := fmt.Sprint(e.channel, hole)
				if w.fates[e.channel][hole-1] != published || w.blurred[key] && !w.seen[key] {
					continue
				}
				lost++
				if w.silent[key] && slices.Contains(e.heard[at:], 0) {
					continue // told as soon as it could be known
				}
				w.failf("%s: %d of %s came after %d, and nothing told of %d", e.way, n, e.channel, last, hole)
			}
			last = n
		}
	}
	return lost, gaps
}

// startTold starts a world and waits until all is well in it.
func startTold(t *testing.T, atReplica bool) *toldWorld {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TOLD_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("TOLD_SEED=%d", seed)
	w := &toldWorld{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), next: map[string]int{}, fates: map[string][]fate{},
		blurred: map[string]bool{}, silent: map[string]bool{}, seen: map[string]bool{}}
	w.over, w.end = context.WithCancel(context.Background())
	t.Cleanup(func() { w.end(); w.runs.Wait() })
	for i := range w.redis {
		w.redis[i] = startToldRedis(w)
	}
	if atReplica {
		w.redis[0].replicaOf(w.redis[1])
		w.at = 1
	}
	w.way = startNetwork(t, w.redis[0].port)
	w.server = servertest.StartServer(t, 0, "--bus", fmt.Sprintf("redis://:%s@127.0.0.1:%d", toldPassword, w.way.port), "--bus-probe", "2s",
		"--drain", "1s", "--publish", "own", "--history", "5000")
	green(t, w.server)
	w.listen()
	w.publish(atReplica)
	return w
}

// goes runs something until the world ends.
func (w *toldWorld) goes(run func()) {
	w.runs.Go(func() {
		for w.over.Err() == nil {
			run()
			w.sleep(20)
		}
	})
}

// sleep waits up to so many milliseconds, or until the world ends.
func (w *toldWorld) sleep(millis int) {
	select {
	case <-time.After(time.Duration(rand.IntN(1000*millis+1)) * time.Microsecond):
	case <-w.over.Done():
	}
}

// finish ends the world and prints its line of the table.
func (w *toldWorld) finish(what string, clients int) {
	w.witnessed()
	w.end()
	w.runs.Wait()
	lost, gaps := w.judge()
	if gaps == 0 {
		w.failf("nobody was told of a gap, so the faults were none")
	}
	held(w.t, outcome{fault: what, clients: clients, lost: lost,
		held: fmt.Sprintf("each message once and in order or a gap before the next, on every way out (%d gaps told); what publishers were told is true", gaps)})
}

func TestToldIsTold(t *testing.T) {
	t.Parallel()
	w := startTold(t, false)
	w.calm()
	names := w.play([]toldFault{subscriptionKilled, passwordByConfig, passwordByACL, userOff, demoted, failover, frozen, paused, restarting, cutOff})
	w.finish("told is told: "+names, len(w.ears))
}

func TestToldIsToldAtAReplica(t *testing.T) {
	t.Parallel()
	w := startTold(t, true)
	w.calm()
	names := w.play([]toldFault{subscriptionKilled, linkCut})
	w.finish("told is told, at a replica: "+names, len(w.ears))
}
