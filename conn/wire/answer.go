package wire

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// CORSFields are on every answer but the one to a page that may not ask: who may
// ask is decided on this side, so the browser is told that all may read (Fetch, 3.3.3),
// and which fields scripts may see. LastField ends the connection (RFC 9112, 9.6).
const (
	CORSFields = allMayRead + "Access-Control-Expose-Headers: C10m-Position, C10m-Messages, C10m-History, C10m-Close, Retry-After\r\n"
	LastField  = "Connection: close\r\n"

	allMayRead = "Access-Control-Allow-Origin: *\r\n"
	// answerFields are on every answer with messages, or about them.
	answerFields = "Cache-Control: no-store\r\n" + CORSFields
)

// statusText is what stands behind a status (RFC 9110, 15).
var statusText = map[int]string{
	200: "OK", 411: "Length Required", 413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
	414: "URI Too Long", 426: "Upgrade Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
	501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}

// AppendPreflight appends the answer to OPTIONS (Fetch, 3.3.3 and 4.8). Whatever fields
// the page wants to send it may: none of them changes what a request does here but those
// that are judged as it comes. What it asks for is named, as * stands neither for
// Authorization nor for anything in a request with cookies.
func AppendPreflight(out []byte, h *Head, isLast bool) []byte {
	out = append(out, "HTTP/1.1 204 No Content\r\n"+CORSFields+"Vary: Access-Control-Request-Headers\r\n"+
		"Access-Control-Allow-Methods: GET, HEAD, POST\r\nAccess-Control-Max-Age: 86400\r\nAllow: GET, HEAD, POST, OPTIONS\r\nAccess-Control-Allow-Headers: "...)
	if wanted := h.Value(AccessControlRequestHeaders); h.Count(AccessControlRequestHeaders) == 1 && IsTokenList(wanted) {
		out = append(out, wanted...)
	} else {
		out = append(out, "Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, X-Requested-With, traceparent, tracestate"...)
	}
	out = append(out, "\r\n"...)
	if isLast {
		out = append(out, LastField...)
	}
	return append(out, "\r\n"...)
}

// AppendAnswer appends a whole answer that depends on its moment.
func AppendAnswer(out []byte, status int, fields, contentType string, body []byte, isLast bool) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(append(out, ' '), statusText[status]...)
	out = append(append(out, "\r\n"+CORSFields+"Cache-Control: no-store\r\n"...), fields...)
	if isLast {
		out = append(out, LastField...)
	}
	out = append(append(out, "Content-Type: "...), contentType...)
	out = strconv.AppendInt(append(out, "\r\nContent-Length: "...), int64(len(body)), 10)
	out = append(out, "\r\n\r\n"...)
	return append(out, body...)
}

var endOfHead = []byte("\r\n\r\n")

// AsksHead reports whether a request, or what there is of it, asks with HEAD: then no
// answer to it has a body.
func AsksHead(request []byte) bool { return bytes.HasPrefix(request, []byte("HEAD ")) }

// AnswerTo is an answer without its body if it is one to HEAD (RFC 9110, 9.3.2).
func AnswerTo(isHead bool, answer []byte) []byte {
	if isHead {
		return answer[:bytes.Index(answer, endOfHead)+len(endOfHead)]
	}
	return answer
}

// A Failure is an answer that does not end the connection: the request was good,
// and may be made again.
type Failure struct {
	Status       int
	RetrySeconds int // 0: to try again is of no use
	Text         string
}

// Append appends the answer.
func (f *Failure) Append(out []byte, isLast bool) []byte {
	return AppendAnswer(out, f.Status, retryField(f.RetrySeconds), "text/plain; charset=utf-8", []byte(f.Text+"\n"), isLast)
}

// retryField says when to come back (RFC 9110, 10.2.3), nothing for 0.
func retryField(seconds int) string {
	if seconds == 0 {
		return ""
	}
	return "Retry-After: " + strconv.Itoa(seconds) + "\r\n"
}

// A Refusal is an answer that ends the connection.
type Refusal struct {
	Status       int
	RetrySeconds int    // 0: to try again is of no use
	Fields       string // of its own
	Text         string
	IsHidden     bool // from the page that asks: who may not ask may not read either
}

// Append appends the answer.
func (r *Refusal) Append(out []byte) []byte {
	cors := CORSFields
	if r.IsHidden {
		cors = ""
	}
	connection := "close"
	if strings.Contains(r.Fields, "Upgrade: ") {
		connection = "close, Upgrade" // RFC 9110, 7.8
	}
	return fmt.Appendf(out, "HTTP/1.1 %d %s\r\n%sConnection: %s\r\n%s%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n",
		r.Status, statusText[r.Status], cors, connection, r.Fields, retryField(r.RetrySeconds), len(r.Text)+1, r.Text)
}

// AppendDressed appends an answer with what differs from one time that it is said to the
// next: behind its first line the Date, if it is not empty, and for the page of origin,
// if that is not empty, its name. A page that sends cookies along must be named, and * is
// not its name (Fetch, 3.3.4).
func AppendDressed(out, answer, date, origin []byte) []byte {
	status := bytes.IndexByte(answer, '\n') + 1
	out = append(append(out, answer[:status]...), date...)
	answer = answer[status:]
	if len(origin) > 0 {
		if before, after, isThere := bytes.Cut(answer, []byte(allMayRead)); isThere {
			out = append(append(out, before...), "Access-Control-Allow-Origin: "...)
			out = append(append(out, origin...), "\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n"...)
			answer = after
		}
	}
	return append(out, answer...)
}

// Dated is an answer with the Date of now.
func Dated(answer []byte) []byte {
	var date [dateBytes]byte
	return AppendDressed(make([]byte, 0, len(answer)+dateBytes), answer, AppendDate(date[:0], time.Now()), nil)
}

const dateBytes = len("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")

// AppendDate appends the line that says when an answer was made (RFC 9110, 6.6.1), in
// the one form that is sent (5.6.7).
func AppendDate(out []byte, now time.Time) []byte {
	return append(now.UTC().AppendFormat(append(out, "Date: "...), "Mon, 02 Jan 2006 15:04:05"), " GMT\r\n"...)
}

// AppendSwitch appends the answer to a good request (RFC 6455, 4.2.2).
func AppendSwitch(out, key []byte, protocol string) []byte {
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

// ValidKey reports whether value can be a Sec-WebSocket-Key (RFC 6455, 4.1 and 11.3.1).
func ValidKey(value []byte) bool {
	var nonce [18]byte
	if len(value) != keyBytes {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], value)
	return err == nil && n == 16
}
