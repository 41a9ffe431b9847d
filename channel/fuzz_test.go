package channel

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"c10m/poller"
)

// A world is a registry beside a naive model of it: per channel a set of
// connections, per connection the list of the frames that it must get.
type world struct {
	*host
	config   Config
	frames   [][]byte            // by id: all that were ever published or said
	messages map[uint32]*Message // by id, of those that were published
	ats      []int64             // when each was published
	conns    [worldFDs + 1]*conn // nil: never subscribed
	newborn  bool                // channels begin near the largest sequence number
	wasOver  bool                // all logs together were over their limit
	overruns int
	closes   int

	responses    int
	cutResponses int
}

// A conn is what the model knows of one connection.
type conn struct {
	channel  string
	expected []uint32 // ids of messages since it joined
	said     []uint32 // ids of the owner's own frames, since the beginning
}

const worldFDs = 40

// newWorld takes its configuration from one byte.
func newWorld(tb testing.TB, choice byte) *world {
	w := &world{newborn: choice&2 != 0, messages: map[uint32]*Message{}}
	w.config = Config{LogBytes: 4096, LogAge: 1280 * time.Millisecond, LogBytesTotal: 9000, Skip: choice&1 != 0}
	if choice&4 != 0 {
		w.config.LogBytesTotal = 1 << 20
	}
	w.host = newHost(tb, w.config, worldFDs)
	w.hub = &Hub{config: HubConfig{Formats: worldFormats}}
	w.onServed = w.served
	w.onOverrun = w.judge
	w.onClose = w.gone
	for fd := range w.peers {
		w.peers[fd].room = 2000
	}
	return w
}

// frame makes a frame that says which it is: kind, size, id, and filling.
func (w *world) frame(kind byte, size int) (uint32, []byte) {
	id := uint32(len(w.frames))
	b := make([]byte, max(size, 9))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)))
	binary.BigEndian.PutUint32(b[5:], id)
	for i := 9; i < len(b); i++ {
		b[i] = byte(uint32(i) * (id*2 + 1))
	}
	w.frames, w.ats = append(w.frames, b), append(w.ats, w.now)
	return id, b
}

// formatOf is the format that a connection subscribes in.
func formatOf(fd uint32) Format {
	return []Format{Framed, Framed, event, named, response, lastResponse}[fd%6]
}

// The formats of the world, and those of other tests.
const (
	event Format = 1 + iota
	response
	lastResponse
	named
)

var worldFormats = func() (all [FormatsMax]Shape) {
	for format := event; format <= named; format++ {
		// A response of several is one after the other.
		all[format] = Shape{
			func(m *Message) []byte { return reshape(m.frame, format) },
			func(messages []*Message) []byte { return joinWorld(format, messages) },
		}
	}
	return all
}()

// getsOnce reports whether a connection is a member until it is given something.
func getsOnce(fd uint32) bool { return formatOf(fd) == response || formatOf(fd) == lastResponse }

func joinWorld(format Format, messages []*Message) (response []byte) {
	bytes := 0
	for _, m := range messages {
		response = append(response, m.As(format)...)
		bytes += int(m.payloadBytes)
	}
	if len(messages) < 2 || len(messages) > ResponseMessagesMax || bytes > responseBytesMax {
		panic(fmt.Sprintf("a response of %d messages and %d bytes", len(messages), bytes))
	}
	return response
}

// reshape is what a frame of the world looks like in a format: longer or shorter,
// with other filling.
func reshape(frame []byte, format Format) []byte {
	size := map[Format]int{Framed: len(frame), event: len(frame) + 30, named: max(9, len(frame)/2), response: len(frame) + 100, lastResponse: len(frame) + 119}[format]
	b := make([]byte, size)
	copy(b, frame)
	binary.BigEndian.PutUint32(b[1:], uint32(size))
	for i := 9; i < size && format != Framed; i++ {
		b[i] ^= byte(format)
	}
	return b
}

