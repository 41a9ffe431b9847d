package conn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"
	"c10m/poller/pollertest"

	"github.com/gobwas/ws"
)

// Worlds of two-way clients over the failing kernel of the simulation: they
// subscribe, unsubscribe and publish at random, read a little or much or nothing,
// and check all that they are sent.

const (
	worldChannels = 5
	worldBusMax   = 16
)

type twoWayWorld struct {
	t         testing.TB
	seed      uint64
	random    *rand.Rand
	kernel    *network
	loop      *poller.Loop
	server    *Server
	hub       *channel.Hub
	clients   []*worldClient
	published [worldChannels]uint64 // messages so far
	skip      bool
	history   bool
	answers   func() // of the history, to be run between two turns; nil: nobody asked

	// The bus, which is the Publisher.
	feedback channel.Feedback
	pending  []worldSaid
	waiting  bool

	happened map[string]int
}

type worldSaid struct {
	from    uint64
	client  *worldClient
	channel int
}

func newTwoWayWorld(t testing.TB, seed uint64, skip, history bool, happened map[string]int) *twoWayWorld {
	w := &twoWayWorld{t: t, seed: seed, skip: skip, history: history, random: rand.New(rand.NewPCG(seed, 3)), kernel: newNetwork(seed), happened: happened}
	w.kernel.DescriptorsMax = 25
	w.kernel.Faults = simFaults
	config := testConfig()
	config.PingInterval = 20 * time.Second
	config.Channel = channel.Config{LogBytes: 40 << 10, LogAge: 5 * time.Minute, LogBytesTotal: 256 << 10, Skip: skip}
	config.NewPublisher = func(f channel.Feedback) channel.Publisher { w.feedback = f; return w }
	config.PublishBytesMax, config.InboundBytesTotal = 700, 16<<10
	hub := HubConfig(wire.FrameAuto, 1<<20, w.kernel.Now)
	if history {
		config.History = channel.NewHistory(channel.HistoryConfig{Messages: 200, Start: func(work func()) { w.answers = work }})
		hub.History = config.History
	}
	w.loop, w.server = newSimulatedLoop(t, w.kernel, NewShared(config))
	w.hub = channel.NewHub([]channel.Poster{w.server}, hub)
	return w
}

func (w *twoWayWorld) failf(format string, a ...any) {
	w.t.Helper()
	w.t.Fatalf("SIMULATION_SEED=%d skip=%v history=%v: %s", w.seed, w.skip, w.history, fmt.Sprintf(format, a...))
}

func worldName(at int) string { return fmt.Sprintf("c%d é", at) }

// worldEscaped is the name in a command.
func worldEscaped(at int) string { return fmt.Sprintf("c%d%%20%%C3%%A9", at) }

// Publish, Full and take make the world its clients' bus.

func (w *twoWayWorld) Publish(from uint64, name, payload []byte) bool {
	if len(w.pending) == worldBusMax {
		return false
	}
	c, number := w.clients[binary.BigEndian.Uint64(payload)], binary.BigEndian.Uint64(payload[8:])
	at := int(name[1] - '0')
	if string(name) != worldName(at) || number <= c.heard[at] || number > c.said[at] || len(bytes.Trim(payload[16:], "y")) > 0 {
		w.failf("the bus hears message %d of client %d on %q, which said %d, after %d", number, c.number, name, c.said[at], c.heard[at])
	}
	c.heard[at] = number
	c.heardOf[at]++
	w.pending = append(w.pending, worldSaid{from, c, at})
	return true
}

func (w *twoWayWorld) PublishAnswered(uint64, []byte, []byte, []byte) bool {
	w.failf("nobody posts here")
	return false
}

func (w *twoWayWorld) Full() bool {
	w.waiting = w.waiting || len(w.pending) >= worldBusMax/2
	return len(w.pending) >= worldBusMax/2
}

func (w *twoWayWorld) take(n int, fail bool) {
	var failed []channel.Outcome
	for ; n > 0 && len(w.pending) > 0; n-- {
		first := w.pending[0]
		w.pending = w.pending[1:]
		if fail {
			first.client.lost++
			failed = append(failed, channel.Outcome{From: first.from, Channel: []byte(worldName(first.channel)), Fate: channel.FateUnpublished})
		} else {
			w.publish(first.channel)
		}
	}
	if failed != nil {
		w.feedback.PublishFailed(failed)
	}
	if w.waiting && len(w.pending) <= worldBusMax/4 {
		w.waiting = false
		w.feedback.Room()
	}
}

