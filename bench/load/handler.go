package load

import (
	"math/rand/v2"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/poller"
)

// A connection is what the client keeps for an idle connection, laid over
// Record.Room: 24 bytes.
type connection struct {
	next     uint64 // the sequence number that is due, perhaps with atMost; 0: any
	number   uint32
	received uint32 // data messages
	slot     uint16 // while it is under way
	storm    uint8  // returns.storm when it was opened
	returned uint8  // 1: it came back and has got no message yet
	_        [4]byte
}

// The room holds it; a negative array length would not compile.
var _ [unsafe.Sizeof(poller.Record{}.Room) - unsafe.Sizeof(connection{})]byte

// Marks of a record: where to look for cold state.
const (
	markPartial = 1 << iota // handler.partials
	markUnsent              // handler.unsent
	markReturns             // when it is closed, it comes back
)

// A handler is one loop of the client.
type handler struct {
	// Fixed after construction.
	loop        *poller.Loop
	ends        ends
	config      *Config
	dialect     *Dialect
	requester   requester
	ledger      *ledger
	reader      reader
	clockOrigin int64 // Nanos minus loop.Clock

	// Owned by the loop.
	dialer  dialer
	returns returns
	highest uint32 // descriptor that was ever open
	buffer  []byte // of one Recv, then free again
	readAt  int64  // Nanos at that Recv, see readClock
	// When readAt is to be read again.
	readTurn                 int64
	readsLeft, readBytesLeft int
	sequence                 sequenceChecker
	gone                     []gone // lost against the client's will
	random                   *rand.Rand
	scratch                  []byte
	partials                 map[uint32]*partial // connections inside a message
	unsent                   map[uint32][]byte   // rests of what a full socket cut
	counters                 Counters
	arrivals                 arrivals
	latency                  Latencies // of stamped messages
	// From connect(2) to the 101, of first connects and of ways back.
	connects, reconnects Latencies
	delays               Latencies // from the loop's wake-up to a read
	printed              map[messageKey]*Printed
	track                *loopTrack // nil unless Drive is on
}

// arrivals are sums over all stamped messages, for who asks every second.
type arrivals struct {
	nanos   int64 // sum of latencies
	longest int64 // since it was last asked
}

func newHandler(loop *poller.Loop, ends ends, config *Config, d dialer, requester requester, ledger *ledger) *handler {
	h := &handler{
		loop:      loop,
		ends:      ends,
		config:    config,
		dialect:   config.Dialect,
		requester: requester,
		ledger:    ledger,
		dialer:    d,
		buffer:    make([]byte, readBufferBytes),
		random:    rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		partials:  make(map[uint32]*partial),
		unsent:    make(map[uint32][]byte),
		printed:   make(map[messageKey]*Printed),
		counters:  newCounters(),
	}
	h.reader = reader{sink: h, hashed: config.Print, inPieces: h.dialect.subscribe != nil}
	h.clockOrigin = Nanos() - loop.Clock()
	return h
}

func (h *handler) connection(fd uint32) *connection {
	return (*connection)(unsafe.Pointer(&h.loop.Record(fd).Room))
}

// Open is never called: the client has no listeners.
func (h *handler) Open(uint32, poller.Tag) { panic("BUG: a client accepted a connection") }

func (h *handler) Letter(any) { panic("BUG: a client takes functions only") }

func (h *handler) Full() bool { return false }

// Work closes and opens connections.
func (h *handler) Work() (more bool) {
	h.churn()
	more = h.drop()
	return h.dial() || more
}

// Tick looks after time-outs while there are connections under way, and wakes
// the loop for what Work is to do at a time.
func (h *handler) Tick() (next int64) {
	now := h.loop.Now()
	next = now + int64(time.Second)
	if h.returns.interval > 0 {
		next = min(next, h.returns.churnAt)
	}
	if h.returns.leavers.Len() > 0 {
		h.overdue(now)
		next = min(next, now+tickConnectingNanos)
	}
	if !h.dialer.busy() {
		return next
	}
	h.timeOuts(now)
	next = min(next, now+tickConnectingNanos)
	if retries := h.dialer.retries; len(retries) > 0 {
		next = min(next, retries[0].at)
	}
	if h.dialer.openAt > now {
		next = min(next, h.dialer.openAt)
	}
	return max(next, now+tickSoonestNanos)
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
	n, status := h.loop.Recv(fd, h.buffer)
	switch {
	case status == poller.Full:
		return
	case status != poller.OK || n == 0:
		h.ended(fd)
		return
	}
	h.received(fd, h.buffer[:n])
}

