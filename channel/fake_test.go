package channel

import (
	"fmt"
	"testing"
	"time"

	"c10m/poller"
)

// A host is a loop without a kernel: it is the registry's Socket and Owner, as
// strict as the real ones, and takes its turns when a test says so.
type host struct {
	tb       testing.TB
	registry *Registry
	hub      *Hub // of the messages
	stats    Stats
	now      int64
	records  []poller.Record
	peers    []peer

	urgent   int
	hurried  bool
	crowded  bool
	workBy   int64
	standing bool // the loop has no seat: only what is urgent
	closing  []uint32
	mailbox  []any
	overruns map[uint32]Cause // of connections that are open or were closed last
	failures map[uint32]poller.Status

	sends, sendvs, arms, closed int
	order                       []uint32 // descriptors in the order of writes, if recordOrder
	recordOrder                 bool
	onOverrun                   func(fd uint32, cause Cause)
	onClose                     func(fd uint32)
	interrupted, atOnce         []uint32
	onServed                    func(fd uint32, rest []byte)
}

// A peer is one connection's socket and what conn would keep for it.
type peer struct {
	open    bool
	closing bool
	armed   bool
	full    bool          // the last write was refused or cut
	discard bool          // count bytes, keep none
	room    int           // bytes that the socket takes before it is full
	broken  poller.Status // of all writes; OK is none
	script  []int         // of the next writes: the bytes that are taken, or minus a status
	stream  []byte
	armedAt int64

	owedFrame, owed []byte
}

func (p *peer) owes() bool { return len(p.owedFrame)+len(p.owed) > 0 }

const plenty = 1 << 40

func newHost(tb testing.TB, config Config, fds int) *host {
	h := &host{tb: tb, now: int64(time.Hour), records: make([]poller.Record, fds+1), peers: make([]peer, fds+1),
		overruns: map[uint32]Cause{}, failures: map[uint32]poller.Status{}}
	h.registry = NewRegistry(config, h, h, &h.stats)
	for fd := uint32(1); fd <= uint32(fds); fd++ {
		h.open(fd)
	}
	return h
}

var roomy = Config{LogBytes: 1 << 20, LogAge: 30 * time.Second, LogBytesTotal: 1 << 30}

func (h *host) open(fd uint32) {
	h.records[fd] = poller.Record{}
	h.peers[fd] = peer{open: true, room: plenty}
	delete(h.overruns, fd)
	delete(h.failures, fd)
}

func (h *host) subscribe(name string, fds ...uint32) {
	h.tb.Helper()
	for _, fd := range fds {
		if err := h.registry.Subscribe(fd, []byte(name)); err != nil {
			h.tb.Fatalf("subscribe %d to %q: %v", fd, name, err)
		}
	}
}

func span(from, to uint32) (fds []uint32) {
	for fd := from; fd <= to; fd++ {
		fds = append(fds, fd)
	}
	return fds
}

// publish hands a message to the registry at once, as a letter.
func (h *host) publish(name string, frame []byte) int {
	receipt := NewReceipt(1)
	h.registry.Letter(h.message(name, frame, receipt))
	return receipt.Wait()
}

func (h *host) message(name string, frame []byte, receipt *Receipt) *Message {
	return &Message{name: []byte(name), hash: hashName([]byte(name)), frame: frame, at: h.now, receipt: receipt, hub: h.hub, payloadBytes: uint32(len(frame))}
}

// Socket.

func (h *host) Room(fd uint32) *[3]uint64 { return &h.records[fd].Room }
func (h *host) Now() int64                { return h.now }
func (h *host) Clock() int64              { return h.now }
func (h *host) Urgent()                   { h.urgent++ }
func (h *host) Crowded() bool             { return h.crowded }
func (h *host) Hurried() bool             { return h.hurried }
func (h *host) Seated() bool              { return !h.standing }
func (h *host) WorkBy(at int64)           { h.workBy = at }

func (h *host) Send(fd uint32, piece poller.Piece) (int, poller.Status) {
	h.sends++
	return h.write(fd, []poller.Piece{piece})
}

func (h *host) Respond(fd uint32, p []byte) (int, poller.Status) {
	return h.Send(fd, poller.Words(p))
}

func (h *host) Sendv(fd uint32, pieces []poller.Piece) (int, poller.Status) {
	h.sendvs++
	bytes, last := poller.BytesOf(pieces), len(pieces)-1
	if last < 1 || bytes-len(pieces[last].Bytes()) >= bytesPerWriteMax {
		panic(fmt.Sprintf("a batch of %d frames and %d bytes", len(pieces), bytes))
	}
	return h.write(fd, pieces)
}

func (h *host) write(fd uint32, pieces []poller.Piece) (int, poller.Status) {
	p := &h.peers[fd]
	_, overrun := h.overruns[fd]
	_, failed := h.failures[fd]
	if !p.open || overrun || failed {
		panic(fmt.Sprintf("write to %d: open %v, overrun %v, failed %v", fd, p.open, overrun, failed))
	}
	if h.recordOrder {
		h.order = append(h.order, fd)
	}
	p.full = true
	if p.broken != poller.OK {
		return 0, p.broken
	}
	room, cut := p.room, len(p.script) > 0
	if cut {
		next := p.script[0]
		p.script = p.script[1:]
		if next < 0 {
			return 0, poller.Status(-next)
		}
		room = min(room, next)
	}
	n, total := 0, 0
	for i := range pieces {
		b := pieces[i].Bytes()
		take := min(len(b), room-n)
		if !p.discard {
			p.stream = append(p.stream, b[:take]...)
		}
		n += take
		total += len(b)
	}
	if n == 0 && total > 0 {
		return 0, poller.Full
	}
	p.room -= n
	p.full = n < total
	return n, poller.OK
}

