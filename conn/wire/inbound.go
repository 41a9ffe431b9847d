package wire

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A Sink takes what a client's frames say. Payloads are lent until it returns.
type Sink interface {
	Ping(payload []byte)
	Pong()
	// Closed is told the code of a valid close frame, 0 if it had none.
	Closed(code uint16)
	// Accepts is asked at the head of every data frame: how many bytes a
	// message may have, and whether its payload is wanted.
	Accepts() (bytesMax int64, isWanted bool)
	// Message tells of a complete, valid data message; payload is nil if it was
	// not wanted. false ends the stream with FaultRefused.
	Message(opcode ws.OpCode, payload []byte) (taken bool)
}

// An Inbound is the parser of what a client says over a WebSocket (RFC 6455, 5), and
// where its stream stands. Between whole messages it is its zero value, and nothing has
// to be kept for the connection.
type Inbound struct {
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
	stopped bool // a close frame came
}

// Between reports whether the stream stands between messages, with nothing to
// remember.
func (in *Inbound) Between() bool {
	return in.headSize == 0 && !in.inFrame && in.opcode == 0 && !in.stopped
}

// IsClosed reports whether a close frame came: nothing after it counts (RFC 6455, 5.5.1).
func (in *Inbound) IsClosed() bool { return in.stopped }

// Remaining is how many bytes of the frame at hand are still to come, 0 between frames.
func (in *Inbound) Remaining() int64 { return in.remaining }

// KeptBytes is the memory that it holds for a message in pieces.
func (in *Inbound) KeptBytes() int { return cap(in.payload) }

// Unwant drops what is kept of the message at hand, which is not wanted any more.
func (in *Inbound) Unwant() { in.payload, in.wanted = nil, false }

// Feed takes the next bytes of the stream, unmasks them in place and tells to what they
// say. The result is FaultNone or why the stream has to end, and rest what it has not
// looked at then. It may be fed again, unless the stream is broken (FaultFrame,
// FaultText).
func (in *Inbound) Feed(p []byte, to Sink) (rest []byte, fault Fault) {
	for len(p) > 0 && !in.stopped && fault == FaultNone {
		if in.inFrame {
			p, fault = in.feedPayload(p, to)
		} else {
			p, fault = in.feedHeader(p, to)
		}
	}
	return p, fault
}

func (in *Inbound) feedHeader(p []byte, to Sink) (rest []byte, fault Fault) {
	from := p
	if in.headSize > 0 {
		copied := copy(in.head[in.headSize:], p)
		from = in.head[:int(in.headSize)+copied]
	}
	h, size, err := parseHeader(from)
	if err != nil {
		return nil, FaultFrame
	}
	if size == 0 {
		// Even of a partial header the first byte may be wrong already, but
		// the rest comes soon or never; the sweep of pings finds the dead.
		in.headSize = uint8(copy(in.head[:], from))
		return nil, FaultNone
	}
	rest = p[size-int(in.headSize):]
	in.headSize = 0
	fault = in.begin(h, size, to)
	if fault == FaultNone && in.remaining == 0 {
		fault = in.end(nil, to)
	}
	return rest, fault
}

func (in *Inbound) begin(h ws.Header, size int, to Sink) (fault Fault) {
	state := ws.StateServerSide
	if in.opcode != 0 {
		state = state.Set(ws.StateFragmented)
	}
	if ws.CheckHeader(h, state) != nil || !minimal(h, size) {
		return FaultFrame
	}
	if !h.OpCode.IsControl() {
		if h.OpCode != ws.OpContinuation {
			in.opcode = h.OpCode
		}
		bytesMax, isWanted := to.Accepts()
		// Before the payload comes: a client learns it without sending it.
		if h.Length > bytesMax-in.size {
			fault = FaultMessage
		}
		in.size += h.Length
		in.wanted = isWanted
	}
	in.header, in.remaining, in.masked, in.inFrame = h, h.Length, 0, true
	return fault
}

func (in *Inbound) feedPayload(p []byte, to Sink) (rest []byte, fault Fault) {
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
		return nil, FaultText
	} else if in.wanted && (in.remaining > 0 || !in.header.Fin || len(in.payload) > 0) {
		in.keep(part)
	}
	if in.remaining > 0 {
		return rest, FaultNone
	}
	return rest, in.end(part, to)
}

// keep appends to the payload. Its memory doubles, so that what comes in pieces is
// copied twice at the most, however small they are, and a client gets at most twice
// the memory that it has sent bytes. Only in the last frame is it known how much is to
// come: to grow to what is announced before would be a copy for each frame.
func (in *Inbound) keep(part []byte) {
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
func (in *Inbound) end(part []byte, to Sink) Fault {
	in.inFrame = false
	in.controlSize = 0
	switch in.header.OpCode {
	case ws.OpPing:
		to.Ping(part)
	case ws.OpPong:
		to.Pong()
	case ws.OpClose:
		return in.endClose(part, to)
	default:
		if !in.header.Fin {
			return FaultNone
		}
		if !in.text.complete() {
			return FaultText
		}
		opcode, payload := in.opcode, in.payload
		if payload == nil && in.wanted {
			payload = part
		}
		in.opcode, in.size, in.payload = 0, 0, nil
		if !to.Message(opcode, payload) {
			return FaultRefused
		}
	}
	return FaultNone
}

// endClose checks a close frame's payload (RFC 6455, 5.5.1 and 7.4).
func (in *Inbound) endClose(payload []byte, to Sink) Fault {
	in.stopped = true
	switch {
	case len(payload) == 0:
		to.Closed(0)
		return FaultNone
	case len(payload) == 1:
		return FaultFrame
	}
	code := binary.BigEndian.Uint16(payload)
	if !ValidCloseCode(code) {
		return FaultFrame
	}
	if !utf8.Valid(payload[2:]) {
		return FaultText
	}
	to.Closed(code)
	return FaultNone
}

// ValidCloseCode reports whether a peer may send code: RFC 6455, 7.4, and what
// IANA registered since (1012 to 1014), which the library does not know.
func ValidCloseCode(code uint16) bool {
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