func (w *twoWayWorld) publish(at int) {
	w.published[at]++
	payload := binary.BigEndian.AppendUint64(nil, w.published[at])
	if w.random.IntN(4) == 0 {
		payload = append(payload, bytes.Repeat([]byte{'x'}, w.random.IntN(4000))...)
	}
	if _, err := w.hub.Publish([]byte(worldName(at)), payload); err != nil {
		w.failf("publish: %v", err)
	}
}

// step does one random thing and a turn.
func (w *twoWayWorld) step() {
	switch w.random.IntN(14) {
	case 0:
		if alive := w.alive(); len(alive) < 30 {
			c := &worldClient{peer: w.kernel.Dial(), number: len(w.clients)}
			w.clients = append(w.clients, c)
			path := "/"
			if w.random.IntN(2) == 0 {
				at := w.random.IntN(worldChannels)
				path += worldEscaped(at)
				c.subs[at].wanted = true
				c.asked[at] = []worldAnswer{{line: "OK SUB " + worldEscaped(at), published: w.published[at]}}
			}
			c.toSend = twoWayRequest(path)
		}
	case 1, 2:
		for range w.random.IntN(6) {
			w.publish(w.random.IntN(worldChannels))
		}
	case 3:
		w.kernel.Advance(time.Duration(w.random.IntN(200)) * time.Millisecond)
	case 4:
		w.take(w.random.IntN(8), w.random.IntN(10) == 0)
	case 5:
		w.answer()
	default:
		if alive := w.alive(); len(alive) > 0 {
			w.act(alive[w.random.IntN(len(alive))])
		}
	}
	w.loop.Turn()
}

// answer has the history answer what it was asked.
func (w *twoWayWorld) answer() {
	if work := w.answers; work != nil {
		w.answers = nil
		work()
	}
}

func (w *twoWayWorld) alive() (alive []*worldClient) {
	for _, c := range w.clients {
		if !c.peer.WasReset() && !c.peer.Gone() {
			alive = append(alive, c)
		}
	}
	return alive
}

func (c *worldClient) say(s string) {
	c.toSend = append(c.toSend, ws.MustCompileFrame(ws.MaskFrame(ws.NewBinaryFrame([]byte(s))))...)
}

// settle lets everybody read and write until nothing moves.
func (w *twoWayWorld) settle() {
	w.kernel.Faults = pollertest.Faults{}
	w.kernel.DescriptorsMax = 1 << 12
	for range 600 {
		for _, c := range w.clients {
			c.peer.Write(c.toSend)
			c.toSend = nil
			w.read(c, -1)
		}
		w.take(worldBusMax, false)
		w.answer()
		w.loop.Turn()
	}
}

// resumes reports whether a membership is still on its way to its log.
func resumes(c *cold, n uint32) bool {
	return c.resumeOf(n) >= 0
}

// check looks at what the server keeps, between two turns.
func (w *twoWayWorld) check() {
	s := w.server
	used, owed := 0, 0
	for _, c := range s.cold {
		owed += len(c.owed)
	}
	w.loop.Walk(0, 1<<12, func(fd uint32) {
		record := w.loop.Record(fd)
		if protocolOf(record) != twoWayProtocol {
			return
		}
		if record.Marks&markPaused != 0 && s.cold[fd] != nil && s.cold[fd].held {
			w.failf("two-way connection %d is not read from for two reasons", fd)
		}
		state, count, turn, busy := s.members.Of(fd), 0, false, false
		s.members.Find(fd, func(n uint32) (isOver bool) {
			count++
			turn = turn || n == state.Turn
			busy = busy || n == state.Busy
			if s.members.Owner(n) != fd {
				w.failf("membership %x of %d belongs to %d", n, fd, s.members.Owner(n))
			}
			if n != state.Busy && s.registry.MidFrame(n) {
				w.failf("membership %x of %d is in the middle of a frame, and %x is busy", n, fd, state.Busy)
			}
			if s.registry.Blocked(n) && !state.IsFull && !resumes(s.cold[fd], n) {
				w.failf("membership %x of %d waits for room, and nobody asked for it", n, fd)
			}
			return false
		})
		used += count
		if count != int(state.Count) || state.Turn != 0 && !turn || state.Busy != 0 && !busy {
			w.failf("two-way connection %d: %+v has %d memberships", fd, *state, count)
		}
	})
	if taken := s.members.Taken(); used != taken || s.stats.Memberships.Load() != int64(used) {
		w.failf("%d memberships are used, %d are taken, %d are counted", used, taken, s.stats.Memberships.Load())
	}
	if owed != s.outbox.owedBytes {
		w.failf("%d bytes are owed, and %d are counted", owed, s.outbox.owedBytes)
	}
}

