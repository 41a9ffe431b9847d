package load

import "encoding/binary"

// Opcodes and bits of RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	finBit      = 0x80
	reservedBit = 0x70
	controlBit  = 0x08
	maskBit     = 0x80

	controlBytesMax = 125 // RFC 6455 section 5.5
	headerBytesMax  = 10  // of an unmasked frame
)

// A violation is a way in which a server breaks its protocol, RFC 6455 where nothing else is said; 0 is none.
type violation uint8

const (
	violationNone     violation = iota
	violationMasked             // section 5.1: a server must not mask
	violationReserved           // section 5.2: RSV bits without an extension
	violationOpcode             // section 5.2: unknown opcode
	violationControl            // section 5.5: control frame too long or fragmented
	violationLength             // section 5.2: not the shortest length, or absurd
	violationOrder              // section 5.4: continuation of nothing, or text inside a message
	violationClose              // section 5.5.1: close payload
	violationEvents             // HTML Standard, 9.2.5: see events.go
	violations
)

var violationNames = [violations]string{
	"none", "masked frame", "reserved bits", "unknown opcode", "bad control frame",
	"bad length", "bad fragment order", "bad close payload", "bad event",
}

// A sink takes what a reader finds. Arguments are lent until the return.
type sink interface {
	message(fd uint32, d *digest)
	control(fd uint32, opcode byte, payload []byte)
	// piece is a piece of a data message, the last of it or not. held is the
	// connection's place.
	piece(fd uint32, held *partial, p []byte, isLast bool)
	// ownEvent is what a server says for itself in a stream of events.
	ownEvent(fd uint32, kind eventKind, text []byte)
}

// A reader takes the bytes of connections, cut anywhere. One belongs to a
// loop. A connection between two messages has no state at all; one that stands
// inside of what the reader has to remember has a partial, until that ends.
type reader struct {
	// Fixed after construction.
	sink   sink
	hashed bool // --print: tell unstamped messages apart
	// inPieces gives the sink data messages as they come, if the dialect has
	// messages that frames do not tell apart.
	inPieces bool

	// Owned by the loop.
	whole digest     // of the message that came in one piece
	free  []*partial // for the next, so that cut frames make no garbage
}

// A partial is a connection's place inside a frame or a message.
type partial struct {
	header      [headerBytesMax]byte
	headerBytes int
	inFrame     bool
	frame       frameHeader
	remaining   uint64 // payload bytes of this frame that are yet to come

	inMessage bool // a data frame has begun a message that has not ended
	digest    digest

	control      [controlBytesMax]byte
	controlBytes int

	scan  scan  // in messages that come in pieces
	event event // in a stream of events
}

// isBetween reports whether no frame and no message has begun.
func (held *partial) isBetween() bool {
	return !held.inMessage && !held.inFrame && held.headerBytes == 0
}

type frameHeader struct {
	fin    bool
	opcode byte
	length uint64
}

// parseHeader reads a frame header. n is 0 if p ends before the header does.
func parseHeader(p []byte) (h frameHeader, n int, v violation) {
	if len(p) < 2 {
		return h, 0, violationNone
	}
	h.fin, h.opcode = p[0]&finBit != 0, p[0]&0x0F
	h.length, n = uint64(p[1]&^maskBit), 2
	switch {
	case p[0]&reservedBit != 0:
		return h, 0, violationReserved
	case h.opcode > opPong || h.opcode > opBinary && h.opcode < opClose:
		return h, 0, violationOpcode
	case p[1]&maskBit != 0:
		return h, 0, violationMasked
	case h.opcode&controlBit != 0 && (!h.fin || h.length > controlBytesMax):
		return h, 0, violationControl
	}
	switch h.length {
	case 126:
		if len(p) < 4 {
			return h, 0, violationNone
		}
		h.length, n = uint64(binary.BigEndian.Uint16(p[2:])), 4
		if h.length < 126 {
			return h, 0, violationLength
		}
	case 127:
		if len(p) < 10 {
			return h, 0, violationNone
		}
		h.length, n = binary.BigEndian.Uint64(p[2:]), 10
		if h.length < 1<<16 || h.length > messageBytesMax {
			return h, 0, violationLength
		}
	}
	return h, n, violationNone
}

