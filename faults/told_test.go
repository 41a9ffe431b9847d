package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"c10m/internal/servertest"
)

// Told is told: whatever happens to the bus, each client has every message once and in
// order, or is told of a gap before the next one; and each publisher is told what is
// true. A world is a server and a bus that the test plays with, a client on every way out
// and a publisher on every way in, of which each publishes numbers to a channel of its
// own (told_ways_test.go). The bus is a Redis, with another one, behind a network
// (told_faults_test.go), or the server's own (told_door_test.go). All is judged at the
// end, from what everybody noted (told_judge_test.go).

// A fate is what a publisher was told of a message.
type fate uint8

const (
	unknown fate = iota
	published
	unpublished
)

// A toldWorld is what a test has of it.
type toldWorld struct {
	t          *testing.T
	seed       uint64
	random     *rand.Rand // of the test's goroutine
	channels   []string   // by who publishes there
	isEmbedded bool
	server     *servertest.Server // the test's goroutine may replace it
	port       int                // where clients connect; like the next two fixed
	bus        int
	adminPort  int
	way        *network // from the server to its Redis
	redis      [2]*toldRedis
	over       context.Context
	end        context.CancelFunc
	runs       sync.WaitGroup

	mu         sync.Mutex
	complaints []string
	causes     cause             // by which connections may end now
	at         int               // the Redis where others publish
	judged     map[string]int    // the last number of each channel that is judged
	next       map[string]int    // number of each channel
	fates      map[string][]fate // by number
	whole      map[string]int    // the last number that was published before the server was told to end
	asked      int               // marks for a witness
	takeovers  int               // of clients that had their next connection in time
	isBlurry   bool
	isSilent   bool
	ears       []*toldEar

	// By channel and number.
	blurred      map[string]bool   // published while no witness can be sure
	silent       map[string]bool   // published while the loss cannot be noticed at once
	seen         map[string]bool   // by the witnesses
	orphans      map[string]bool   // their publisher was cut off, so they may come later
	reached      map[string]int    // what PUBLISH answered
	transactions map[string][2]int // the first and the last
}

// An ear is what one client noted of one channel.
type toldEar struct {
	world        *toldWorld
	way, channel string
	isMember     bool // what it hears comes from the loops as it is published
	// Guarded by the world's mu.
	notes []note
}

func newToldWorld(t *testing.T, channels ...string) *toldWorld {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TOLD_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	w := &toldWorld{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), channels: channels,
		next: map[string]int{}, fates: map[string][]fate{}, whole: map[string]int{}, blurred: map[string]bool{}, silent: map[string]bool{},
		seen: map[string]bool{}, orphans: map[string]bool{}, reached: map[string]int{}, transactions: map[string][2]int{}}
	w.over, w.end = context.WithCancel(context.Background())
	return w
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

func (e *toldEar) note(kind noteKind, number int) {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	e.notes = append(e.notes, note{kind, number})
}

func (e *toldEar) message(payload string) {
	number, err := strconv.Atoi(payload)
	if err != nil {
		number = -1
	}
	e.note(noteMessage, number)
}

func (e *toldEar) gap() { e.note(noteGap, 0) }

// begun is the last number of a channel so far.
func (w *toldWorld) begun(channel string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next[channel]
}

// number is the next of a channel, of which nothing is known yet.
func (w *toldWorld) number(channel string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next[channel]++
	n := w.next[channel]
	w.fates[channel] = append(w.fates[channel], unknown)
	key := toldKey(channel, n)
	w.blurred[key], w.silent[key] = w.isBlurry, w.isSilent
	return n
}

func (w *toldWorld) told(channel string, number int, f fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fates[channel][number-1] = f
	key := toldKey(channel, number)
	w.blurred[key] = w.blurred[key] || w.isBlurry
	w.silent[key] = w.silent[key] || w.isSilent
}

// unanswered says that a connection ended before its message was answered. If the server
// was told to end, or its own bus was, the message may still be on its way, beside those
// that its publisher says on the next connection.
func (w *toldWorld) unanswered(channel string, number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isEmbedded || w.causes&byDrain != 0 {
		w.orphans[toldKey(channel, number)] = true
	}
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
			if n := len(e.notes); n == 0 || e.notes[n-1].kind != noteMessage || e.notes[n-1].number <= from[e.channel] {
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
				isSeen = w.seen[toldKey(channel, n)]
			}
			if !isSeen {
				return false
			}
		}
		return true
	})
}

// startTold starts a world with a Redis and waits until all is well in it.
func startTold(t *testing.T, atReplica bool) *toldWorld {
	t.Helper()
	w := newToldWorld(t, "redis", "post", "pub", "own")
	t.Logf("TOLD_SEED=%d", w.seed)
	t.Cleanup(func() { w.end(); w.runs.Wait() })
	w.causes = byGap
	for i := range w.redis {
		w.redis[i] = startToldRedis(w)
	}
	if atReplica {
		w.redis[0].replicaOf(w.redis[1])
		w.at = 1
	}
	w.way = startNetwork(t, w.redis[0].port)
	w.server = w.startServer()
	w.port = w.server.Port
	green(t, w.server)
	w.listen()
	w.publish(atReplica)
	return w
}

func (w *toldWorld) startServer(args ...string) *servertest.Server {
	return servertest.StartServer(w.t, 0, append([]string{"--bus", fmt.Sprintf("redis://:%s@127.0.0.1:%d", toldPassword, w.way.port), "--bus-probe", "2s",
		"--drain", "1s", "--publish", "own", "--history", "5000"}, args...)...)
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
func (w *toldWorld) finish(what string) {
	w.end()
	w.runs.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	lost, gaps := w.judge()
	for _, complaint := range w.complaints[:min(len(w.complaints), 20)] {
		w.failf("%s", complaint)
	}
	if gaps == 0 {
		w.failf("nobody was told of a gap, so the faults were none")
	}
	held(w.t, outcome{fault: what, clients: len(w.ears), lost: lost,
		held: fmt.Sprintf("each message once and in order or a gap before the next, on every way out (%d gaps told, %d times a client had its next connection in time); what publishers were told is true", gaps, w.takeovers)})
}

func TestToldIsTold(t *testing.T) {
	t.Parallel()
	w := startTold(t, false)
	w.calm()
	names := w.play([]toldFault{subscriptionKilled, passwordByConfig, passwordByACL, userOff, demoted, failover, frozen, paused, restarting, cutOff, replaced})
	w.witnessed()
	w.finish("told is told: " + names)
}

func TestToldIsToldAtAReplica(t *testing.T) {
	t.Parallel()
	w := startTold(t, true)
	w.calm()
	names := w.play([]toldFault{subscriptionKilled, linkCut})
	w.witnessed()
	w.finish("told is told, at a replica: " + names)
}