// ended takes note of a stream that is over.
func (h *handler) ended(fd uint32) {
	if h.ungreeted(fd, failedReset, unix.ECONNRESET) {
		return
	}
	if h.loop.Record(fd).Phase == phaseOpen {
		h.counters.Dropped++
		h.left(fd, true)
	}
	if h.loop.Record(fd).Phase == phaseLeaving {
		h.counters.Broken[brokenNotEchoed]++
	}
	h.loop.Close(fd)
}

// received hands bytes to the dialect's reader, together with the connection's
// place in a cut message, if there is one.
func (h *handler) received(fd uint32, p []byte) {
	record := h.loop.Record(fd)
	if record.Phase == phaseClosing {
		return // RFC 6455 section 1.4: nothing counts after a close
	}
	h.readClock(len(p))
	var held *partial
	if record.Marks&markPartial != 0 {
		held = h.partials[fd]
	}
	before := held
	held, v := h.dialect.feed(&h.reader, fd, held, p)
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

// readClock makes readAt the time now, to a few microseconds: the clock takes
// 40 ns and a read about 1,500, so it is read for the first of a turn and then
// for one of readsPerClock, or after more bytes than a few messages have.
func (h *handler) readClock(bytes int) {
	turn := h.loop.Now()
	h.readsLeft--
	if h.readBytesLeft -= bytes; turn == h.readTurn && h.readsLeft > 0 && h.readBytesLeft > 0 {
		return
	}
	h.readTurn, h.readsLeft, h.readBytesLeft = turn, readsPerClock, readBytesPerClock
	h.readAt = Nanos()
	h.delays.Observe(h.readAt - h.clockOrigin - h.ends.wokeAt())
}

// broken ends a connection whose server broke the protocol.
func (h *handler) broken(fd uint32) {
	if h.ungreeted(fd, failedUpgrade, 0) {
		return
	}
	if h.loop.Record(fd).Phase == phaseOpen {
		h.left(fd, true)
		h.loop.Record(fd).Phase = phaseClosing
	}
	h.loop.Close(fd)
}

// message is called by the reader for a data message.
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
	h.counters.LastAtNanos = h.readAt
	nanos := h.readAt - d.nanos
	h.latency.Observe(nanos)
	h.arrivals.nanos += nanos
	h.arrivals.longest = max(h.arrivals.longest, nanos)
	if c.returned != 0 {
		c.returned = 0
		h.counters.Served++
		h.counters.ServedAtNanos = h.readAt
	}
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
		p = &Printed{firstAtNanos: h.readAt, place: len(h.printed), Binary: d.opcode == opBinary, Bytes: d.length,
			Head: string(d.head[:min(d.length, headBytesMax)])}
		h.printed[key] = p
	}
	p.Connections++
}

// send writes. What a full socket does not take waits in unsent; while it waits, nothing
// else is written, as RFC 6455 section 5.5.3 allows for pongs.
func (h *handler) send(fd uint32, p []byte) (isSent bool) {
	record := h.loop.Record(fd)
	if record.Marks&markUnsent != 0 {
		return false
	}
	n, status := h.loop.Send(fd, poller.Words(p))
	if status.IsEnd() {
		return false // the next read tells why
	}
	if n < len(p) {
		h.unsent[fd] = append([]byte(nil), p[n:]...)
		record.Marks |= markUnsent
		h.loop.ArmWrite(fd, true)
	}
	return true
}

// flush goes on with the rest of what a full socket cut.
func (h *handler) flush(fd uint32) {
	rest := h.unsent[fd]
	n, status := h.loop.Send(fd, poller.Words(rest))
	if status == poller.Full {
		return
	}
	if status == poller.OK && n < len(rest) {
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
	c := h.connection(fd)
	h.sequence.forget(c.number)
	if record.Marks&markReturns != 0 {
		h.comeBack(c.number)
	}
	if h.config.Reset {
		h.ends.resetOnClose(fd)
	}
}
