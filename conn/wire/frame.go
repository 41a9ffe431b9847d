package wire

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// headerBytesMax is the longest frame header: 2 bytes, 8 of length, 4 of mask
// (RFC 6455, 5.2).
const headerBytesMax = 14

// parseHeader reads a frame header from the front of p. size is its length in
// bytes; 0 means that p is too short to tell. The only error it knows is a
// length of more than 63 bits; what a header may say is CheckHeader's matter.
func parseHeader(p []byte) (h ws.Header, size int, err error) {
	if len(p) < 2 {
		return h, 0, nil
	}
	h.Fin = p[0]&0x80 != 0
	h.Rsv = p[0] >> 4 & 7
	h.OpCode = ws.OpCode(p[0] & 0x0f)
	h.Masked = p[1]&0x80 != 0
	size = 2
	switch length := p[1] & 0x7f; length {
	case 126:
		if len(p) < 4 {
			return h, 0, nil
		}
		h.Length = int64(binary.BigEndian.Uint16(p[2:]))
		size = 4
	case 127:
		if len(p) < 10 {
			return h, 0, nil
		}
		if p[2]&0x80 != 0 {
			return h, 0, ws.ErrHeaderLengthMSB
		}
		h.Length = int64(binary.BigEndian.Uint64(p[2:]))
		size = 10
	default:
		h.Length = int64(length)
	}
	if h.Masked {
		if len(p) < size+4 {
			return h, 0, nil
		}
		copy(h.Mask[:], p[size:])
		size += 4
	}
	return h, size, nil
}

// minimal reports whether a header of this size uses as few bytes for its
// length as it can ("the minimal number of bytes MUST be used", RFC 6455, 5.2).
func minimal(h ws.Header, size int) bool {
	if h.Masked {
		size -= 4
	}
	switch size {
	case 4:
		return h.Length > 125
	case 10:
		return h.Length > 0xffff
	}
	return true
}

// AppendFrame appends a whole unmasked frame, as a server sends it (RFC 6455, 5.1 and
// 5.2).
func AppendFrame(p []byte, opcode ws.OpCode, payload []byte) []byte {
	p = append(p, 0x80|byte(opcode))
	switch n := len(payload); {
	case n <= 125:
		p = append(p, byte(n))
	case n <= 0xffff:
		p = append(p, 126)
		p = binary.BigEndian.AppendUint16(p, uint16(n))
	default:
		p = append(p, 127)
		p = binary.BigEndian.AppendUint64(p, uint64(n))
	}
	return append(p, payload...)
}

// AppendClose appends a close frame with a code and a sentence, which fit a control frame
// (RFC 6455, 5.5.1).
func AppendClose(p []byte, code uint16, text string) []byte {
	return AppendFrame(p, ws.OpClose, append([]byte{byte(code >> 8), byte(code)}, text...))
}

// FrameMode says how payloads are framed: the opcode of a data frame (RFC 6455, 5.6).
type FrameMode uint8

const (
	// FrameAuto makes text frames of valid UTF-8 and binary frames of the rest.
	FrameAuto FrameMode = iota
	// FrameText makes text frames of everything. A browser closes the
	// connection at the first one that is not UTF-8.
	FrameText
	// FrameBinary makes binary frames of everything.
	FrameBinary
)

// Frame returns the one unmasked frame for a payload that all members share.
func (mode FrameMode) Frame(payload []byte) []byte {
	return AppendFrame(make([]byte, 0, len(payload)+10), mode.Opcode(payload), payload)
}

// Opcode is that of the frame of a payload.
func (mode FrameMode) Opcode(payload []byte) ws.OpCode {
	if mode == FrameBinary || mode == FrameAuto && !utf8.Valid(payload) {
		return ws.OpBinary
	}
	return ws.OpText
}
