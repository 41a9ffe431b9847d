package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"

	"golang.org/x/sys/unix"
)

// Dialects that subscribe with a message, and whose messages are in the middle of others.

// inFrame makes the greeting that greet returns a frame.
func inFrame(opcode byte, greet func(channel string) []byte) func(*handler, uint32, string) {
	return func(h *handler, fd uint32, channel string) { h.sendFrame(fd, opcode, greet(channel)) }
}

// twoWayGreeting is of docs/c10m.v1.md.
func twoWayGreeting(channel string) []byte { return []byte("SUB " + url.PathEscape(channel)) }

// centrifugeGreeting is two commands of the JSON protocol in one frame.
func centrifugeGreeting(channel string) []byte {
	name, err := json.Marshal(channel)
	if err != nil {
		panic("BUG: a string that JSON cannot hold: " + err.Error())
	}
	return fmt.Appendf(nil, `{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":%s}}`, name)
}

// natsGreeting subscribes and asks for a sign that it is done. The client does
// not answer the server's own PINGs, so the baseline tolerates that.
func natsGreeting(channel string) []byte {
	return fmt.Appendf(nil, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c10m\",\"version\":\"1\",\"protocol\":1}\r\nSUB %s 1\r\nPING\r\n", channel)
}

// greet subscribes on a connection that has just got its answer. It keeps its slot
// and with it the handshake's time-out.
func (h *handler) greet(fd uint32, s *slot) {
	h.loop.Record(fd).Phase = phaseGreeting
	s.response = s.response[:0]
	h.dialect.subscribe(h, fd, h.requester.channelOf(int(s.number)))
}

// piece is called by the reader for a piece of a data message.
func (h *handler) piece(fd uint32, held *partial, p []byte, isLast bool) {
	if h.loop.Record(fd).Phase == phaseGreeting {
		p = h.awaitReady(fd, p)
	}
	if h.loop.Record(fd).Phase != phaseOpen {
		return
	}
	s, end := &held.scan, h.dialect.end
	for len(p) > 0 {
		n, found := s.take(p, end)
		if p = p[n:]; found {
			h.found(fd, held)
		}
	}
	if isLast && end == 0 {
		if s.inside {
			h.found(fd, held)
		}
		s.reset()
	}
}

// found is the end of a stamped payload.
func (h *handler) found(fd uint32, held *partial) {
	held.scan.digest.opcode = held.digest.opcode
	h.message(fd, &held.scan.digest)
	held.scan.reset()
}

// awaitReady collects what the server says until the connection counts as
// open, and returns what follows.
func (h *handler) awaitReady(fd uint32, p []byte) (rest []byte) {
	d, s := h.dialect, &h.dialer.slots[h.connection(fd).slot]
	s.response = append(s.response, p...)
	before, after, confirmed := bytes.Cut(s.response, []byte(d.ready))
	refusal := bytes.Index(before, []byte(d.refused))
	switch {
	case refusal >= 0 || !confirmed && len(s.response) >= responseBytesMax:
		h.counters.Problem = fmt.Sprintf("the server does not confirm the subscription: %.100q", s.response[max(refusal, 0):])
		h.ungreeted(fd, failedUpgrade, 0)
	case confirmed:
		h.opened(fd)
		return p[len(p)-len(after):]
	}
	return nil
}

// ungreeted gives up a connection whose greeting was not confirmed, and
// reports whether there was one.
func (h *handler) ungreeted(fd uint32, kind failure, errno unix.Errno) bool {
	record := h.loop.Record(fd)
	if record.Phase != phaseGreeting {
		return false
	}
	record.Phase = phaseClosing // nothing that comes in the same piece counts
	h.abandon(fd, kind, errno)
	return true
}

// A scan is a place in a stream of payloads that holds stamped ones.
type scan struct {
	digest digest // length: bytes of the stamp so far, then of the filler, too
	inside bool   // behind a stamp
}

func (s *scan) reset() {
	s.digest.reset(0)
	s.inside = false
}

// idle reports whether the next stamp has not begun.
func (s *scan) idle() bool { return !s.inside && s.digest.length == 0 }

// take goes on up to the end of p or of a stamped payload, and reports whether
// it was that. The payload has to end where end stands; anything else in place
// of filler is corruption.
func (s *scan) take(p []byte, end byte) (n int, found bool) {
	d := &s.digest
	if s.inside {
		n = d.addFiller(p)
		if n == len(p) {
			return n, false
		}
		d.corrupt = p[n] != end || end == 0
		return n, true
	}
	if d.length == 0 {
		n = bytes.IndexByte(p, stampMagic[0])
		if n < 0 {
			return len(p), false
		}
	}
	// No byte of the magic is its first, so after a mismatch no earlier byte
	// can begin one.
	for ; n < len(p) && d.length < stampSequence; n++ {
		if p[n] != stampMagic[d.length] {
			s.reset()
			return n, false
		}
		d.head[d.length] = p[n]
		d.length++
	}
	copied := copy(d.head[d.length:StampBytes], p[n:])
	d.length += uint64(copied)
	if d.length == StampBytes {
		d.sequence, d.nanos, d.stamped = parseStamp(d.head[:StampBytes])
		s.inside = d.stamped
		if !d.stamped {
			s.reset()
		}
	}
	return n + copied, false
}
