package conn

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A sink takes what an inbound stream says. Payloads are lent until it returns.
type sink interface {
	ping(payload []byte)
	pong()
	// closed is told the code of a valid close frame, 0 if it had none.
	closed(code uint16)
	// accepts is asked at the head of every data frame: how many bytes a
	// message may have, and whether its payload is wanted.
	accepts() (bytesMax int64, isWanted bool)
	// message tells of a complete, valid data message; payload is nil if it was
	// not wanted. The result is reasonNone or why the connection has to end.
	message(opcode ws.OpCode, payload []byte) Reason
}

// inbound is where a client's byte stream stands. Between whole messages it is
// its zero value, and nothing is kept for the connection.
type inbound struct {
	head     [headerBytesMax]byte // a header of which only a part is there
	headSize uint8

	inFrame   bool
	header    ws.Header
	remaining int64 // bytes of the frame's payload still to come
	masked    int   // bytes of it so far: the place in the mask

	control     [ws.MaxControlFramePayloadSize]byte
	controlSize uint8

	opcode  ws.OpCode // of the message under way, 0 if none
	size    int64     // of its payload so far
	wanted  bool      // its payload
	payload []byte    // of it so far, if it is wanted and in pieces
	text    utf8Stream
	stopped bool // a close frame came: nothing after it counts (RFC 6455, 5.5.1)
}

// between reports whether the stream stands between messages, with nothing to
// remember.
func (in *inbound) between() bool {
	return in.headSize == 0 && !in.inFrame && in.opcode == 0 && !in.stopped
}

// feed takes the next bytes of the stream, unmasks them in place and tells to
// what they say. The result is reasonNone or why the connection has to end, and rest
// what it has not looked at then. It may be fed again, unless the stream is broken
// (ProtocolError, InvalidUTF8).
func (in *inbound) feed(p []byte, to sink) (rest []byte, reason Reason) {
	for len(p) > 0 && !in.stopped && reason == reasonNone {
		if in.inFrame {
			p, reason = in.feedPayload(p, to)
		} else {
			p, reason = in.feedHeader(p, to)
		}
	}
	return p, reason
}

// feedHeader reads a header and returns what follows it.
func (in *inbound) feedHeader(p []byte, to sink) (rest []byte, reason Reason) {
	from := p
	if in.headSize > 0 {
		copied := copy(in.head[in.headSize:], p)
		from = in.head[:int(in.headSize)+copied]
	}
	h, size, err := parseHeader(from)
	if err != nil {
		return nil, ProtocolError
	}
	if size == 0 {
		// Even of a partial header the first byte may be wrong already, but
		// the rest comes soon or never; the sweep of pings finds the dead.
		in.headSize = uint8(copy(in.head[:], from))
		return nil, reasonNone
	}
	rest = p[size-int(in.headSize):]
	in.headSize = 0
	reason = in.begin(h, size, to)
	if reason == reasonNone && in.remaining == 0 {
		reason = in.end(nil, to)
	}
	return rest, reason
}

// begin checks a header and enters its frame.
func (in *inbound) begin(h ws.Header, size int, to sink) (reason Reason) {
	state := ws.StateServerSide
	if in.opcode != 0 {
		state = state.Set(ws.StateFragmented)
	}
	if ws.CheckHeader(h, state) != nil || !minimal(h, size) {
		return ProtocolError
	}
	if !h.OpCode.IsControl() {
		if h.OpCode != ws.OpContinuation {
			in.opcode = h.OpCode
		}
		bytesMax, isWanted := to.accepts()
		// Before the payload comes: a client learns it without sending it.
		if h.Length > bytesMax-in.size {
			reason = MessageTooBig
		}
		in.size += h.Length
		in.wanted = isWanted
	}
	in.header, in.remaining, in.masked, in.inFrame = h, h.Length, 0, true
	return reason
}

