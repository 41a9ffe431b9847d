package conn

import (
	"bytes"
	"strconv"
	"strings"

	"c10m/channel"
	"c10m/conn/wire"

	"github.com/go-json-experiment/json/jsontext"
)

// corsFields are on every answer but the one to a page that may not ask: who may
// ask is decided by --origin, on this side, so the browser is told that all may
// read. exposed are the fields that scripts may see.
const (
	corsFields = "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: C10m-Position, C10m-Messages, C10m-History, C10m-Close, Retry-After\r\n"
	lastField  = "Connection: close\r\n"
)

// appendPreflight appends the answer to OPTIONS (Fetch, 3.3.3 and 4.8). Whatever fields
// the page wants to send it may: none of them changes what a request does here but those
// that are judged as it comes. What it asks for is named, as * stands neither for
// Authorization nor for anything in a request with cookies.
func appendPreflight(out []byte, h *wire.Head, isLast bool) []byte {
	out = append(out, "HTTP/1.1 204 No Content\r\n"+corsFields+"Vary: Access-Control-Request-Headers\r\n"+
		"Access-Control-Allow-Methods: GET, HEAD, POST\r\nAccess-Control-Max-Age: 86400\r\nAllow: GET, HEAD, POST, OPTIONS\r\nAccess-Control-Allow-Headers: "...)
	if wanted := h.Value(wire.AccessControlRequestHeaders); h.Count(wire.AccessControlRequestHeaders) == 1 && wire.IsTokenList(wanted) {
		out = append(out, wanted...)
	} else {
		out = append(out, "Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, X-Requested-With, traceparent, tracestate"...)
	}
	out = append(out, "\r\n"...)
	if isLast {
		out = append(out, lastField...)
	}
	return append(out, "\r\n"...)
}

// appendAnswer appends a whole answer that depends on its moment.
func appendAnswer(out []byte, status int, fields, contentType string, body []byte, isLast bool) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(append(out, ' '), statusText[status]...)
	out = append(append(out, "\r\n"+corsFields+"Cache-Control: no-store\r\n"...), fields...)
	if isLast {
		out = append(out, lastField...)
	}
	out = append(append(out, "Content-Type: "...), contentType...)
	out = strconv.AppendInt(append(out, "\r\nContent-Length: "...), int64(len(body)), 10)
	out = append(out, "\r\n\r\n"...)
	return append(out, body...)
}

// answerTo is an answer without its body if it is one to HEAD (RFC 9110, 9.3.2).
func answerTo(isHead bool, answer []byte) []byte {
	if isHead {
		return answer[:bytes.Index(answer, []byte("\r\n\r\n"))+4]
	}
	return answer
}

// A failure is an answer that does not end the connection: the request was good,
// and may be made again.
type failure struct {
	status       int
	retrySeconds int // 0: to try again is of no use
	text         string
}

var (
	publishBusy        = failure{429, 1, "Too many messages are under way, and this one was not published: try again."}
	publishDown        = failure{503, 5, "The bus is down, and the message was not published."}
	publishUnconfirmed = failure{503, 5, "The bus did not answer, and the message may have been published."}
	publishKeyReused   = failure{422, 0, "The key was another message's, and this one was not published."}
	countBusy          = failure{429, 1, "Too many ask at once: try again."}
)

func (f *failure) append(out []byte, isLast bool) []byte {
	fields := ""
	if f.retrySeconds > 0 {
		fields = "Retry-After: " + strconv.Itoa(f.retrySeconds) + "\r\n"
	}
	return appendAnswer(out, f.status, fields, "text/plain; charset=utf-8", []byte(f.text+"\n"), isLast)
}

// appendOutcome appends the answer to a POST.
func appendOutcome(out []byte, o *channel.Outcome, isLast bool) []byte {
	switch o.Fate {
	case channel.FateUnpublished:
		return publishDown.append(out, isLast)
	case channel.FateUnconfirmed:
		return publishUnconfirmed.append(out, isLast)
	case channel.FateKeyReused:
		return publishKeyReused.append(out, isLast)
	}
	var room [512]byte
	body := append(AppendPublished(room[:0], string(o.Channel), o.Connections, o.Subscribers, o.ID), '\n')
	return appendAnswer(out, 200, "", "application/json", body, isLast)
}

// AppendPublished appends what who publishes over HTTP is told of a message, here
// and at the admin address: a JSON object. subscribers of less than 0 and an empty
// id are not known, and left out.
func AppendPublished(out []byte, name string, connections, subscribers int, id string) []byte {
	out = AppendQuoted(append(out, `{"channel":`...), name)
	out = strconv.AppendInt(append(out, `,"connections":`...), int64(connections), 10)
	if subscribers >= 0 {
		out = strconv.AppendInt(append(out, `,"subscribers":`...), int64(subscribers), 10)
	}
	if id != "" {
		out = AppendQuoted(append(out, `,"id":`...), id)
	}
	return append(out, '}')
}

// AppendQuoted appends a JSON string; what is not UTF-8 in text is replaced.
func AppendQuoted(out []byte, text string) []byte {
	quoted, err := jsontext.AppendQuote(out, strings.ToValidUTF8(text, "\uFFFD"))
	if err != nil {
		panic("BUG: " + err.Error()) // only for text that is no UTF-8
	}
	return quoted
}
