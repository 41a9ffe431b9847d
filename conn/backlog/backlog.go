// Package backlog is what connections are owed of channels outside their logs: the rest of
// a frame that is partly in a socket, and messages of the history. It knows no session and
// writes nothing.
package backlog

import (
	"sync/atomic"

	"c10m/channel"
	"c10m/poller"
)

// bytesPerWriteMax bounds what one write brings of the history, as a sweep's writes are
// bounded.
const bytesPerWriteMax = 256 << 10

// Pins are the frames that connections hold after their logs let go of them
// (channel.Registry.Hold): nothing else bounds readers that are slow in the middle of large
// frames and say a word each. Many connections may hold one frame, which is counted once: a
// frame is known by its last byte, which the rests of it share.
type Pins struct {
	// Gauge counts the bytes. Fixed after construction.
	Gauge *atomic.Int64

	frames map[*byte]pin
}

type pin struct{ holders, bytes int }

// Bytes are those of all frames that are held, as far as they were still owed; Frames is
// how many these are.
func (p *Pins) Bytes() int  { return int(p.Gauge.Load()) }
func (p *Pins) Frames() int { return len(p.frames) }

// Add counts a holder of the frame that rest, which is not empty, is the end of.
func (p *Pins) Add(rest []byte) {
	if p.frames == nil {
		p.frames = make(map[*byte]pin)
	}
	last := &rest[len(rest)-1]
	held := p.frames[last]
	p.frames[last] = pin{held.holders + 1, max(held.bytes, len(rest))}
	p.Gauge.Add(int64(max(0, len(rest)-held.bytes)))
}

// Remove is the opposite of Add, for what is left of the same rest.
func (p *Pins) Remove(rest []byte) {
	last := &rest[len(rest)-1]
	held := p.frames[last]
	if held.holders--; held.holders > 0 {
		p.frames[last] = held
		return
	}
	delete(p.frames, last)
	p.Gauge.Add(-int64(held.bytes))
}

// A Backlog is what a member lacks of the history. The zero value is nothing.
type Backlog struct {
	messages []*channel.Message
	format   channel.Format
	pins     *Pins // they count there, if it is not nil
	due      int64 // when they have to be written, then
}

// New is a backlog of messages, of which it takes the slice.
func New(messages []*channel.Message, format channel.Format) Backlog {
	return Backlog{messages: messages, format: format}
}

// Len is how many messages it has, IsPinned reports whether Pin was called, and IsLate
// whether its time is over then.
func (b *Backlog) Len() int              { return len(b.messages) }
func (b *Backlog) IsPinned() bool        { return b.pins != nil }
func (b *Backlog) IsLate(now int64) bool { return b.pins != nil && now >= b.due }

// Pieces are its next write, in the room that is given. Whoever has written them clears
// them, so that they hold no frames.
func (b *Backlog) Pieces(room []poller.Piece) []poller.Piece {
	pieces, bytes := room[:0], 0
	for _, message := range b.messages {
		frame := message.As(b.format)
		pieces = append(pieces, poller.Piece{Frame: frame, IsShared: true})
		if bytes += len(frame); len(pieces) == cap(pieces) || bytes >= bytesPerWriteMax {
			break
		}
	}
	return pieces
}

// Advance drops what n bytes of a write have brought and returns how many messages that
// were, and the rest of one that is partly written.
func (b *Backlog) Advance(n int) (messages int, rest []byte) {
	for n > 0 {
		frame := b.messages[0].As(b.format)
		if b.pins != nil {
			b.pins.Remove(frame)
		}
		b.messages[0] = nil
		b.messages = b.messages[1:]
		messages++
		rest = frame[min(n, len(frame)):]
		n -= len(frame)
	}
	return messages, rest
}

// Pin counts what a client did not take at once, since nothing else bounds it: the history
// may drop it meanwhile. It has to be written until due. Drop ends that.
func (b *Backlog) Pin(pins *Pins, due int64) {
	b.pins, b.due = pins, due
	for _, message := range b.messages {
		pins.Add(message.As(b.format))
	}
}

// Drop forgets what was still to be written.
func (b *Backlog) Drop() {
	if b.pins != nil {
		for _, message := range b.messages {
			b.pins.Remove(message.As(b.format))
		}
	}
	*b = Backlog{}
}
