package redisbus

import (
	"sync"
	"sync/atomic"
)

// An outbox is the bounded queue of bytes between those who have something for
// a RESP peer (its own reader, with replies; publishers, with messages) and the
// peer's writer goroutine. Nobody writes to a socket under a lock.
type outbox struct {
	total *atomic.Int64 // bytes in all outboxes of the bus; fixed after construction

	mu   sync.Mutex
	wake sync.Cond // there is something to write, or it has ended
	room sync.Cond // something was written, or it has ended
	// Guarded by mu.
	queue    []byte
	aside    []byte // messages that came while a reply of many parts goes out
	inParts  bool   // such a reply has begun, and is not over
	writing  int    // bytes the writer holds at present
	resp3    bool   // the peer's protocol, here so that HELLO and messages have one order
	finished bool   // nothing more comes in; the writer writes the rest and leaves
	broken   bool   // as finished, and the rest is dropped
}

func newOutbox(total *atomic.Int64) *outbox {
	o := &outbox{total: total}
	o.wake.L, o.room.L = &o.mu, &o.mu
	return o
}

// reply queues bytes without a bound of its own: the reader waits for room
// before it reads another command.
func (o *outbox) reply(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(b)
}

// hello switches the protocol of all messages queued behind the reply.
func (o *outbox) hello(reply []byte, resp3 bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(reply)
	o.resp3 = resp3
}

// push queues a message in the peer's protocol. It returns false if the peer
// lags too far behind to take it, or is gone; nothing is queued then. It may be
// called from any goroutine and never blocks on the peer.
func (o *outbox) push(m *pushFrames) (ok, lagged bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return false, false
	}
	frame := m.frame(o.resp3)
	limit := subscriberQueueBytesMax
	if o.total.Load() > queuesBytesMax {
		limit = subscriberQueueTightBytesMax
	}
	// An empty queue takes any one message, or a large one could never arrive.
	if held := len(o.queue) + len(o.aside) + o.writing; held > 0 && held+len(frame) > limit {
		return false, true
	}
	if o.inParts {
		o.aside = append(o.aside, frame...)
		o.total.Add(int64(len(frame)))
		return true, false
	}
	o.add(frame)
	return true, false
}

// beginParts and endParts are around a reply that is queued in several pieces: a message
// between two of them would be one of its elements, and the peer lose count. It comes
// behind the reply.
func (o *outbox) beginParts() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inParts = true
}

func (o *outbox) endParts() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inParts = false
	if !o.finished { // else they are counted no more
		o.queue = append(o.queue, o.aside...)
	}
	o.aside = nil
	o.wake.Signal()
}

func (o *outbox) add(b []byte) {
	if o.finished {
		return
	}
	o.queue = append(o.queue, b...)
	o.total.Add(int64(len(b)))
	o.wake.Signal()
}

// waitRoom blocks the reader until less than replyQueueBytesMax waits or the
// outbox has ended.
func (o *outbox) waitRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.finished && len(o.queue)+o.writing > replyQueueBytesMax {
		o.room.Wait()
	}
}

// finish lets the writer write what is there and leave.
func (o *outbox) finish() { o.end(false) }

// abandon drops what is there. The writer leaves once its write fails.
func (o *outbox) abandon() { o.end(true) }

func (o *outbox) end(broken bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.finished {
		o.total.Add(-int64(len(o.aside)))
		o.aside = nil
	}
	o.finished = true
	if broken && !o.broken {
		o.broken = true
		o.total.Add(-int64(len(o.queue)))
		o.queue = nil
	}
	o.wake.Signal()
	o.room.Signal()
}

// take blocks until there is something to write and returns it; the writer gives
// it back with wrote. It returns nil when the writer should leave.
func (o *outbox) take(spare []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) == 0 && !o.finished {
		o.wake.Wait()
	}
	b := o.queue
	if len(b) == 0 {
		return nil
	}
	o.queue, o.writing = spare[:0], len(b)
	return b
}

// wrote accounts for n bytes of what take returned.
func (o *outbox) wrote(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing -= n
	o.total.Add(-int64(n))
	o.room.Signal()
}

// waiting is how many bytes are not written.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue) + len(o.aside) + o.writing
}

func (o *outbox) ending() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.finished
}
