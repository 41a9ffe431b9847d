package load

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
)

// Server-sent events (HTML Standard, 9.2.5 and 9.2.6) as this project's server writes
// them: lines end with LF and never have a CR, a payload that this would change is base64
// in events of a type of their own, comments are heartbeats, and the other events are the
// server's own words.

// eventStream is the carrier of dialects that begin with a plain GET. Nothing is ever
// said after it.
var eventStream = carrier{request: (*handler).requestEvents, answered: (*handler).answeredEvents, feed: (*reader).events}

func (h *handler) requestEvents(dst []byte, s *slot) []byte {
	_, target := h.config.Spread.Of(int(s.number))
	dst = h.requester.beginGet(dst, target, int(s.number))
	dst = append(dst, "\r\nAccept: text/event-stream"...)
	return h.requester.endGet(dst)
}

func (h *handler) answeredEvents(s *slot, fresh int) answer {
	return parseAnswer(s.response, fresh, 200, checkEvents)
}

// checkEvents wants a stream that ends with its connection.
func checkEvents(headers []byte) (problem string) {
	isStream := false
	for name, value := range fieldsOf(headers) {
		switch {
		case asciiFold(name, "content-type"):
			kind, _, _ := bytes.Cut(value, []byte(";"))
			isStream = asciiFold(kind, "text/event-stream")
		case asciiFold(name, "transfer-encoding"), asciiFold(name, "content-length"), asciiFold(name, "content-encoding"):
			return fmt.Sprintf("the stream of events has %s: %.40s, and is to be as it is until its connection ends", name, value)
		}
	}
	if !isStream {
		return "the 200 has no Content-Type: text/event-stream"
	}
	return ""
}

// An eventKind is the type of an event.
type eventKind uint8

const (
	eventMessage   eventKind = iota
	eventBase64              // a message, too
	eventClose               // the last words: a code and a sentence
	eventGap                 // messages may have been missed
	eventDrain               // the server will end
	eventHeartbeat           // a comment, which has no type
	eventUnknown
)

func eventKindOf(word []byte) eventKind {
	switch string(word) {
	case "", "message":
		return eventMessage
	case "base64":
		return eventBase64
	case "close":
		return eventClose
	case "gap":
		return eventGap
	case "drain":
		return eventDrain
	}
	return eventUnknown
}

// A field is what stands before the colon of a line.
type field uint8

const (
	fieldUnknown field = iota // id and retry, too: the client never comes back to where it was
	fieldComment
	fieldData
	fieldEvent
)

func fieldOf(word []byte) field {
	switch string(word) {
	case "":
		return fieldComment
	case "data":
		return fieldData
	case "event":
		return fieldEvent
	}
	return fieldUnknown
}

// An event is a place in a stream of events.
type event struct {
	part      linePart
	field     field   // behind the colon
	word      [8]byte // longer than each word that means something
	wordBytes uint8
	kind      eventKind
	hasData   bool
	padding   int // of base64
}

// A linePart is where in a line the next byte stands.
type linePart uint8

const (
	inName linePart = iota
	inBlank
	inValue
)

func (e *event) reset()       { *e = event{} }
func (e *event) isIdle() bool { return *e == event{} }

func (e *event) addWord(p []byte) { e.wordBytes += uint8(copy(e.word[e.wordBytes:], p)) }

func (e *event) takeWord() []byte {
	word := e.word[:e.wordBytes]
	e.wordBytes = 0
	return word
}

// events takes the next bytes of a stream of events as frames does those of frames.
func (r *reader) events(fd uint32, held *partial, p []byte) (*partial, violation) {
	if held == nil {
		held = r.take()
	}
	for len(p) > 0 {
		line, rest, isWhole := bytes.Cut(p, []byte("\n"))
		if bytes.IndexByte(line, '\r') >= 0 {
			return r.release(held), violationEvents
		}
		if held.addToLine(line, r.hashed); isWhole && !r.endLine(fd, held) {
			return r.release(held), violationEvents
		}
		p = rest
	}
	if held.event.isIdle() {
		held = r.release(held)
	}
	return held, violationNone
}

