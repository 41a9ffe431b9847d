package load

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"unicode/utf8"
)

// webSocket is the carrier of most dialects.
var webSocket = carrier{request: (*handler).requestUpgrade, answered: (*handler).answeredUpgrade, feed: (*reader).frames,
	goodbye: (*handler).sayClose}

func (h *handler) requestUpgrade(dst []byte, s *slot) (request []byte) {
	_, target := h.config.Spread.Of(int(s.number))
	request, s.accept = h.requester.appendUpgrade(dst, target, int(s.number), h.dialect.protocol,
		[2]uint64{h.random.Uint64(), h.random.Uint64()})
	return request
}

func (h *handler) answeredUpgrade(s *slot, fresh int) answer {
	return parseUpgrade(s.response, fresh, s.accept[:], h.dialect.protocol)
}

func parseUpgrade(p []byte, fresh int, accept []byte, offered string) answer {
	return parseAnswer(p, fresh, 101, func(headers []byte) string { return checkUpgrade(headers, accept, offered) })
}

const acceptBytes = 28 // base64 of a SHA-1

// appendUpgrade appends the request of a connection (RFC 6455 section 4.1) and returns
// what its Sec-WebSocket-Accept has to be. nonce is any number that is new each time.
func (r requester) appendUpgrade(dst []byte, target netip.AddrPort, number int, protocol string, nonce [2]uint64) (request []byte, accept [acceptBytes]byte) {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], nonce[0])
	binary.LittleEndian.PutUint64(raw[8:], nonce[1])
	var keyed [24 + len(acceptGUID)]byte
	base64.StdEncoding.Encode(keyed[:24], raw[:])
	copy(keyed[24:], acceptGUID)
	sum := sha1.Sum(keyed[:])
	base64.StdEncoding.Encode(accept[:], sum[:])

	dst = r.beginGet(dst, target, number)
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	dst = append(dst, keyed[:24]...)
	if protocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, protocol...)
	}
	return r.endGet(dst), accept
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3

// checkUpgrade looks for the headers that RFC 6455 section 4.1 demands. offered is a
// subprotocol that the server may have chosen.
func checkUpgrade(headers, accept []byte, offered string) (problem string) {
	var upgrade, connection, accepted bool
	for name, value := range fieldsOf(headers) {
		switch {
		case asciiFold(name, "upgrade"):
			upgrade = asciiFold(value, "websocket")
		case asciiFold(name, "connection"):
			connection = asciiFold(value, "upgrade")
		case asciiFold(name, "sec-websocket-accept"):
			accepted = bytes.Equal(value, accept)
		case asciiFold(name, "sec-websocket-protocol") && string(value) == offered && offered != "":
		case asciiFold(name, "sec-websocket-extensions"), asciiFold(name, "sec-websocket-protocol"):
			return "the server chose an extension or a protocol that nobody offered"
		}
	}
	switch {
	case !upgrade:
		return "the 101 has no Upgrade: websocket"
	case !connection:
		return "the 101 has no Connection: Upgrade"
	case !accepted:
		return "the 101 has a wrong Sec-WebSocket-Accept"
	}
	return ""
}

// control is called by the reader for a ping, pong or close.
func (h *handler) control(fd uint32, opcode byte, payload []byte) {
	switch phase := h.loop.Record(fd).Phase; {
	case phase == phaseLeaving && opcode == opClose:
		h.loop.Record(fd).Phase = phaseClosing // our close is answered
		return
	case phase != phaseOpen:
		return
	}
	switch opcode {
	case opPing:
		h.counters.Pings++
		if h.sendFrame(fd, opPong, payload) {
			h.counters.Pongs++
		}
	case opClose:
		h.closed(fd, payload)
	}
}

// closed answers a close frame with the same code (RFC 6455 section 5.5.1) and
// leaves it to the server to end the stream (section 7.1.1).
func (h *handler) closed(fd uint32, payload []byte) {
	code := uint16(1005) // section 7.1.5: none was given
	if len(payload) >= 2 {
		code = binary.BigEndian.Uint16(payload)
	}
	if len(payload) == 1 || !validCloseCode(code, len(payload) == 0) || len(payload) > 2 && !utf8.Valid(payload[2:]) {
		h.counters.Broken[violationNames[violationClose]]++
		h.broken(fd)
		return
	}
	h.counters.Closes[code]++
	h.left(fd, true)
	h.sendFrame(fd, opClose, payload[:min(len(payload), 2)])
	h.loop.Record(fd).Phase = phaseClosing
}

// validCloseCode says what may stand in a close frame (RFC 6455 section 7.4
// and the registry that it opened).
func validCloseCode(code uint16, none bool) bool {
	switch {
	case none:
		return true
	case code == 1004 || code == 1005 || code == 1006:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}

// sendFrame writes a frame and reports whether it goes out.
func (h *handler) sendFrame(fd uint32, opcode byte, payload []byte) bool {
	h.scratch = appendMasked(h.scratch[:0], opcode, payload, h.random.Uint32())
	return h.send(fd, h.scratch)
}

// sayClose says goodbye with 1000 (RFC 6455 section 7.1.2).
func (h *handler) sayClose(fd uint32) bool {
	if !h.sendFrame(fd, opClose, []byte{1000 >> 8, 1000 & 0xff}) {
		return false
	}
	h.loop.Record(fd).Phase = phaseLeaving
	return true
}
