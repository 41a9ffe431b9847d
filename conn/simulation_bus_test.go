package conn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"c10m/channel"

	"github.com/gobwas/ws"
)

const (
	// simBusMax is where the bus of a simulation refuses, and half of it where
	// it holds clients back.
	simBusMax = 9
	// simSaidBytesMax is the longest message of a client in a simulation.
	simSaidBytesMax = 700
)

// A simBus is the channel.Publisher of a simulation. It checks what clients say, and
// has it published when the simulation says so.
type simBus struct {
	*simulation
	feedback channel.Feedback
	pending  []simSaid
	waiting  bool
}

type simSaid struct {
	from    uint64
	channel int
}

// Publish takes a message that begins with its client's number and its own.
func (b *simBus) Publish(from uint64, channel, payload []byte) bool {
	if len(b.pending) == simBusMax {
		return false
	}
	if len(payload) < 16 {
		b.failf("the bus has a message of %d bytes", len(payload))
	}
	client, number := binary.BigEndian.Uint64(payload), binary.BigEndian.Uint64(payload[8:])
	c := b.clients[client]
	if number != c.heard+1 || number > c.said || string(channel) != string(rune('c'))+string(rune('0'+c.channel)) {
		b.failf("the bus hears message %d of client %d on %q, which said %d, after %d", number, client, channel, c.said, c.heard)
	}
	if rest := payload[16:]; len(bytes.Trim(rest, "y")) > 0 {
		b.failf("message %d of client %d is not what it said: %q", number, client, rest)
	}
	c.heard++
	b.pending = append(b.pending, simSaid{from, c.channel})
	return true
}

// PublishAnswered is for who posts, and the clients of a simulation do not.
func (b *simBus) PublishAnswered(uint64, []byte, []byte, []byte) bool {
	b.failf("a client that says its messages posts one")
	return false
}

func (b *simBus) Full() bool {
	b.waiting = b.waiting || len(b.pending) >= simBusMax/2
	return len(b.pending) >= simBusMax/2
}

// take publishes up to n messages, or fails them.
func (b *simBus) take(n int, fail bool) {
	var failed []channel.Outcome
	for ; n > 0 && len(b.pending) > 0; n-- {
		first := b.pending[0]
		b.pending = b.pending[1:]
		if fail {
			failed = append(failed, channel.Outcome{From: first.from, Channel: fmt.Appendf(nil, "c%d", first.channel), Fate: channel.FateUnconfirmed})
		} else {
			b.publishOn(first.channel)
		}
	}
	if failed != nil {
		b.feedback.PublishFailed(failed)
	}
	if b.waiting && len(b.pending) <= simBusMax/4 {
		b.waiting = false
		b.feedback.Room()
	}
}

// say has a client say its next message, in up to three fragments.
func (s *simulation) say(c *simClient) {
	c.said++
	at := 0
	for s.clients[at] != c {
		at++
	}
	payload := binary.BigEndian.AppendUint64(nil, uint64(at))
	payload = binary.BigEndian.AppendUint64(payload, c.said)
	payload = append(payload, bytes.Repeat([]byte{'y'}, s.random.IntN(simSaidBytesMax-16+1))...)
	opcode := ws.OpBinary
	for range s.random.IntN(3) {
		n := s.random.IntN(len(payload) + 1)
		c.toSend = append(c.toSend, ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(opcode, false, bytes.Clone(payload[:n]))))...)
		payload, opcode = payload[n:], ws.OpContinuation
	}
	c.toSend = append(c.toSend, ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(opcode, true, bytes.Clone(payload))))...)
}

// FuzzConnection is the simulation with the choices of a fuzzer: connections
// that open, ask, speak, publish, read, and leave, over a kernel that fails.
func FuzzConnection(f *testing.F) {
	fuzzChoices(f, func(t *testing.T, seed uint64, choices *rand.Rand, more func() bool) {
		s := newSimulation(t, seed, seed%2 == 1)
		s.random = choices
		s.run(more)
	})
}