func (w *twoWayWorld) run(more func() bool) {
	openNaps(w.loop)
	for more() {
		w.step()
		w.check()
	}
	w.settle()
	for at := range w.published { // one for everybody, now that all can read
		w.publish(at)
	}
	w.settle()
	w.check()
	for _, c := range w.clients {
		if !c.upgraded || c.closed || c.peer.WasReset() || c.peer.Ended() {
			continue
		}
		w.happened["connected in the end"]++
		for _, asked := range c.asked {
			if len(asked) > 0 || c.pongs > 0 {
				w.failf("client %d waits for %v and %d PONGs", c.number, c.asked, c.pongs)
			}
		}
		said, heard := uint64(0), uint64(0)
		for at := range worldChannels {
			said, heard = said+c.said[at], heard+c.heardOf[at]
		}
		if said != heard+c.refused || c.lost != c.toldLost {
			w.failf("client %d said %d messages, the bus has %d, %d were refused, %d of %d that were lost are told of", c.number, said, heard, c.refused, c.toldLost, c.lost)
		}
		for at, sub := range c.subs {
			if sub.on != sub.wanted || sub.on && sub.next != w.published[at]+1 {
				w.failf("client %d: channel %d is %+v, and %d were published", c.number, at, sub, w.published[at])
			}
		}
	}
	for _, c := range w.clients {
		c.peer.Close()
	}
	for range 200 {
		w.kernel.Advance(200 * time.Millisecond)
		w.loop.Turn()
	}
	w.check()
	stats, channels := w.server.Stats(), w.server.ChannelStats()
	checkNoneLeft(w.failf, map[string]int64{
		"connections": w.loop.Stats().Connections.Load(), "open": stats.Open.Load(), "two-way": stats.TwoWay.Load(),
		"memberships": stats.Memberships.Load(), "members": channels.Members.Load(), "channels": channels.Channels.Load(),
		"logs": channels.Logs.Load(), "log bytes": channels.LogBytes.Load(), "blocked": channels.Blocked.Load(),
		"held back": stats.PublishPaused.Load(), "message bytes": int64(w.server.inboundBytes), "cold": int64(len(w.server.cold)),
		"owed bytes": int64(w.server.outbox.owedBytes), "pinned": stats.Pinned.Load(),
	})
	checkReasons(w.failf, w.loop, w.server)
	for name, n := range map[string]uint64{
		"slow": stats.Closes[reasons.SlowBytes].Load(), "skipped": channels.Skipped.Load(), "batches": channels.Batches.Load(),
		"resent": stats.Resent.Load(), "pauses": stats.PublishPauses.Load(), "published": stats.Published.Load(),
	} {
		w.happened[name] += int(n)
	}
	w.loop.Shut()
}

func TestTwoWayWorlds(t *testing.T) {
	happened := make(map[string]int)
	for _, seed := range simulationSeeds(t, 4) {
		for kind := range 4 {
			w := newTwoWayWorld(t, seed, kind%2 == 1, kind/2 == 1, happened)
			t.Logf("seed %d skip %v history %v", seed, w.skip, w.history)
			steps := 12_000
			w.run(func() bool { steps--; return steps >= 0 })
		}
	}
	t.Logf("happened: %v", happened)
	for _, name := range []string{"deliveries", "OK", "ERR", "PONG", "bus_down", "slow", "skipped", "batches", "pauses", "published", "connected in the end", "close 1001", "GAP", "continued", "again", "resent"} {
		if happened[name] == 0 {
			t.Errorf("this never happened: %s", name)
		}
	}
}

// FuzzTwoWay is such a world with the choices of a fuzzer.
func FuzzTwoWay(f *testing.F) {
	fuzzChoices(f, func(t *testing.T, seed uint64, choices *rand.Rand, more func() bool) {
		w := newTwoWayWorld(t, seed, seed%2 == 1, false, make(map[string]int))
		w.random = choices
		w.run(more)
	})
}
