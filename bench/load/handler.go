package load

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/poller"
)

// A connection is what the client keeps for an idle connection, laid over
// Record.Room: 24 bytes.
type connection struct {
	next     uint64 // the sequence number that is due; 0: any
	number   uint32
	received uint32 // data messages
	slot     uint16 // while it is under way
	_        [6]byte
}

// The room holds it; a negative array length would not compile.
var _ [unsafe.Sizeof(poller.Record{}.Room) - unsafe.Sizeof(connection{})]byte

// Marks of a record: where to look for cold state.
const (
	markPartial = 1 << iota // handler.partials
	markUnsent              // handler.unsent
)

// A handler is one loop of the client.
type handler struct {
	// Fixed after construction.
	loop      *poller.Loop
	config    *Config
	requester requester
	reader    frameReader

	// Owned by the loop.
	dialer   dialer
	buffer   []byte // of one Recv, then free again
	readAt   int64  // Nanos after that Recv
	random   *rand.Rand
	scratch  []byte
	partials map[uint32]*partial // connections inside a frame or a message
	unsent   map[uint32][]byte   // rests of control frames that a full socket cut
	counters Counters
	sequence sequenceChecker
	latency  Histogram
	printed  map[messageKey]*Printed
	track    *loopTrack // nil unless Drive is on
}

func newHandler(loop *poller.Loop, config *Config, d dialer) *handler {
	h := &handler{
		loop:      loop,
		config:    config,
		requester: newRequester(config.Channel),
		dialer:    d,
		buffer:    make([]byte, readBufferBytes),
		random:    rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		partials:  make(map[uint32]*partial),
		unsent:    make(map[uint32][]byte),
		printed:   make(map[messageKey]*Printed),
		counters:  newCounters(),
	}
	h.reader = frameReader{sink: h, hashed: config.Print}
	return h
}

func (h *handler) connection(fd uint32) *connection {
	return (*connection)(unsafe.Pointer(&h.loop.Record(fd).Room))
}

// Open is never called: the client has no listeners.
func (h *handler) Open(uint32) { panic("BUG: a client accepted a connection") }

func (h *handler) Letter(any) { panic("BUG: a client takes functions only") }

func (h *handler) Full() bool { return false }

// Work opens connections.
func (h *handler) Work() (more bool) { return h.dial() }

// Tick looks after time-outs while there are connections under way.
func (h *handler) Tick() (next int64) {
	now := h.loop.Now()
	if !h.dialer.busy() {
		return now + int64(time.Second)
	}
	h.timeOuts(now)
	next = now + tickConnectingNanos
	if h.dialer.openAt > now {
		next = min(next, h.dialer.openAt)
	}
	return next
}

// Event goes on with a connection where epoll saw something.
func (h *handler) Event(fd uint32, event poller.Event) {
	record := h.loop.Record(fd)
	switch record.Phase {
	case phaseConnecting:
		h.connecting(fd, &h.dialer.slots[h.connection(fd).slot])
		return
	case phaseUpgrading:
		s := &h.dialer.slots[h.connection(fd).slot]
		if event&poller.Writable != 0 {
			h.sendRequest(fd, s)
		}
		if event&poller.Readable != 0 && !h.loop.Closing(fd) {
			h.upgrading(fd, s)
		}
		return
	}
	if event&poller.Writable != 0 {
		h.flush(fd)
	}
	if event&poller.Readable != 0 && !h.loop.Closing(fd) {
		h.read(fd)
	}
}

// read takes once what is there; epoll reports again if that was not all, so
// that one busy connection does not keep the others waiting.
func (h *handler) read(fd uint32) {
	n, errno := h.loop.Recv(fd, h.buffer)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0 || n == 0:
		h.ended(fd)
		return
	}
	h.frames(fd, h.buffer[:n])
}

// ended takes note of a stream that is over.
func (h *handler) ended(fd uint32) {
	if h.loop.Record(fd).Phase == phaseOpen {
		h.counters.Dropped++
		h.counters.Open--
	}
	h.loop.Close(fd)
}

// frames hands bytes to the frame reader, together with the connection's
// place in a cut frame, if there is one.
func (h *handler) frames(fd uint32, p []byte) {
	record := h.loop.Record(fd)
	if record.Phase == phaseClosing {
		return // RFC 6455 section 1.4: nothing counts after a close
	}
	h.readAt = Nanos()
	var held *partial
	if record.Marks&markPartial != 0 {
		held = h.partials[fd]
	}
	before := held
	held, v := h.reader.feed(fd, held, p)
	if v != violationNone {
		h.counters.Broken[violationNames[v]]++
		h.broken(fd)
	}
	if held == before {
		return
	}
	if held == nil {
		record.Marks &^= markPartial
		delete(h.partials, fd)
		return
	}
	record.Marks |= markPartial
	h.partials[fd] = held
}

