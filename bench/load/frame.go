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

// A violation is a way in which a server breaks RFC 6455; 0 is none.
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
	violations
)

var violationNames = [violations]string{
	"none", "masked frame", "reserved bits", "unknown opcode", "bad control frame",
	"bad length", "bad fragment order", "bad close payload",
}

// A sink takes what a frameReader finds. Arguments are lent until the return.
type sink interface {
	message(fd uint32, d *digest)
	control(fd uint32, opcode byte, payload []byte)
}

// A frameReader takes the bytes of connections, cut anywhere. One belongs to a
// loop. A connection between two frames has no state at all; one that stands
// inside a frame or a fragmented message has a partial, until it ends.
type frameReader struct {
	// Fixed after construction.
	sink   sink
	hashed bool // --print: tell unstamped messages apart
	// stream takes the payloads of data messages as they come, if the dialect
	// has messages that frames do not tell apart; the sink gets none then.
	stream func(fd uint32, opcode byte, piece []byte)

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

// feed takes the next bytes of a connection and returns its new place. held is
// what the last call returned. After a violation nothing more may be fed.
func (r *frameReader) feed(fd uint32, held *partial, p []byte) (*partial, violation) {
	for len(p) > 0 {
		if held == nil {
			h, n, v := parseHeader(p)
			if v != violationNone {
				return nil, v
			}
			if n > 0 && h.fin && h.opcode != opContinuation && uint64(len(p)-n) >= h.length {
				end := n + int(h.length)
				r.deliver(fd, h.opcode, p[n:end])
				p = p[end:]
				continue
			}
			held = r.take()
		}
		n, v := r.advance(fd, held, p)
		if v != violationNone {
			r.release(held)
			return nil, v
		}
		p = p[n:]
		if !held.inMessage && !held.inFrame && held.headerBytes == 0 {
			r.release(held)
			held = nil
		}
	}
	return held, violationNone
}

// deliver is the common case: one frame, one message, in one piece.
func (r *frameReader) deliver(fd uint32, opcode byte, payload []byte) {
	if opcode&controlBit != 0 {
		r.sink.control(fd, opcode, payload)
		return
	}
	if r.stream != nil {
		r.stream(fd, opcode, payload)
		return
	}
	r.whole.reset(opcode)
	r.whole.add(payload, r.hashed)
	r.whole.end()
	r.sink.message(fd, &r.whole)
}

// advance moves on by up to one frame and returns how many bytes it took.
func (r *frameReader) advance(fd uint32, held *partial, p []byte) (n int, v violation) {
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
	if held.frame.opcode&controlBit != 0 {
		held.controlBytes += copy(held.control[held.controlBytes:], piece)
		if held.remaining == 0 {
			held.inFrame = false
			r.sink.control(fd, held.frame.opcode, held.control[:held.controlBytes])
			held.controlBytes = 0
		}
		return n, violationNone
	}
	if r.stream != nil {
		r.stream(fd, held.digest.opcode, piece)
	} else {
		held.digest.add(piece, r.hashed)
	}
	if held.remaining > 0 {
		return n, violationNone
	}
	held.inFrame = false
	if held.frame.fin {
		held.inMessage = false
		if r.stream == nil {
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

func (r *frameReader) take() *partial {
	last := len(r.free) - 1
	if last < 0 {
		return &partial{}
	}
	held := r.free[last]
	r.free = r.free[:last]
	return held
}

// release gives a partial back, also of a connection that is gone.
func (r *frameReader) release(held *partial) {
	held.headerBytes, held.controlBytes = 0, 0
	held.inFrame, held.inMessage = false, false
	r.free = append(r.free, held)
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
