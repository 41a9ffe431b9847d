package conn

import (
	"strconv"
	"unicode/utf8"
)

// The bytes of the answers to long polls. The body is the payloads one after the
// other, untouched, and a header says where each ends: so any payload survives,
// and a client that asks for one channel of text can read the body alone.

// A pollMessage is one message in such an answer.
type pollMessage struct{ id, payload []byte }

// answerHeaders are on every answer with messages, or about them.
const answerHeaders = "Cache-Control: no-store\r\n" + corsFields

// appendPollResponse appends the answer with messages, of which there is at
// least one. isLast: the connection ends with it. Its position is the last one's id, ETag included: ids need no
// quoting.
func appendPollResponse(p []byte, messages []pollMessage, isLast bool) []byte {
	bytes, text := 0, true
	for _, m := range messages {
		bytes += len(m.payload)
		text = text && utf8.Valid(m.payload)
	}
	last := messages[len(messages)-1].id
	p = append(p, "HTTP/1.1 200 OK\r\nContent-Type: "...)
	if text {
		p = append(p, "text/plain; charset=utf-8"...)
	} else {
		p = append(p, "application/octet-stream"...)
	}
	p = strconv.AppendInt(append(p, "\r\nContent-Length: "...), int64(bytes), 10)
	p = append(p, "\r\nC10m-Messages: "...)
	for i, m := range messages {
		if i > 0 {
			p = append(p, ',')
		}
		p = append(append(p, m.id...), ':')
		p = strconv.AppendInt(p, int64(len(m.payload)), 10)
	}
	p = append(append(p, "\r\nC10m-Position: "...), last...)
	p = append(append(p, "\r\nETag: \""...), last...)
	p = append(p, "\"\r\n"+answerHeaders...)
	if isLast {
		p = append(p, lastField...)
	}
	p = append(p, "\r\n"...)
	for _, m := range messages {
		p = append(p, m.payload...)
	}
	return p
}

// pollResponseBytes is at least the length of what appendPollResponse appends.
func pollResponseBytes(messages []pollMessage) int {
	bytes := pollHeadBytes
	for _, m := range messages {
		bytes += len(m.id) + len(":1048576,") + len(m.payload)
	}
	return bytes
}

// pollHeadBytes is more than the head of an answer without the list of messages.
const pollHeadBytes = 512

// appendPollEmpty appends the answer to a poll that found nothing in time: 204,
// with the position if there is one. last: the connection ends with it.
func appendPollEmpty(p, position []byte, last bool) []byte {
	return appendPollBare(p, "204 No Content", position, "", "", last)
}

// appendPollGone appends the answer to a poll whose position is gone: messages
// may have been missed, and position is where to go on. kept is how many messages of
// a channel the server keeps. last: the connection ends with it.
func appendPollGone(p, position []byte, kept int, last bool) []byte {
	text := pollGoneText
	if kept == 0 {
		text = gapText + noHistoryText + "\n"
	}
	return appendPollBare(p, "410 Gone", position, historyField(kept), text, last)
}

// historyField says how many of the latest messages of each channel the server
// keeps; with 0 no position can be continued, now or later.
func historyField(kept int) string { return "C10m-History: " + strconv.Itoa(kept) + "\r\n" }

// pollGoneText says what happened and what to do.
const pollGoneText = "Messages may have been missed; go on from C10m-Position, or without since.\n"

func appendPollBare(p []byte, status string, position []byte, fields, text string, last bool) []byte {
	p = append(append(p, "HTTP/1.1 "...), status...)
	p = append(append(p, "\r\n"+answerHeaders...), fields...)
	if len(position) > 0 {
		p = append(append(append(p, "C10m-Position: "...), position...), "\r\n"...)
	}
	if last {
		p = append(p, lastField...)
	}
	if text != "" { // a 204 has no Content-Length (RFC 9110, 8.6)
		p = strconv.AppendInt(append(p, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: "...), int64(len(text)), 10)
		p = append(p, "\r\n"...)
	}
	return append(append(p, "\r\n"...), text...)
}