// verify reads a connection's stream. complete: nothing may be missing.
func (w *world) verify(fd uint32, complete bool) {
	c := w.conns[fd]
	if c == nil {
		return
	}
	stream, expected, said := w.peers[fd].stream, c.expected, c.said
	for len(stream) > 0 {
		var next []byte
		switch {
		case stream[0] == 'C' && len(said) > 0:
			next, said = w.frames[said[0]], said[1:]
		case stream[0] == 'M' && len(expected) > 0:
			if w.config.Skip && len(stream) >= 9 {
				id := binary.BigEndian.Uint32(stream[5:])
				for len(expected) > 1 && expected[0] != id {
					expected = expected[1:]
				}
			}
			next, expected = reshape(w.frames[expected[0]], formatOf(fd)), expected[1:]
		default:
			panic(fmt.Sprintf("connection %d: no frame begins with %.20q; expected %d, said %d", fd, stream, len(expected), len(said)))
		}
		n := min(len(next), len(stream))
		if w.config.Skip && n < 9 {
			break // too little to know which frame it is
		}
		if !bytes.Equal(next[:n], stream[:n]) {
			panic(fmt.Sprintf("connection %d got %.20q of %d, not frame %.20q of %d", fd, stream, len(stream), next, len(next)))
		}
		if n < len(next) && complete {
			panic(fmt.Sprintf("connection %d got %d of the %d bytes of its last frame", fd, n, len(next)))
		}
		stream = stream[n:]
	}
	if complete && (len(said) > 0 || len(expected) > 0 && !w.config.Skip) {
		panic(fmt.Sprintf("connection %d lacks %d messages and %d frames of its owner", fd, len(expected), len(said)))
	}
}

// lacking returns the ids of messages that a connection has not got whole.
func (w *world) lacking(fd uint32) []uint32 {
	c, stream := w.conns[fd], w.peers[fd].stream
	expected := c.expected
	for len(stream) >= 9 {
		size := int(binary.BigEndian.Uint32(stream[1:]))
		if len(stream) < size {
			break
		}
		if id := binary.BigEndian.Uint32(stream[5:]); stream[0] == 'M' {
			for len(expected) > 0 && expected[0] <= id {
				expected = expected[1:]
			}
		}
		stream = stream[size:]
	}
	return expected
}

// judge asks whether an overrun was right.
func (w *world) judge(fd uint32, cause Cause) {
	w.overruns++
	if !w.registry.Blocked(fd) || w.config.Skip {
		panic(fmt.Sprintf("connection %d is overrun: blocked %v, skip %v", fd, w.registry.Blocked(fd), w.config.Skip))
	}
	lacking := w.lacking(fd)
	debt := 0
	for _, id := range lacking {
		debt += len(w.frames[id])
	}
	ok := false
	switch cause {
	case OverBytes:
		ok = debt > w.config.LogBytes/4*keepQuarters && len(lacking) > 1
	case OverAge:
		ok = w.now-w.ats[lacking[0]] > int64(w.config.LogAge) && w.now-w.peers[fd].armedAt > int64(w.config.LogAge)
	case OverTotal:
		ok = w.wasOver
	}
	if !ok {
		panic(fmt.Sprintf("connection %d is overrun for %v: it lacks %d messages of %d bytes", fd, cause, len(lacking), debt))
	}
}

func (w *world) gone(fd uint32) {
	w.verify(fd, false)
	w.conns[fd] = nil
	w.closes++
}

// served ends the membership of a connection that got its response.
func (w *world) served(fd uint32, rest []byte) {
	c, p := w.conns[fd], &w.peers[fd]
	got := len(p.stream)
	p.stream = append(p.stream, rest...)
	lacks := len(w.lacking(fd))
	p.stream = p.stream[:got]
	if !getsOnce(fd) || c.channel == "" || lacks == len(c.expected) {
		panic(fmt.Sprintf("connection %d of channel %q was served, and still lacks %d messages", fd, c.channel, lacks))
	}
	had := len(c.expected) - lacks
	c.channel, c.expected = "", c.expected[:had:had]
	w.responses++
	if len(rest) > 0 {
		w.cutResponses++
	}
}