// addToLine takes a piece of a line.
func (held *partial) addToLine(p []byte, hashed bool) {
	e := &held.event
	if e.part == inName {
		name, value, hasColon := bytes.Cut(p, []byte(":"))
		e.addWord(name)
		if !hasColon {
			return
		}
		held.beginValue(hashed)
		p = value
	}
	if e.part == inBlank && len(p) > 0 {
		p, e.part = bytes.TrimPrefix(p, []byte(" ")), inValue
	}
	switch e.field {
	case fieldEvent:
		e.addWord(p)
	case fieldData:
		if e.kind == eventBase64 {
			e.padding += bytes.Count(p, []byte("="))
		}
		held.digest.add(p, hashed)
	}
}

// beginValue is at the end of a field's name.
func (held *partial) beginValue(hashed bool) {
	e := &held.event
	e.field, e.part = fieldOf(e.takeWord()), inBlank
	switch {
	case e.field != fieldData:
	case e.hasData:
		held.digest.add([]byte("\n"), hashed)
	default:
		held.digest.reset(opText)
		e.hasData = true
	}
}

// endLine reports whether all is well.
func (r *reader) endLine(fd uint32, held *partial) bool {
	e := &held.event
	if e.part == inName {
		if e.wordBytes == 0 {
			return r.endEvent(fd, held)
		}
		held.beginValue(r.hashed) // a name without a colon
	}
	switch e.field {
	case fieldComment:
		r.sink.ownEvent(fd, eventHeartbeat, nil)
	case fieldEvent:
		e.kind = eventKindOf(e.takeWord())
	}
	e.part = inName
	return true
}

// endEvent is at an empty line. What had no data is no event.
func (r *reader) endEvent(fd uint32, held *partial) bool {
	kind, d := held.event.kind, &held.digest
	switch {
	case !held.event.hasData:
	case kind == eventMessage:
		d.end()
		r.sink.message(fd, d)
	case kind == eventBase64:
		shown := uint64(StampBytes) // bytes of the head that are there
		if r.hashed {
			shown = headBytesMax
		}
		d.unwrap(min(d.length, shown), held.event.padding)
		r.sink.message(fd, d)
	case kind != eventUnknown:
		r.sink.ownEvent(fd, kind, d.head[:min(d.length, StampBytes)])
	}
	held.event.reset()
	return kind != eventUnknown
}

// unwrap makes a digest of base64 one of what it stands for; shown bytes of it are in
// the head.
func (d *digest) unwrap(shown uint64, padding int) {
	var plain [headBytesMax]byte
	_, err := base64.StdEncoding.Decode(plain[:], d.head[:shown&^3])
	d.corrupt = d.length%4 != 0 || padding > 2 || err != nil
	d.opcode, d.length, d.head = opBinary, max(d.length/4*3, uint64(padding))-uint64(padding), plain
}

// brokenGap is what a server says that may have lost messages.
const brokenGap = "told of a gap"

// ownEvent is called by the reader for what a server says for itself.
func (h *handler) ownEvent(fd uint32, kind eventKind, text []byte) {
	record := h.loop.Record(fd)
	if record.Phase != phaseOpen {
		return
	}
	switch kind {
	case eventHeartbeat:
		h.counters.Pings++
	case eventGap:
		h.counters.Broken[brokenGap]++
	case eventClose:
		number, _, _ := bytes.Cut(text, []byte(" "))
		code, err := strconv.ParseUint(string(number), 10, 16)
		if err != nil {
			code = 1005 // RFC 6455 section 7.1.5: none was given
		}
		h.counters.Closes[uint16(code)]++
		h.left(fd, true)
		record.Phase = phaseClosing
	}
}