// frames takes the next bytes of a connection that gets frames and returns its new
// place. held is what the last call returned. After a violation nothing more may be fed.
func (r *reader) frames(fd uint32, held *partial, p []byte) (*partial, violation) {
	if r.inPieces && held == nil {
		held = r.take()
	}
	for len(p) > 0 {
		if held == nil || held.isBetween() {
			h, n, v := parseHeader(p)
			if v != violationNone {
				return r.release(held), v
			}
			if n > 0 && h.fin && h.opcode != opContinuation && uint64(len(p)-n) >= h.length {
				end := n + int(h.length)
				r.deliver(fd, held, h.opcode, p[n:end])
				p = p[end:]
				continue
			}
			if held == nil {
				held = r.take()
			}
		}
		n, v := r.advance(fd, held, p)
		if v != violationNone {
			return r.release(held), v
		}
		p = p[n:]
		if held.isBetween() && !r.inPieces {
			held = r.release(held)
		}
	}
	if r.inPieces && held.isBetween() && held.scan.idle() {
		held = r.release(held)
	}
	return held, violationNone
}

// deliver is the common case: one frame, one message, in one piece.
func (r *reader) deliver(fd uint32, held *partial, opcode byte, payload []byte) {
	if opcode&controlBit != 0 {
		r.sink.control(fd, opcode, payload)
		return
	}
	if r.inPieces {
		held.digest.opcode = opcode
		r.sink.piece(fd, held, payload, true)
		return
	}
	r.whole.reset(opcode)
	r.whole.add(payload, r.hashed)
	r.whole.end()
	r.sink.message(fd, &r.whole)
}

// advance moves on by up to one frame and returns how many bytes it took.
func (r *reader) advance(fd uint32, held *partial, p []byte) (n int, v violation) {
	if !held.inFrame {
		n, v = held.addHeader(p)
		if v != violationNone || !held.inFrame {
			return n, v
		}
	}
	piece := p[n:]
	if uint64(len(piece)) > held.remaining {
		piece = piece[:held.remaining]
	}
	held.remaining -= uint64(len(piece))
	n += len(piece)
	held.inFrame = held.remaining > 0
	if held.frame.opcode&controlBit != 0 {
		held.controlBytes += copy(held.control[held.controlBytes:], piece)
		if !held.inFrame {
			r.sink.control(fd, held.frame.opcode, held.control[:held.controlBytes])
			held.controlBytes = 0
		}
		return n, violationNone
	}
	isLast := !held.inFrame && held.frame.fin
	held.inMessage = !isLast
	switch {
	case r.inPieces:
		r.sink.piece(fd, held, piece, isLast)
	default:
		if held.digest.add(piece, r.hashed); isLast {
			held.digest.end()
			r.sink.message(fd, &held.digest)
		}
	}
	return n, violationNone
}

// addHeader takes header bytes until the header is whole.
func (held *partial) addHeader(p []byte) (n int, v violation) {
	before := held.headerBytes
	held.headerBytes += copy(held.header[before:], p)
	h, size, v := parseHeader(held.header[:held.headerBytes])
	if v != violationNone {
		return 0, v
	}
	if size == 0 {
		return held.headerBytes - before, violationNone
	}
	held.headerBytes = 0
	held.frame, held.remaining, held.inFrame = h, h.length, true
	switch {
	case h.opcode&controlBit != 0:
	case (h.opcode == opContinuation) != held.inMessage:
		return 0, violationOrder
	case h.opcode != opContinuation:
		held.inMessage = true
		held.digest.reset(h.opcode)
	}
	return size - before, violationNone
}

func (r *reader) take() *partial {
	last := len(r.free) - 1
	if last < 0 {
		return &partial{}
	}
	held := r.free[last]
	r.free = r.free[:last]
	return held
}

// release takes a partial back, also of a connection that is gone, and returns nil.
func (r *reader) release(held *partial) *partial {
	if held != nil {
		held.headerBytes, held.controlBytes = 0, 0
		held.inFrame, held.inMessage = false, false
		held.scan.reset()
		held.event.reset()
		r.free = append(r.free, held)
	}
	return nil
}

// appendMasked appends a frame of less than 64 KiB as a client sends it (RFC
// 6455 section 5.3). The key is any number.
func appendMasked(dst []byte, opcode byte, payload []byte, key uint32) []byte {
	if len(payload) < 126 {
		dst = append(dst, finBit|opcode, maskBit|byte(len(payload)))
	} else {
		dst = append(dst, finBit|opcode, maskBit|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(payload)))
	}
	dst = binary.BigEndian.AppendUint32(dst, key)
	mask := dst[len(dst)-4:]
	for i, c := range payload {
		dst = append(dst, c^mask[i&3])
	}
	return dst
}