func (w *world) join(fd uint32, name string) {
	if !w.peers[fd].open {
		w.open(fd)
		w.peers[fd].room = 2000
	}
	if w.peers[fd].closing || w.conns[fd] != nil && w.conns[fd].channel != "" {
		return
	}
	if w.peers[fd].owes() && getsOnce(fd) {
		return // its next poll is read when it has the last response
	}
	if w.conns[fd] == nil {
		w.conns[fd] = &conn{}
	}
	w.conns[fd].channel = name
	fresh := w.registry.index.find([]byte(name), hashName([]byte(name))) == 0
	subscribe := w.registry.SubscribeAs
	if getsOnce(fd) {
		subscribe = w.registry.SubscribeOnce
	}
	if err := subscribe(fd, []byte(name), formatOf(fd)); err != nil {
		panic(err)
	}
	if fresh && w.newborn {
		w.setHead(name, ^uint32(0)-3)
	}
}

// leave ends a connection.
func (w *world) leave(fd uint32) {
	if c := w.conns[fd]; c == nil || c.channel == "" || w.peers[fd].closing {
		return
	}
	w.close(fd)
	w.reap()
}

// move ends a membership whose connection lives on, for another channel: the
// rest of a frame that is partly in the socket is the owner's to write.
func (w *world) move(fd uint32) {
	c, p := w.conns[fd], &w.peers[fd]
	if c == nil || c.channel == "" || p.closing {
		return
	}
	if w.registry.MidFrame(fd) {
		w.speak(fd, 9)
	}
	lacking := w.lacking(fd)
	had := len(c.expected) - len(lacking)
	c.expected = c.expected[:had:had]
	for _, id := range lacking {
		frame := w.messages[id].As(formatOf(fd))
		if n := len(p.owedFrame); n > 0 && &frame[len(frame)-1] == &p.owedFrame[n-1] {
			c.expected = append(c.expected, id)
		}
	}
	w.registry.Unsubscribe(fd)
	c.channel = ""
}

func (w *world) post(name string, size int) {
	w.mailbox = append(w.mailbox, func() {
		id, frame := w.frame('M', size)
		members := 0
		for _, c := range w.conns {
			if c != nil && c.channel == name {
				members++ // who is broken but not yet reaped, too
				c.expected = append(c.expected, id)
			}
		}
		receipt := NewReceipt(1)
		w.messages[id] = w.message(name, frame, receipt)
		w.registry.Letter(w.messages[id])
		if got := receipt.Wait(); got != members {
			panic(fmt.Sprintf("a message to %q went to %d members, want %d", name, got, members))
		}
		w.wasOver = w.wasOver || w.registry.bytesTotal > w.config.LogBytesTotal
	})
}

func (w *world) speak(fd uint32, size int) {
	if c := w.conns[fd]; c != nil && !w.peers[fd].closing {
		id, frame := w.frame('C', size)
		c.said = append(c.said, id)
		w.say(fd, frame)
	}
}

// flush checks what Flush reports of a member: a frame of which a part is in the socket
// is not counted.
func (w *world) flush(fd uint32) {
	if c := w.conns[fd]; c == nil || c.channel == "" || w.peers[fd].closing {
		return
	}
	isWhole := w.registry.Flush(fd)
	lacks := len(w.lacking(fd))
	if w.registry.MidFrame(fd) || len(w.peers[fd].owedFrame) > 0 {
		lacks--
	}
	if !w.peers[fd].closing && isWhole != (lacks == 0) && !(w.config.Skip && isWhole) {
		panic(fmt.Sprintf("connection %d lacks %d messages, and Flush says %v", fd, lacks, isWhole))
	}
}

var worldNames = []string{"a", "room/with/a/rather/long/name", "b", "c"}

// step takes one operation from the stream.
func (w *world) step(op, a, b byte) {
	fd := uint32(a)%worldFDs + 1
	name := worldNames[int(b)%len(worldNames)]
	if b >= 64 {
		name = "a" // so that one channel has many members
	}
	p := &w.peers[fd]
	switch op % 16 {
	case 0, 1, 2:
		w.join(fd, name)
	case 3:
		if a >= 128 {
			w.leave(fd)
		} else {
			w.move(fd)
		}
	case 4, 5, 6:
		w.post(name, 9+int(a)/4)
	case 7:
		w.post(name, 500+20*int(a))
	case 8, 9:
		p.room += 64 * int(b)
	case 10:
		if p.open {
			p.script = append(p.script, []int{0, 1, 5, 9, -int(poller.Full)}[int(b)%5])
		}
	case 11:
		if p.open && b < 40 {
			p.broken = poller.Gone
		}
	case 12:
		if a >= 200 {
			w.flush(fd)
		} else {
			w.speak(fd, 9+int(b))
		}
	case 13:
		w.now += int64(b) * int64(5*time.Millisecond)
		w.registry.Tick()
	case 14:
		w.registry.Work()
	case 15:
		w.turn()
	}
}