func (h *host) ArmWrite(fd uint32, on bool) {
	p := &h.peers[fd]
	if !p.open {
		panic(fmt.Sprintf("ArmWrite of %d, which is closed", fd))
	}
	if on == p.armed {
		return
	}
	if on {
		h.arms++
		p.armedAt = h.now
	}
	p.armed = on
}

// Owner, with what conn does.

func (h *host) Overrun(fd uint32, cause Cause) {
	if _, twice := h.overruns[fd]; twice {
		panic(fmt.Sprintf("%d is overrun twice", fd))
	}
	if h.onOverrun != nil {
		h.onOverrun(fd, cause)
	}
	h.overruns[fd] = cause
	h.close(fd)
}

func (h *host) Failed(fd uint32, status poller.Status) {
	if _, twice := h.failures[fd]; twice {
		panic(fmt.Sprintf("%d failed twice", fd))
	}
	h.failures[fd] = status
	h.close(fd)
}

func (h *host) Owe(fd uint32, rest []byte) {
	p := &h.peers[fd]
	if p.owes() || len(rest) == 0 {
		panic(fmt.Sprintf("Owe %d: %d bytes, and it owes %d", fd, len(rest), len(p.owedFrame)))
	}
	p.owedFrame = rest
}

func (h *host) Interrupted(fd uint32, atOnce bool) {
	h.interrupted = append(h.interrupted, fd)
	if atOnce {
		h.atOnce = append(h.atOnce, fd)
	}
}

func (h *host) Served(fd uint32, rest []byte) {
	p := &h.peers[fd]
	if h.registry.Name(fd) != nil || p.owes() {
		panic(fmt.Sprintf("%d is served: its channel is %q, and it owes %d bytes", fd, h.registry.Name(fd), len(p.owedFrame)+len(p.owed)))
	}
	if h.onServed != nil {
		h.onServed(fd, rest)
	}
	if p.owedFrame = rest; len(rest) > 0 {
		h.ArmWrite(fd, true)
	}
}

func (h *host) close(fd uint32) {
	if p := &h.peers[fd]; !p.closing {
		p.closing = true
		h.closing = append(h.closing, fd)
	}
}

// say writes bytes of the owner's own, like conn.say.
func (h *host) say(fd uint32, b []byte) {
	p := &h.peers[fd]
	if !p.owes() {
		if !h.registry.MidFrame(fd) {
			n, status := h.Send(fd, poller.Words(b))
			if status.IsEnd() {
				h.close(fd)
				return
			}
			if b = b[n:]; len(b) == 0 {
				return
			}
		}
		p.owedFrame = h.registry.Hold(fd)
		h.ArmWrite(fd, true)
	}
	p.owed = append(p.owed, b...)
}

// writable is what epoll tells, like conn.writable.
func (h *host) writable(fd uint32) {
	p := &h.peers[fd]
	if !p.owes() {
		h.registry.Writable(fd)
		return
	}
	for _, owed := range []*[]byte{&p.owedFrame, &p.owed} {
		for len(*owed) > 0 {
			n, status := h.Send(fd, poller.Words(*owed))
			if status != poller.OK {
				if status.IsEnd() {
					h.close(fd)
				}
				return
			}
			*owed = (*owed)[n:]
		}
	}
	h.registry.Release(fd)
}

// turn is poller's turn: mailbox, events, sweeps, reaper. A tick is separate.
func (h *host) turn() (more bool) {
	for len(h.mailbox) > 0 && !h.registry.Full() {
		body := h.mailbox[0]
		h.mailbox = h.mailbox[1:]
		if f, ok := body.(func()); ok {
			f()
			continue
		}
		h.registry.Letter(body)
	}
	for fd := range h.peers {
		p := &h.peers[fd]
		if p.open && p.armed && !p.closing && (p.room > 0 || p.broken != 0) {
			h.writable(uint32(fd))
		}
	}
	more = h.registry.Work()
	h.reap()
	return more
}

func (h *host) reap() {
	for _, fd := range h.closing {
		if h.onClose != nil {
			h.onClose(fd)
		}
		h.registry.Unsubscribe(fd)
		h.records[fd] = poller.Record{}
		h.peers[fd].open = false
		h.closed++
	}
	h.closing = h.closing[:0]
}

// settle takes turns until nothing moves any more.
func (h *host) settle() {
	h.tb.Helper()
	for turns := 0; ; turns++ {
		before := h.sends + h.sendvs + h.closed
		more := h.turn()
		if !more && len(h.mailbox) == 0 && before == h.sends+h.sendvs+h.closed {
			return
		}
		if turns > 1_000_000 {
			h.tb.Fatal("the registry never comes to rest")
		}
	}
}

// log returns the log of a channel, or nil.
func (h *host) log(name string) *log {
	at := h.registry.index.find([]byte(name), hashName([]byte(name)))
	if at == 0 {
		return nil
	}
	return h.registry.logOf(h.registry.cells.at(at))
}

// setHead moves a channel that has members and no log to a sequence number.
func (h *host) setHead(name string, head uint32) {
	c := h.registry.cells.at(h.registry.index.find([]byte(name), hashName([]byte(name))))
	if c.log != 0 {
		panic("setHead with a log")
	}
	c.head = head
	for fd := c.first; fd != 0; fd = h.registry.member(fd).next {
		h.registry.member(fd).seq = head
	}
}

// stream returns what a peer got since the last call.
func (h *host) stream(fd uint32) string {
	s := string(h.peers[fd].stream)
	h.peers[fd].stream = nil
	return s
}

func (h *host) wantStream(fd uint32, want string) {
	h.tb.Helper()
	if got := h.stream(fd); got != want {
		h.tb.Errorf("connection %d got %.200q, want %.200q", fd, got, want)
	}
}
