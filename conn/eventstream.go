package conn

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

// eventBase64 is the type of events whose data is base64 of the payload.
const eventBase64 = "base64"

var (
	fieldID    = []byte("id: ")
	fieldData  = []byte("data: ")
	fieldEvent = []byte("event: ")
)

// appendEvent appends a message as one event. id has no line ends; payload may
// be anything. The blank behind each colon is not decoration: the client drops
// one, which would else be the payload's own.
func appendEvent(p, id, payload []byte) []byte {
	if !plainEvent(payload) {
		p = appendField(p, fieldEvent, []byte(eventBase64))
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

// eventBytes is the length of what appendEvent appends.
func eventBytes(id, payload []byte) int {
	size := len(fieldID) + len(id) + 1
	if !plainEvent(payload) {
		return size + len(fieldEvent) + len(eventBase64) + 1 + len(fieldData) + base64.StdEncoding.EncodedLen(len(payload)) + 2
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

// appendOwnEvent appends an event of the server's own: a type, a position if it
// has one, a pause before the client's next try if that is not 0, and a
// sentence. None of them has line ends.
func appendOwnEvent(p []byte, event string, id []byte, retryMillis int64, text string) []byte {
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

// eventsPrelude is the first event of a stream: how long a client should wait
// before it comes back, in milliseconds.
const eventsPrelude = "retry: 2000\n\n"