// feedPayload takes payload bytes and returns what follows the frame.
func (in *inbound) feedPayload(p []byte, to sink) (rest []byte, reason Reason) {
	n := int(min(in.remaining, int64(len(p))))
	part, rest := p[:n], p[n:]
	ws.Cipher(part, in.header.Mask, in.masked)
	in.masked += n
	in.remaining -= int64(n)
	if in.header.OpCode.IsControl() {
		if in.remaining > 0 || in.controlSize > 0 {
			in.controlSize += uint8(copy(in.control[in.controlSize:], part))
			part = in.control[:in.controlSize]
		}
	} else if in.opcode == ws.OpText && !in.text.write(part) {
		// As soon as it is certain, not at the end (RFC 6455, 8.1).
		return nil, InvalidUTF8
	} else if in.wanted && (in.remaining > 0 || !in.header.Fin || len(in.payload) > 0) {
		in.keep(part)
	}
	if in.remaining > 0 {
		return rest, reasonNone
	}
	return rest, in.end(part, to)
}

// keep appends to the payload. Its memory doubles, so that what comes in pieces is
// copied twice at the most, however small they are, and a client gets at most twice
// the memory that it has sent bytes. Only in the last frame is it known how much is to
// come: to grow to what is announced before would be a copy for each frame.
func (in *inbound) keep(part []byte) {
	if need := len(in.payload) + len(part); need > cap(in.payload) {
		size := max(need, 2*cap(in.payload))
		if in.header.Fin {
			size = min(size, int(in.size))
		}
		grown := make([]byte, len(in.payload), size)
		copy(grown, in.payload)
		in.payload = grown
	}
	in.payload = append(in.payload, part...)
}

// end leaves a frame whose payload is complete. part is the payload of a control
// frame, and of a message that came in one piece.
func (in *inbound) end(part []byte, to sink) Reason {
	in.inFrame = false
	in.controlSize = 0
	switch in.header.OpCode {
	case ws.OpPing:
		to.ping(part)
	case ws.OpPong:
		to.pong()
	case ws.OpClose:
		return in.endClose(part, to)
	default:
		if !in.header.Fin {
			return reasonNone
		}
		if !in.text.complete() {
			return InvalidUTF8
		}
		opcode, payload := in.opcode, in.payload
		if payload == nil && in.wanted {
			payload = part
		}
		in.opcode, in.size, in.payload = 0, 0, nil
		return to.message(opcode, payload)
	}
	return reasonNone
}

// endClose checks a close frame's payload (RFC 6455, 5.5.1 and 7.4).
func (in *inbound) endClose(payload []byte, to sink) Reason {
	in.stopped = true
	switch {
	case len(payload) == 0:
		to.closed(0)
		return reasonNone
	case len(payload) == 1:
		return ProtocolError
	}
	code := binary.BigEndian.Uint16(payload)
	if !validCloseCode(code) {
		return ProtocolError
	}
	if !utf8.Valid(payload[2:]) {
		return InvalidUTF8
	}
	to.closed(code)
	return reasonNone
}

// validCloseCode reports whether a peer may send code: RFC 6455, 7.4, and what
// IANA registered since (1012 to 1014), which the library does not know.
func validCloseCode(code uint16) bool {
	if code >= 1012 && code <= 1014 {
		return true
	}
	return code < 5000 && ws.CheckCloseFrameData(ws.StatusCode(code), "") == nil
}

// utf8Stream checks UTF-8 that comes in pieces cut anywhere.
type utf8Stream struct {
	tail     [utf8.UTFMax]byte // the beginning of a rune whose rest is to come
	tailSize uint8
}

// write takes the next piece and reports whether all so far can be UTF-8.
func (u *utf8Stream) write(p []byte) bool {
	for u.tailSize > 0 && len(p) > 0 {
		u.tail[u.tailSize] = p[0]
		u.tailSize++
		p = p[1:]
		if whole := u.tail[:u.tailSize]; utf8.FullRune(whole) {
			if !utf8.Valid(whole) {
				return false
			}
			u.tailSize = 0
		}
	}
	for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
		last := p[len(p)-back:]
		if utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				u.tailSize = uint8(copy(u.tail[:], last))
				p = p[:len(p)-back]
			}
			break
		}
	}
	return utf8.Valid(p)
}

// complete reports whether no rune is unfinished, and starts anew.
func (u *utf8Stream) complete() bool {
	whole := u.tailSize == 0
	u.tailSize = 0
	return whole
}