// run plays a stream of operations and judges the end.
func (w *world) run(ops []byte) {
	for ; len(ops) >= 3; ops = ops[3:] {
		w.step(ops[0], ops[1], ops[2])
		w.check()
	}
	// Everybody reads again.
	for fd := range w.peers {
		w.peers[fd].room, w.peers[fd].script = plenty, nil
	}
	w.settle()
	w.check()
	for fd := range w.conns {
		w.verify(uint32(fd), true)
		if p := &w.peers[fd]; p.open && (p.armed || w.registry.MidFrame(uint32(fd))) {
			panic(fmt.Sprintf("connection %d is at rest: armed %v, in the middle of a frame %v", fd, p.armed, w.registry.MidFrame(uint32(fd))))
		}
	}
	if w.registry.bytesTotal != 0 || w.stats.Logs.Load() != 0 {
		panic(fmt.Sprintf("all is read, and logs hold %d bytes", w.registry.bytesTotal))
	}
	for fd := range w.peers {
		if w.peers[fd].open {
			w.registry.Unsubscribe(uint32(fd))
		}
	}
	w.checkEmpty()
}

func FuzzRegistry(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(byte(seed), randomOps(seed, 200))
	}
	f.Fuzz(func(t *testing.T, choice byte, ops []byte) {
		newWorld(t, choice).run(ops[:min(len(ops), 6000)])
	})
}

// randomOps favours one kind of operation for a while, so that channels grow,
// sockets fill and sweeps fall behind.
func randomOps(seed uint64, steps int) []byte {
	random := rand.New(rand.NewPCG(seed, 10_000_000))
	var ops []byte
	favourite := byte(0)
	for i := range steps {
		if i%20 == 0 {
			favourite = byte(random.Uint32())
		}
		op := byte(random.Uint32())
		if random.IntN(3) == 0 {
			op = favourite
		}
		ops = append(ops, op, byte(random.Uint32()), byte(random.Uint32()))
	}
	return ops
}

var seedFlag = flag.Uint64("seed", 0, "run TestRegistryRandom with this seed only")

// shortSeeds are of make test-quick: all kinds of events are in them.
const shortSeeds = 60

// TestRegistryRandom is FuzzRegistry with seeds, for a plain go test.
func TestRegistryRandom(t *testing.T) {
	seeds, first := uint64(randomSeeds), rand.Uint64()>>16
	if testing.Short() {
		seeds = min(seeds, shortSeeds)
	}
	if *seedFlag != 0 {
		seeds, first = 1, *seedFlag
	}
	overruns, closes, skipped, batches := 0, 0, uint64(0), uint64(0)
	responses, cut := 0, 0
	for seed := first; seed < first+seeds; seed++ {
		func() {
			defer func() {
				if fault := recover(); fault != nil {
					t.Fatalf("seed %d (go test -run TestRegistryRandom -seed %d): %v", seed, seed, fault)
				}
			}()
			w := newWorld(t, byte(seed))
			w.run(randomOps(seed, 1500))
			overruns += w.overruns
			closes += w.closes
			responses += w.responses
			cut += w.cutResponses
			skipped += w.stats.Skipped.Load()
			batches += w.stats.Batches.Load()
		}()
	}
	if seeds > 1 && (overruns == 0 || closes == 0 || skipped == 0 || batches == 0 || cut == 0 || cut == responses) {
		t.Errorf("seeds from %d on: %d overruns, %d closes, %d skipped, %d batches, %d responses, %d of them cut: some of it was never tried",
			first, overruns, closes, skipped, batches, responses, cut)
	}
	t.Logf("%d seeds from %d on: %d overruns, %d closes, %d frames skipped, %d batches", seeds, first, overruns, closes, skipped, batches)
}
