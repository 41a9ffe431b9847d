package load

import (
	"container/heap"
	"fmt"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"c10m/poller"
)

// The states of a connection, in Record.Phase.
const (
	phaseConnecting = 1 + iota // connect(2) is under way
	phaseUpgrading             // the request is on its way, or answered in part
	phaseGreeting              // the subscription is said, and not confirmed
	phaseOpen                  // messages come
	phaseClosing               // nothing counts any more; the end of the stream is due
	phaseLeaving               // our close frame is on its way; its echo is due
)

// A slot is what a connection under way needs until it is open. There are few
// of them, and they are used again and again.
type slot struct {
	used     bool
	again    bool  // it was open before
	tries    uint8 // before this one
	number   uint32
	fd       uint32
	begun    int64 // Nanos before the first try
	deadline int64
	accept   [acceptBytes]byte
	request  []byte // what is not sent yet
	buffer   []byte // behind request
	response []byte // what has come of the answer
}

// A retry is a connection that failed and may try again, or that was closed
// and comes back.
type retry struct {
	at     int64
	begun  int64 // Nanos before the first try; 0: this is it
	number uint32
	tries  uint8
	again  bool
}

// retries are in the order of their times (a heap): a storm makes as many as
// there are connections.
type retries []retry

func (r retries) Len() int           { return len(r) }
func (r retries) Less(i, j int) bool { return r[i].at < r[j].at }
func (r retries) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *retries) Push(x any)        { *r = append(*r, x.(retry)) }

func (r *retries) Pop() any {
	last := len(*r) - 1
	popped := (*r)[last]
	if *r = (*r)[:last]; last == 0 {
		*r = nil // after a storm it is a large one
	}
	return popped
}

// A dialer opens a loop's share of the connections: numbers next to last.
type dialer struct {
	// Fixed after construction.
	interval int64 // nanoseconds between two connects; 0: as fast as it goes
	timeout  int64
	tries    uint8
	first    uint32
	leads    *Progress // nil: nobody follows
	follows  *Progress // nil: nobody

	// Owned by the loop.
	next, last uint32 // numbers that were never tried
	retries    retries
	slots      []slot
	free       []uint16
	openAt     int64 // when the rate allows the next connect
}

func newDialer(first, last int, underWay int) dialer {
	d := dialer{first: uint32(first), next: uint32(first), last: uint32(last), slots: make([]slot, underWay)}
	for i := range d.slots {
		d.free = append(d.free, uint16(i))
	}
	return d
}

// busy reports whether some connections are not decided yet.
func (d *dialer) busy() bool {
	return d.next < d.last || len(d.retries) > 0 || len(d.free) < len(d.slots)
}

// take returns the next connection to try now.
func (d *dialer) take(now int64) (next retry, ok bool) {
	if len(d.retries) > 0 && now >= d.retries[0].at {
		return heap.Pop(&d.retries).(retry), true
	}
	if d.next < d.last && len(d.retries) < retriesWaitingMax && !d.ahead() {
		if d.next++; d.leads != nil {
			d.leads.begun.Add(1)
		}
		return retry{number: d.next - 1}, true
	}
	return retry{}, false
}

// ahead reports whether those whom this loop follows have still to come so far.
func (d *dialer) ahead() bool {
	return d.follows != nil && !d.follows.reached(int64(d.next-d.first), int64(d.last-d.first))
}

// A Progress is how far a client has come with its connections, for those that
// connect in step with it.
type Progress struct {
	// Wanted is how many connections the one that leads is to open.
	Wanted int
	begun  atomic.Int64
}

// reached reports whether n of all are no larger a share than what was begun.
func (p *Progress) reached(n, of int64) bool {
	return n*int64(p.Wanted) <= p.begun.Load()*of
}

// dial opens what may be opened now, up to opensPerTurnMax, and reports
// whether there is more that neither slots nor the rate hold back.
func (h *handler) dial() (more bool) {
	d, now := &h.dialer, h.loop.Now()
	for range opensPerTurnMax {
		if len(d.free) == 0 || now < d.openAt {
			return false
		}
		next, ok := d.take(now)
		if !ok {
			return false
		}
		if d.interval > 0 {
			d.openAt = max(d.openAt, now-paceBurstNanos) + d.interval
		}
		h.open(next)
	}
	return true
}

func (h *handler) open(next retry) {
	number := next.number
	if next.tries > 0 {
		h.counters.Retries++
	}
	if next.begun == 0 {
		next.begun = Nanos()
	}
	fd, errno := h.ends.open(int(number))
	if errno != 0 {
		h.failed(next, failureOf(errno), errno)
		return
	}
	d := &h.dialer
	index := d.free[len(d.free)-1]
	d.free = d.free[:len(d.free)-1]
	s := &d.slots[index]
	*s = slot{used: true, again: next.again, tries: next.tries, number: number, fd: fd, begun: next.begun,
		deadline: h.loop.Now() + d.timeout, buffer: s.buffer, response: s.response[:0]}
	c := h.connection(fd)
	c.number, c.slot = number, index
	c.storm = h.returns.storm
	h.highest = max(h.highest, fd)
	h.loop.Record(fd).Phase = phaseConnecting
	if h.dialect.request == nil {
		h.loop.ArmWrite(fd, true)
		return
	}
	s.buffer = h.dialect.request(h, s.buffer[:0], s)
	s.request = s.buffer
	// On loopback the connection is there already, so the request goes out
	// without a turn of epoll in between; elsewhere this says EAGAIN.
	h.sendRequest(fd, s)
}

