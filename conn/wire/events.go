package wire

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// The bytes of server-sent events (HTML Standard, 9.2.5 and 9.2.6). An event is
// lines of fields and an empty line; a line ends in CRLF, LF or CR, so a payload
// with a CR in it cannot be told from one with an LF, and the stream is UTF-8.
// Payloads that this would change go as base64, in events of a type of their own.

// EventBase64 is the type of events whose data is base64 of the payload.
const EventBase64 = "base64"

var (
	fieldID    = []byte("id: ")
	fieldData  = []byte("data: ")
	fieldEvent = []byte("event: ")
)

// AppendEvent appends a message as one event. id has no line ends; payload may
// be anything. The blank behind each colon is not decoration: the client drops
// one, which would else be the payload's own.
func AppendEvent(p, id, payload []byte) []byte {
	if !plainEvent(payload) {
		p = appendField(p, fieldEvent, []byte(EventBase64))
		p = appendField(p, fieldID, id)
		p = append(p, fieldData...)
		p = base64.StdEncoding.AppendEncode(p, payload)
		return append(p, "\n\n"...)
	}
	p = appendField(p, fieldID, id)
	for {
		line, rest, more := bytes.Cut(payload, []byte("\n"))
		p = appendField(p, fieldData, line)
		if !more {
			return append(p, '\n')
		}
		payload = rest
	}
}

// EventBytes is the length of what AppendEvent appends.
func EventBytes(id, payload []byte) int {
	size := len(fieldID) + len(id) + 1
	if !plainEvent(payload) {
		return size + len(fieldEvent) + len(EventBase64) + 1 + len(fieldData) + base64.StdEncoding.EncodedLen(len(payload)) + 2
	}
	lines := 1 + bytes.Count(payload, []byte("\n"))
	return size + lines*len(fieldData) + len(payload) + 2
}

// plainEvent reports whether a payload survives as lines of text. Firefox drops NUL
// from data, and with it what a client was to get.
func plainEvent(payload []byte) bool {
	return bytes.IndexByte(payload, '\r') < 0 && bytes.IndexByte(payload, 0) < 0 && utf8.Valid(payload)
}

func appendField(p, name, value []byte) []byte {
	p = append(append(p, name...), value...)
	return append(p, '\n')
}

// AppendOwnEvent appends an event of the server's own: a type, a position if it
// has one, a pause before the client's next try if that is not 0, and a
// sentence. None of them has line ends.
func AppendOwnEvent(p []byte, event string, id []byte, retryMillis int64, text string) []byte {
	p = appendField(p, fieldEvent, []byte(event))
	if len(id) > 0 {
		p = appendField(p, fieldID, id)
	}
	if retryMillis > 0 {
		p = strconv.AppendInt(append(p, "retry: "...), retryMillis, 10)
		p = append(p, '\n')
	}
	p = append(append(p, fieldData...), text...)
	return append(p, "\n\n"...)
}

// AppendEventID appends an id without data, which is no event, and still the client's
// position (HTML Standard, 9.2.6).
func AppendEventID(p []byte, appendID func(to []byte) []byte) []byte {
	return append(appendID(append(p, fieldID...)), "\n\n"...)
}

// AppendGapEvent appends an event that tells that the position which the client named
// cannot be continued, and where the stream stands if that is known. kept is how many
// messages of a channel the server keeps.
func AppendGapEvent(p, position []byte, kept int) []byte {
	text := GapText
	if kept == 0 {
		text += NoHistoryText
	}
	return AppendOwnEvent(p, "gap", position, 0, text)
}

// AppendEventsHead appends the head of an answer that is a stream of events, which ends
// with its connection: a length or chunks would be bytes of ours between the messages.
// X-Accel-Buffering is what nginx asks for, which would else collect the events.
func AppendEventsHead(p []byte, kept int) []byte {
	p = append(p, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nConnection: close\r\n"+answerFields...)
	return append(appendHistory(p, kept), "\r\n"...)
}

// EventsHeartbeat is a comment, which the client drops (HTML Standard, 9.2.7).
const EventsHeartbeat = ":\n\n"

// GapText tells that the position that the client named cannot be continued, and
// NoHistoryText is behind it where that holds for every position.
const (
	GapText       = "Messages after your position may have been missed."
	NoHistoryText = " The server keeps no history."
)

// EventsPrelude is the first event of a stream: how long a client should wait
// before it comes back, in milliseconds.
const EventsPrelude = "retry: 2000\n\n"
