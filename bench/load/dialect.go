package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Dialect is how another server is spoken to, so that the same client can
// measure it. The zero value is this project's own: the path is the channel,
// the 101 is the subscription, and a message is a payload.
type Dialect struct {
	Name string

	// path is the request target of a channel; nil: "/" and the channel.
	path func(channel string) string
	// protocol is offered as Sec-WebSocket-Protocol; empty: none. A server may
	// choose it or none (RFC 6455 section 4.1).
	protocol string
	// greeting is the payload of a frame that follows the 101, with the
	// subscription in it; nil: none, and the connection is open with the 101.
	greeting func(channel string) []byte
	opcode   byte // of the greeting's frame
	// ready is what has to be in the stream of payloads before a connection
	// counts as open, and refused what tells that it will not be.
	ready, refused string
	// end is the byte that follows a published payload. With a greeting, stamps
	// are looked for anywhere in the stream of payloads, whatever is around
	// them and wherever frames begin and end.
	end byte
}

var dialects = map[string]Dialect{
	"c10m":  {},
	"nchan": {}, // as the baseline's nginx.conf lays out its paths
	"centrifuge": {
		path:     func(string) string { return "/connection/websocket" },
		protocol: "centrifuge-json",
		greeting: centrifugeGreeting,
		opcode:   opText,
		ready:    `{"id":2,"subscribe":`,
		refused:  `"error":`,
		end:      '"',
	},
	"nats": {
		path:     func(string) string { return "/" },
		greeting: natsGreeting,
		opcode:   opBinary,
		ready:    "PONG\r\n",
		refused:  "-ERR",
		end:      '\r',
	},
}

// DialectOf returns the dialect of that name; empty is this project's own.
func DialectOf(name string) (Dialect, error) {
	if name == "" {
		name = "c10m"
	}
	d, ok := dialects[name]
	if !ok {
		return d, fmt.Errorf("--dialect is %q; there are %s", name, strings.Join(DialectNames(), ", "))
	}
	d.Name = name
	return d, nil
}

// DialectNames are those that DialectOf knows.
func DialectNames() []string { return slices.Sorted(maps.Keys(dialects)) }

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

// target is the path of a channel in the request.
func (d *Dialect) target(channel string) string {
	if d == nil || d.path == nil {
		return "/" + url.PathEscape(channel)
	}
	return d.path(channel)
}

// A speaker is what a loop needs for a dialect with a greeting.
type speaker struct {
	// Owned by the loop.
	scans map[uint32]*scan // connections inside a stamped payload
	free  *scan            // for the next
}

// speak makes the handler's frame reader follow the dialect.
func (h *handler) speak() {
	h.requester.dialect = &h.config.Dialect
	if h.config.Dialect.greeting != nil {
		h.speaker = speaker{scans: map[uint32]*scan{}, free: &scan{}}
		h.reader.stream = h.payload
	}
}

// greet subscribes on a connection that has just got its 101. It keeps its slot
// and with it the handshake's time-out.
func (h *handler) greet(fd uint32, s *slot, rest []byte) {
	h.loop.Record(fd).Phase = phaseGreeting
	s.response = s.response[:0]
	d := &h.config.Dialect
	h.send(fd, d.opcode, d.greeting(h.requester.channelOf(int(s.number))))
	h.frames(fd, rest)
}

// payload takes a piece of a data message.
func (h *handler) payload(fd uint32, opcode byte, p []byte) {
	record := h.loop.Record(fd)
	if record.Phase == phaseGreeting {
		p = h.awaitReady(fd, p)
	}
	if record.Phase != phaseOpen {
		return
	}
	s := h.speaker.free
	if record.Marks&markScan != 0 {
		s = h.speaker.scans[fd]
	}
	for len(p) > 0 {
		n, found := s.take(p, h.config.Dialect.end)
		p = p[n:]
		if found {
			s.digest.opcode = opcode
			h.message(fd, &s.digest)
			s.reset()
		}
	}
	switch held := record.Marks&markScan != 0; {
	case held && s.idle():
		h.forgetScan(fd)
	case !held && !s.idle():
		record.Marks |= markScan
		h.speaker.scans[fd], h.speaker.free = s, &scan{}
	}
}

func (h *handler) forgetScan(fd uint32) {
	h.loop.Record(fd).Marks &^= markScan
	delete(h.speaker.scans, fd)
}

// awaitReady collects what the server says until the connection counts as
// open, and returns what follows.
func (h *handler) awaitReady(fd uint32, p []byte) (rest []byte) {
	d, s := &h.config.Dialect, &h.dialer.slots[h.connection(fd).slot]
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
		d.corrupt = p[n] != end
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
