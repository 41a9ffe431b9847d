package channel

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync/atomic"
)

// A Format is the shape in which a member gets its channel's messages. It is one
// byte of the member, and the bytes of a message in it are made once, when the
// first member of that format is served, and shared by all loops.
type Format uint8

// Framed is the frame that Publish makes of every message. What the others are is
// HubConfig.Formats'.
const Framed Format = 0

// FormatsMax bounds the formats.
const FormatsMax = 16

// A Shape is how messages look in a format.
type Shape struct {
	Encode Encoder
	// Join makes one response of several messages, for members that are given only one
	// (Registry.SubscribeOnce); nil: nobody subscribes so.
	Join func(messages []*Message) []byte
}

// An Encoder makes the bytes that all members of one format get for a message.
// Loops call it at the same time, also for one message. It must not keep or
// return what the message lends it, and takes time in proportion to the payload.
type Encoder func(message *Message) []byte

// alternates are the bytes of a message in the formats but Framed, made when they
// are wanted; so is the list of them.
type alternates struct {
	all atomic.Pointer[[FormatsMax]atomic.Pointer[[]byte]]
}

func (a *alternates) of(format Format) *atomic.Pointer[[]byte] {
	all := a.all.Load()
	if all == nil {
		all = new([FormatsMax]atomic.Pointer[[]byte])
		if !a.all.CompareAndSwap(nil, all) {
			all = a.all.Load()
		}
	}
	return &all[format]
}

// As returns the message's bytes in a format. They are shared: not to be changed.
func (m *Message) As(format Format) []byte {
	if format == Framed {
		return m.frame
	}
	return m.encoded(format)
}

// encoded is As for the other formats. Two loops may both encode a message; one
// result is kept, since a member may stand in the middle of it.
func (m *Message) encoded(format Format) []byte {
	kept := m.alternates.of(format)
	if bytes := kept.Load(); bytes != nil {
		return *bytes
	}
	bytes := m.hub.config.Formats[format].Encode(m)
	if !kept.CompareAndSwap(nil, &bytes) {
		return *kept.Load()
	}
	return bytes
}

// Name, Payload and AppendID are what an Encoder may look at. The slices are
// shared: not to be changed.

// Name is the message's channel.
func (m *Message) Name() []byte { return m.name }

// Payload is what was published.
func (m *Message) Payload() []byte { return m.frame[len(m.frame)-int(m.payloadBytes):] }

// AppendID appends the message's id: the life of the process, a hyphen, and a
// number that ascends along each channel.
func (m *Message) AppendID(to []byte) []byte { return m.hub.appendPosition(to, m.number) }

// newLife names a process's life: positions of another one mean nothing here.
func newLife() string { return strings.ToLower(rand.Text()[:lifeBytes]) }

func (h *Hub) appendPosition(to []byte, number uint64) []byte {
	to = append(append(to, h.life...), '-')
	return strconv.AppendUint(to, number, 10)
}