// connecting goes on after epoll saw something on a socket under way. Its
// error is fetched with SO_ERROR, since a hang-up alone does not say why.
func (h *handler) connecting(fd uint32, s *slot) {
	if errno := h.ends.connectError(fd); errno != 0 {
		h.abandon(fd, failureOf(errno), errno)
		return
	}
	if h.dialect.request == nil {
		h.loop.ArmWrite(fd, false)
		h.opened(fd)
		return
	}
	h.sendRequest(fd, s)
}

func (h *handler) sendRequest(fd uint32, s *slot) {
	n, status := h.loop.Send(fd, poller.Words(s.request))
	switch {
	case status == poller.Full:
		h.loop.ArmWrite(fd, true)
		return
	case status != poller.OK:
		h.abandon(fd, failureOf(h.ends.Errno()), h.ends.Errno())
		return
	}
	s.request = s.request[n:]
	h.loop.Record(fd).Phase = phaseUpgrading
	h.loop.ArmWrite(fd, len(s.request) > 0)
}

// upgrading reads the answer to the request; what follows it are messages.
func (h *handler) upgrading(fd uint32, s *slot) {
	n, status := h.loop.Recv(fd, h.buffer)
	switch {
	case status == poller.Full:
		return
	case status != poller.OK:
		h.abandon(fd, failureOf(h.ends.Errno()), h.ends.Errno())
		return
	case n == 0:
		h.abandon(fd, failedReset, unix.ECONNRESET)
		return
	}
	before := len(s.response)
	s.response = append(s.response, h.buffer[:min(n, responseBytesMax-before)]...)
	a := h.dialect.answered(h, s, before)
	switch {
	case a.problem != "":
		h.counters.Problem = a.problem
		h.abandon(fd, failedUpgrade, 0)
		return
	case a.refusal != 0:
		h.abandon(fd, failedStatus, syscall.Errno(a.refusal))
		return
	case a.bytes == 0:
		return
	}
	if h.dialect.subscribe != nil {
		h.greet(fd, s)
	} else {
		h.opened(fd)
	}
	if rest := h.buffer[a.bytes-before : n]; len(rest) > 0 {
		h.received(fd, rest)
	}
}

// opened makes a connection an open one and frees its slot.
func (h *handler) opened(fd uint32) {
	c := h.connection(fd)
	s := &h.dialer.slots[c.slot]
	h.freeSlot(c.slot)
	h.loop.Record(fd).Phase = phaseOpen
	c.next = h.firstDue(c.number)
	h.counters.Opened++
	h.counters.Open++
	now := Nanos()
	if !s.again {
		h.connects.Observe(now - s.begun)
		h.counters.OpenedAtNanos = now
		return
	}
	c.returned = 1
	h.reconnects.Observe(now - s.begun)
	h.counters.Returned++
	h.counters.ReturnedAtNanos = now
}

// abandon gives up a try that is under way.
func (h *handler) abandon(fd uint32, kind failure, errno syscall.Errno) {
	c := h.connection(fd)
	s := &h.dialer.slots[c.slot]
	h.failed(retry{begun: s.begun, number: s.number, tries: s.tries, again: s.again}, kind, errno)
	h.freeSlot(c.slot)
	h.loop.Close(fd)
}

func (h *handler) freeSlot(index uint16) {
	h.dialer.slots[index].used = false
	h.dialer.free = append(h.dialer.free, index)
}

// failed counts a failed try, and lists the connection for another if its
// kind and its tries allow.
func (h *handler) failed(try retry, kind failure, errno syscall.Errno) {
	name := failureKinds[kind].name
	switch kind {
	case failedStatus:
		name = fmt.Sprintf("%s with %d", name, int(errno))
	case failedOther:
		h.counters.Problem = errno.Error()
	}
	h.counters.Failures[name]++
	if failureKinds[kind].final || try.tries >= h.dialer.tries {
		h.counters.GaveUp++
		if try.again {
			h.counters.NotBack++
		}
		return
	}
	try.at = h.loop.Now() + retryBackoffNanos<<try.tries
	try.tries++
	heap.Push(&h.dialer.retries, try)
}

// timeOuts abandons handshakes that take too long.
func (h *handler) timeOuts(now int64) {
	for i := range h.dialer.slots {
		if s := &h.dialer.slots[i]; s.used && now >= s.deadline {
			h.abandon(s.fd, failedTimedOut, unix.ETIMEDOUT)
		}
	}
}
