package load

import (
	"math"
	"sync/atomic"
)

// A ledger knows the number of the last message of each channel. A number is
// entered before the message is handed to the bus, so whoever reads it knows
// that no later one has left.
type ledger struct {
	// Shared: atomic.
	shared    atomic.Uint64
	own       []atomic.Uint32 // by the number of the connection; nil: one channel for all
	published atomic.Uint64
}

func (l *ledger) last(number uint32) uint64 {
	if l.own != nil {
		return uint64(l.own[number].Load())
	}
	return l.shared.Load()
}

func (l *ledger) next(number uint32) uint64 {
	l.published.Add(1)
	if l.own != nil {
		return uint64(l.own[number].Add(1))
	}
	return l.shared.Add(1)
}

// Published is how many messages were handed out.
func (c *Client) Published() uint64 { return c.ledger.published.Load() }

// Next enters the next message of the channel of a connection, which is the
// same for all unless each has its own. Any goroutine may call it; messages of
// one channel have to be published in the order of their numbers.
func (c *Client) Next(connection int) Message {
	return Message{Connection: connection, Sequence: c.ledger.next(uint32(connection))}
}

// Missing counts the messages published so far that have neither come nor are
// known as lost: the ends of the connections' sequences. After the last message
// it is what is lost at the tail, once nothing more comes. It looks at every
// connection.
func (c *Client) Missing() (missing uint64) {
	c.each(func(h *handler) func() {
		mine := h.missing()
		return func() { missing += mine }
	})
	return missing
}

// gone is a connection that the server ended: what is published later, or was
// on its way, has not reached it.
type gone struct {
	number uint32
	next   uint64
}

func (h *handler) missing() (missing uint64) {
	due := func(number uint32, next uint64) uint64 {
		next &^= atMost
		if end := h.ledger.last(number) + 1; next != 0 && end > next {
			return end - next
		}
		return 0
	}
	h.loop.Walk(0, math.MaxInt, func(fd uint32) {
		if h.loop.Record(fd).Phase == phaseOpen {
			c := h.connection(fd)
			missing += due(c.number, c.next)
		}
	})
	for _, lost := range h.gone {
		missing += due(lost.number, lost.next)
	}
	return missing
}

// firstDue is what the first message of a new connection has to be.
func (h *handler) firstDue(number uint32) uint64 {
	if h.config.Publishes {
		return (h.ledger.last(number) + 1) | atMost
	}
	return h.config.FirstSequence
}

// left takes an open connection out of the counts. If it went against the
// client's will, what it misses from now on is remembered.
func (h *handler) left(fd uint32, unwanted bool) {
	h.counters.Open--
	if unwanted && h.config.Publishes && len(h.gone) < goneMax {
		c := h.connection(fd)
		h.gone = append(h.gone, gone{c.number, c.next})
	}
}
