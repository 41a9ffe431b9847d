package conn

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"c10m/access"
	"c10m/channel"

	"github.com/gobwas/ws"
)

// A handshaker reads one complete upgrade request at a time. The library
// judges the request (RFC 6455, 4.2.1) from an in-memory reader that ends
// where the request ends; what it leaves to us is in plausible, checkFields and
// appendChannel. One per loop, reused, so that a handshake keeps nothing.
type handshaker struct {
	upgrader ws.Upgrader
	request  bytes.Reader
	response bytes.Buffer
	channel  []byte // of the request at hand; empty if it is two-way and names none
	isRoot   bool   // its path is a slash
	twoWay   bool   // it chose c10m.v1
	admit    func() error
	judge    func(request, channel []byte) (access.Grant, error) // nil: all may
	grant    access.Grant
}

// errReserved and errFull are told apart from the library's errors by identity.
var (
	errChannel  = errors.New("bad channel")
	errReserved = errors.New("reserved path")
	errFull     = errors.New("full")
	errMemory   = errors.New("short of memory")
)

// newHandshaker makes a handshaker that asks admit last of all; an error of
// ours from it refuses the client.
func newHandshaker(admit func() error) *handshaker {
	h := &handshaker{admit: admit}
	h.upgrader = ws.Upgrader{
		ReadBufferSize:  requestBytesMax,
		WriteBufferSize: 512,
		OnRequest:       h.onRequest,
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) { return nil, h.admit() },
		ProtocolCustom:  access.SelectProtocol,
	}
	return h
}

// Read and Write make the handshaker the in-memory peer of the Upgrader.
func (h *handshaker) Read(p []byte) (int, error)  { return h.request.Read(p) }
func (h *handshaker) Write(p []byte) (int, error) { return h.response.Write(p) }

// upgrade judges a request that ends in an empty line. The response is valid
// until the next call; so are h.channel and h.grant if the reason is reasonNone.
// The token comes last: it costs more than all the rest.
func (h *handshaker) upgrade(request []byte) (response []byte, reason Reason) {
	h.request.Reset(request)
	h.response.Reset()
	h.channel = h.channel[:0]
	h.isRoot = false
	handshake, err := h.upgrader.Upgrade(h)
	h.twoWay = handshake.Protocol == access.TwoWayProtocol
	if h.isRoot && !h.twoWay {
		err = errChannel
	}
	if err == nil {
		err = checkFields(request)
	}
	if err == nil && h.judge != nil {
		h.grant, err = h.judge(request, h.channel)
	}
	if err != nil {
		reason = requestReason(err)
		return refusal(reason), reason
	}
	return h.response.Bytes(), reasonNone
}

// onRequest looks at the channel. A path that names none is judged when it is known
// which protocol the client wants.
func (h *handshaker) onRequest(uri []byte) error {
	var err error
	if h.isRoot = isRoot(uri); h.isRoot {
		return nil
	}
	h.channel, err = appendChannel(h.channel, uri)
	return err
}

// isRoot reports whether the path of a target is a slash and nothing else.
func isRoot(target []byte) bool {
	path, _, _ := bytes.Cut(target, []byte("?"))
	return string(path) == "/"
}

