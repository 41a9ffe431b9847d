package load

import (
	"testing"
)

// What has been published and has not come is missing, at connections that are
// there and at those that the server ended, not at those that left by
// themselves.
func TestMissing(t *testing.T) {
	h, fds := benchHandler(t, 3)
	ledger := h.ledger
	publish := func(to ...uint32) {
		n := ledger.next(0)
		for _, fd := range to {
			h.received(fd, AppendStampedFrame(nil, n, Nanos(), 64))
		}
	}
	missing := func(wanted uint64) {
		t.Helper()
		if n := h.missing(); n != wanted {
			t.Errorf("%v missing instead of %d", n, wanted)
		}
	}
	missing(0)
	publish(fds[0], fds[1])
	missing(1)
	publish(fds[0], fds[1], fds[2]) // now it is a gap, and known as lost
	missing(0)
	if h.sequence.Lost != 1 {
		t.Errorf("%d lost", h.sequence.Lost)
	}
	h.ended(fds[2])
	publish(fds[0])
	missing(2)
	h.leave(fds[1], false)
	missing(1)
	if h.counters.Open != 1 || h.counters.Left != 1 || h.counters.Dropped != 1 {
		t.Errorf("%+v", h.counters)
	}
}

// The first message of a connection that comes while messages flow may be an
// old one, and at most the next.
func TestFirstDue(t *testing.T) {
	h, fds := benchHandler(t, 2)
	ledger := h.ledger
	for range 5 {
		ledger.next(0)
	}
	for _, fd := range fds {
		h.connection(fd).next = h.firstDue(0)
	}
	if n := h.missing(); n != 0 {
		t.Errorf("%v missing of what was published before", n)
	}
	h.received(fds[0], AppendStampedFrame(nil, 4, 0, 64)) // it overtook us
	if n := h.missing(); n != 1 {
		t.Errorf("%v missing after an early one", n)
	}
	h.received(fds[0], AppendStampedFrame(nil, 5, 0, 64))
	ledger.next(0)
	ledger.next(0)
	h.received(fds[0], AppendStampedFrame(nil, 6, 0, 64))
	h.received(fds[0], AppendStampedFrame(nil, 7, 0, 64))
	h.received(fds[1], AppendStampedFrame(nil, 7, 0, 64)) // 6 was due
	if s := h.report(false); s.Lost != 1 || s.Duplicated != 0 || s.OutOfOrder != 0 || s.Delivered() != 5 {
		t.Errorf("%+v", s.Counters)
	}
}
