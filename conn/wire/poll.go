package wire

import (
	"strconv"
	"unicode/utf8"
)

// The bytes of the answers to long polls. The body is the payloads one after the
// other, untouched, and a header says where each ends: so any payload survives,
// and a client that asks for one channel of text can read the body alone.

// A PollMessage is one message in such an answer.
type PollMessage struct{ ID, Payload []byte }

// AppendPollResponse appends the answer with messages, of which there is at
// least one. isLast: the connection ends with it. Its position is the last one's id,
// ETag included: ids need no quoting.
func AppendPollResponse(p []byte, messages []PollMessage, isLast bool) []byte {
	bytes, text := 0, true
	for _, m := range messages {
		bytes += len(m.Payload)
		text = text && utf8.Valid(m.Payload)
	}
	last := messages[len(messages)-1].ID
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
		p = append(append(p, m.ID...), ':')
		p = strconv.AppendInt(p, int64(len(m.Payload)), 10)
	}
	p = append(append(p, "\r\nC10m-Position: "...), last...)
	p = append(append(p, "\r\nETag: \""...), last...)
	p = append(p, "\"\r\n"+answerFields...)
	if isLast {
		p = append(p, LastField...)
	}
	p = append(p, "\r\n"...)
	for _, m := range messages {
		p = append(p, m.Payload...)
	}
	return p
}

// AppendPollEmpty appends the answer to a poll that found nothing in time: 204,
// with the position if there is one. last: the connection ends with it.
func AppendPollEmpty(p, position []byte, last bool) []byte {
	return appendPollBare(p, "204 No Content", position, nil, "", last)
}

// AppendPollGone appends the answer to a poll whose position is gone: messages
// may have been missed, and position is where to go on. kept is how many messages of
// a channel the server keeps. last: the connection ends with it.
func AppendPollGone(p, position []byte, kept int, last bool) []byte {
	text := pollGoneText
	if kept == 0 {
		text = GapText + NoHistoryText + "\n"
	}
	var room [40]byte
	return appendPollBare(p, "410 Gone", position, appendHistory(room[:0], kept), text, last)
}

// appendHistory says how many of the latest messages of each channel the server
// keeps; with 0 no position can be continued, now or later.
func appendHistory(p []byte, kept int) []byte {
	return append(strconv.AppendInt(append(p, "C10m-History: "...), int64(kept), 10), "\r\n"...)
}

const pollGoneText = "Messages may have been missed; go on from C10m-Position, or without since.\n"

func appendPollBare(p []byte, status string, position, fields []byte, text string, last bool) []byte {
	p = append(append(p, "HTTP/1.1 "...), status...)
	p = append(append(p, "\r\n"+answerFields...), fields...)
	if len(position) > 0 {
		p = append(append(append(p, "C10m-Position: "...), position...), "\r\n"...)
	}
	if last {
		p = append(p, LastField...)
	}
	if text != "" { // a 204 has no Content-Length (RFC 9110, 8.6)
		p = strconv.AppendInt(append(p, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: "...), int64(len(text)), 10)
		p = append(p, "\r\n"...)
	}
	return append(append(p, "\r\n"...), text...)
}