// appendChannel appends the channel that a request target names: the
// percent-decoded path without its first slash (RFC 9112, 3.2, for the forms
// of a target). No form has a fragment: who means a # writes %23. None has blanks or
// control characters (RFC 9112, 3.2), at which a proxy may have ended it.
func appendChannel(to, target []byte) ([]byte, error) {
	for _, c := range target {
		if c <= ' ' || c == 0x7f || c == '#' {
			return to, errChannel
		}
	}
	if query := bytes.IndexByte(target, '?'); query >= 0 {
		target = target[:query]
	}
	if scheme := bytes.Index(target, []byte("://")); scheme > 0 && target[0] != '/' {
		target = target[scheme+3:]
		target = target[max(0, bytes.IndexByte(target, '/')):]
	}
	if len(target) == 0 || target[0] != '/' {
		return to, errChannel
	}
	to, ok := appendUnescaped(to, target[1:])
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

// checkFields looks at what the library lets pass in a request that it found
// good: lines that do not end in CRLF, folded lines and blanks before a colon
// (RFC 9112, 2.2, 5.1 and 5.2), any of which could hide a field from one of us;
// a second Host (3.2), which a proxy may have routed by; and that there is one
// Sec-WebSocket-Key (RFC 6455, 11.3.1) of 16 bytes in base64 (4.1): the library
// looks at its length, and of several takes the last.
func checkFields(request []byte) error {
	hosts, keys, first := 0, 0, true
	for line := range bytes.Lines(request) {
		line, isWhole := bytes.CutSuffix(line, []byte("\r\n"))
		if !isWhole {
			return ws.ErrMalformedRequest
		}
		if first || len(line) == 0 {
			first = false
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.ContainsAny(name, " \t") {
			return ws.ErrMalformedRequest
		}
		switch {
		case bytes.EqualFold(name, []byte("Host")):
			// Malformed and not ErrHandshakeBadHost, which tells the client
			// that it is missing.
			if hosts++; hosts > 1 {
				return ws.ErrMalformedRequest
			}
		case bytes.EqualFold(name, []byte("Sec-WebSocket-Key")):
			keys++
			if !validKey(bytes.Trim(value, " \t")) {
				return ws.ErrHandshakeBadSecKey
			}
		}
	}
	if keys != 1 {
		return ws.ErrHandshakeBadSecKey
	}
	return nil
}

func validKey(value []byte) bool {
	var nonce [18]byte
	if len(value) != base64.StdEncoding.EncodedLen(16) {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], value)
	return err == nil && n == 16
}

// requestReason says which of our reasons an error of the Upgrader is.
func requestReason(err error) Reason {
	switch err {
	case errChannel:
		return RequestChannel
	case errReserved:
		return RequestReserved
	case errFull:
		return RequestFull
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
	case errMemory:
		return RequestNoMemory
	case ws.ErrHandshakeBadMethod:
		return RequestMethod
	case ws.ErrHandshakeBadProtocol:
		return RequestVersion
	case ws.ErrHandshakeBadHost:
		return RequestHost
	case ws.ErrHandshakeBadUpgrade, ws.ErrHandshakeBadConnection:
		return RequestNoUpgrade
	case ws.ErrHandshakeBadSecKey, ws.ErrHandshakeBadSecAccept:
		return RequestKey
	case ws.ErrHandshakeUpgradeRequired, ws.ErrHandshakeBadSecVersion:
		return RequestWSVersion
	case ws.ErrMalformedRequest, io.EOF, io.ErrUnexpectedEOF:
		return RequestMalformed
	}
	return RequestMalformed
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
	200: "OK", 411: "Length Required", 413: "Content Too Large", 415: "Unsupported Media Type",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
	426: "Upgrade Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
	503: "Service Unavailable", 505: "HTTP Version Not Supported",
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
		all = append(all, fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sConnection: close\r\n%s%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n",
			info.status, statusText[info.status], cors, info.headers, header, len(info.text)+1, info.text))
	}
	return all
}

// refusal is an HTTP answer for a reason. It is shared: not to be changed.
func refusal(reason Reason) []byte {
	all := refusals[reason]
	return all[rand.IntN(len(all))]
}

// requestEnd returns the length of the request at the front of p, empty line
// included, or 0 if it is not complete; from is where to look on, so that a
// request that comes byte by byte is scanned once.
func requestEnd(p []byte, from int) int {
	from = max(0, from-3)
	if at := bytes.Index(p[from:], []byte("\r\n\r\n")); at >= 0 {
		return from + at + 4
	}
	return 0
}

// plausible reports whether p can still become a request: a line that ends in
// "HTTP/", a version and CRLF, after a method of capital letters. Garbage (a TLS
// hello, another protocol) is so answered at once and not after a time-out, and
// so is a client that ends its lines in LF alone, whose empty line requestEnd
// would never find.
func plausible(p []byte) bool {
	line, _, complete := bytes.Cut(p, []byte("\n"))
	for i, c := range line {
		if c == ' ' && i > 0 {
			break
		}
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	if !complete {
		return true
	}
	line, isWhole := bytes.CutSuffix(line, []byte("\r"))
	if !isWhole {
		return false
	}
	_, line, _ = bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(line, []byte(" "))
	return len(target) > 0 && bytes.HasPrefix(version, []byte("HTTP/")) && !bytes.Contains(version, []byte(" "))
}
