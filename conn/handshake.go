package conn

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/wire"
)

// A handshake is what was found of the request at hand beside its head. One per loop,
// reused, so that a request keeps nothing.
type handshake struct {
	channel   []byte // empty if it is two-way and names none
	grant     access.Grant
	protocol  string // the subprotocol that is answered
	response  []byte
	protocols [protocolLinesMax][]byte
}

// The errors of appendChannel and admit, told apart by identity.
var (
	errChannel  = errors.New("bad channel")
	errReserved = errors.New("reserved path")
	errFull     = errors.New("full")
	errMemory   = errors.New("short of memory")
)

// judgeUpgrade judges a request for a WebSocket by itself (RFC 6455, 4.2.1), and leaves
// the channel and the protocol in s.shake.
func (s *Server) judgeUpgrade(h *wire.Head) Reason {
	key := h.Value(wire.SecWebSocketKey)
	switch reason := s.judgePlain(h); {
	case reason != reasonNone:
		return reason
	case !h.AsksUpgrade():
		return RequestNoUpgrade
	case h.Count(wire.SecWebSocketVersion) != 1 || string(h.Value(wire.SecWebSocketVersion)) != "13":
		return RequestWSVersion
	case h.Count(wire.SecWebSocketKey) != 1 || !validKey(key): // RFC 6455, 11.3.1
		return RequestKey
	}
	shake := &s.shake
	shake.protocol = access.SelectProtocol(s.protocolLines(h))
	shake.channel = shake.channel[:0]
	var err error
	if string(h.Path()) != "/" || shake.protocol != access.TwoWayProtocol {
		shake.channel, err = appendChannel(shake.channel, h.Path())
	}
	if err != nil {
		return requestReason(err)
	}
	return reasonNone
}

// admitUpgrade asks whether there is room for a good request, and for its token, which
// comes last: it costs more than all the rest.
func (s *Server) admitUpgrade(fd uint32, h *wire.Head) Reason {
	err := s.admit(fd)
	if err == nil {
		err = s.judgeToken(h)
	}
	if err != nil {
		return requestReason(err)
	}
	return reasonNone
}

// appendSwitch appends the answer to a good request (RFC 6455, 4.2.2).
func appendSwitch(out, key []byte, protocol string) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var nonce [keyBytes + len(guid)]byte
	copy(nonce[copy(nonce[:], key):], guid)
	sum := sha1.Sum(nonce[:])
	out = append(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	out = base64.StdEncoding.AppendEncode(out, sum[:])
	if protocol != "" {
		out = append(append(out, "\r\nSec-WebSocket-Protocol: "...), protocol...)
	}
	return append(out, "\r\n\r\n"...)
}

// keyBytes is the length of a key: 16 bytes in base64 (RFC 6455, 4.1).
const keyBytes = 24

func validKey(value []byte) bool {
	var nonce [18]byte
	if len(value) != keyBytes {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], value)
	return err == nil && n == 16
}

// appendChannel appends the channel that a path names: percent-decoded, without its
// first slash. Who means a ? or a # writes %3F and %23.
func appendChannel(to, path []byte) ([]byte, error) {
	if len(path) == 0 || path[0] != '/' {
		return to, errChannel
	}
	to, ok := appendUnescaped(to, path[1:])
	if !ok {
		return to, errChannel
	}
	switch {
	case channel.IsReserved(to):
		return to, errReserved
	case !channel.ValidName(to):
		return to, errChannel
	}
	return to, nil
}
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// requestReason says which of our reasons an error is.
func requestReason(err error) Reason {
	switch err {
	case errChannel:
		return RequestChannel
	case errReserved:
		return RequestReserved
	case errFull:
		return RequestFull
	case errMemory:
		return RequestNoMemory
	case access.ErrTokenMissing:
		return RequestTokenMissing
	case access.ErrTokenPlaces:
		return RequestTokenPlaces
	case access.ErrTokenExpired:
		return RequestTokenExpired
	case access.ErrTokenEarly:
		return RequestTokenEarly
	case access.ErrTokenAudience:
		return RequestTokenAudience
	case access.ErrTokenInvalid:
		return RequestTokenInvalid
	case access.ErrTokenChannel:
		return RequestTokenChannel
	case access.ErrTokenPublish:
		return RequestTokenPublish
	}
	panic("BUG: an error that is no reason: " + err.Error())
}

// refusals are the whole HTTP answers, made once.
var refusals = func() (all [reasons][][]byte) {
	for r, info := range reasonTable {
		if info.status != 0 {
			all[r] = answers(info)
		}
	}
	return all
}()

var statusText = map[int]string{
	200: "OK", 411: "Length Required", 413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
	414: "URI Too Long", 426: "Upgrade Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
	501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}

// answers makes a refusal. One with a Retry-After is there for each second from
// its retry to twice as much, or a minute later: all who are refused in one
// second would come back in one second otherwise.
func answers(info reasonInfo) (all [][]byte) {
	for seconds := info.retry; seconds <= info.retry+min(info.retry, 60); seconds++ {
		header := ""
		if seconds > 0 {
			header = fmt.Sprintf("Retry-After: %d\r\n", seconds)
		}
		cors := corsFields
		if info.name == reasonTable[RequestOrigin].name {
			cors = "" // a page that may not ask may not read either
		}
		connection := "close"
		if strings.Contains(info.headers, "Upgrade: ") {
			connection = "close, Upgrade" // RFC 9110, 7.8
		}
		all = append(all, fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sConnection: %s\r\n%s%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n",
			info.status, statusText[info.status], cors, connection, info.headers, header, len(info.text)+1, info.text))
	}
	return all
}

// refusal is an HTTP answer for a reason. It is shared: not to be changed.
func refusal(reason Reason) []byte {
	all := refusals[reason]
	return all[rand.IntN(len(all))]
}