// broken ends a connection whose server broke the protocol.
func (h *handler) broken(fd uint32) {
	if h.loop.Record(fd).Phase == phaseOpen {
		h.counters.Open--
		h.loop.Record(fd).Phase = phaseClosing
	}
	h.loop.Close(fd)
}

// message is called by the frame reader for a data message.
func (h *handler) message(fd uint32, d *digest) {
	if h.loop.Record(fd).Phase != phaseOpen {
		return
	}
	c := h.connection(fd)
	h.counters.Bytes += d.length
	if d.opcode == opText {
		h.counters.Text++
	} else {
		h.counters.Binary++
	}
	if d.corrupt {
		h.counters.Corrupt++
	}
	c.received++
	if h.config.Expect > 0 {
		switch c.received {
		case uint32(h.config.Expect):
			h.counters.Complete++
		case uint32(h.config.Expect) + 1:
			h.counters.Surplus++
		}
	}
	if !d.stamped {
		if h.config.Print {
			h.print(d)
		}
		return
	}
	h.counters.Stamped++
	h.latency.Observe(time.Duration(h.readAt - d.nanos))
	if h.sequence.see(c.number, &c.next, d.sequence) != duplicate && h.track != nil {
		h.track.delivered(d.sequence)
	}
}

func (h *handler) print(d *digest) {
	key := d.key()
	p := h.printed[key]
	if p == nil {
		if len(h.printed) >= distinctMessagesMax {
			return
		}
		p = &Printed{Binary: d.opcode == opBinary, Bytes: d.length,
			Head: string(d.head[:min(d.length, headBytesMax)])}
		h.printed[key] = p
	}
	p.Connections++
}

// control is called by the frame reader for a ping, pong or close.
func (h *handler) control(fd uint32, opcode byte, payload []byte) {
	if h.loop.Record(fd).Phase != phaseOpen {
		return
	}
	switch opcode {
	case opPing:
		h.counters.Pings++
		if h.send(fd, opPong, payload) {
			h.counters.Pongs++
		}
	case opClose:
		h.closed(fd, payload)
	}
}

// closed answers a close frame with the same code (RFC 6455 section 5.5.1) and
// leaves it to the server to end the stream (section 7.1.1).
func (h *handler) closed(fd uint32, payload []byte) {
	code := uint16(1005) // section 7.1.5: none was given
	if len(payload) >= 2 {
		code = binary.BigEndian.Uint16(payload)
	}
	if len(payload) == 1 || !validCloseCode(code, len(payload) == 0) || len(payload) > 2 && !utf8.Valid(payload[2:]) {
		h.counters.Broken[violationNames[violationClose]]++
		h.broken(fd)
		return
	}
	h.counters.Closes[code]++
	h.counters.Open--
	h.send(fd, opClose, payload[:min(len(payload), 2)])
	h.loop.Record(fd).Phase = phaseClosing
}

// validCloseCode says what may stand in a close frame (RFC 6455 section 7.4
// and the registry that it opened).
func validCloseCode(code uint16, none bool) bool {
	switch {
	case none:
		return true
	case code == 1004 || code == 1005 || code == 1006:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}

// send writes a control frame. What a full socket does not take waits in
// unsent; while it waits, further frames are left out, as section 5.5.3 allows
// for pongs.
func (h *handler) send(fd uint32, opcode byte, payload []byte) bool {
	record := h.loop.Record(fd)
	if record.Marks&markUnsent != 0 {
		return false
	}
	h.scratch = appendMasked(h.scratch[:0], opcode, payload, h.random.Uint32())
	n, errno := h.loop.Send(fd, h.scratch)
	if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
		return false // the next read tells why
	}
	n = max(n, 0)
	if n < len(h.scratch) {
		h.unsent[fd] = append([]byte(nil), h.scratch[n:]...)
		record.Marks |= markUnsent
		h.loop.ArmWrite(fd, true)
	}
	return true
}

// flush goes on with the rest of a control frame.
func (h *handler) flush(fd uint32) {
	rest := h.unsent[fd]
	n, errno := h.loop.Send(fd, rest)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return
	}
	if errno == 0 && n < len(rest) {
		h.unsent[fd] = rest[n:]
		return
	}
	// All is sent, or the connection is broken, which the next read tells.
	delete(h.unsent, fd)
	h.loop.Record(fd).Marks &^= markUnsent
	h.loop.ArmWrite(fd, false)
}

// Closed drops the cold state of a connection.
func (h *handler) Closed(fd uint32) {
	record := h.loop.Record(fd)
	if record.Marks&markPartial != 0 {
		h.reader.release(h.partials[fd])
		delete(h.partials, fd)
	}
	if record.Marks&markUnsent != 0 {
		delete(h.unsent, fd)
	}
	h.sequence.forget(h.connection(fd).number)
	if h.config.Reset {
		resetOnClose(fd)
	}
}
