package poller

import "sync/atomic"

// A Letter is one entry of a loop's mailbox. The poster allocates it and does
// not touch it after Post.
type Letter struct {
	// Body is handed to the handler.
	Body any
	// Bytes counts against mailboxBytesMax until the loop has taken it.
	Bytes int

	next *Letter
}

// An order is a function that the loop runs, whatever else it has to do.
type order struct {
	run  func(*Loop)
	next *order
}

// A mailbox is a many-to-one queue: posters push onto an atomic stack, the
// loop takes the whole stack at once and turns it round. Nobody takes a lock.
type mailbox struct {
	// Shared: atomic.
	top    atomic.Pointer[Letter]
	count  atomic.Int64
	bytes  atomic.Int64
	asleep atomic.Bool // the loop waits, or is about to; the next poster wakes it
	queued atomic.Bool // the same at the turnstile; the next poster gives it a pass
	pass   atomic.Bool // it has one
	orders atomic.Pointer[order]

	// Owned by the loop.
	first, last *Letter // taken from the stack, oldest first
}

// push adds a letter and reports whether it fitted; the poster calls notify
// then.
func (m *mailbox) push(letter *Letter) (fitted bool) {
	if m.count.Add(1) > mailboxLettersMax || m.bytes.Load() > mailboxBytesMax {
		m.count.Add(-1)
		return false
	}
	m.add(letter)
	return true
}

// hasRoom reports whether a letter would fit.
func (m *mailbox) hasRoom() bool {
	return m.count.Load() < mailboxLettersMax && m.bytes.Load() <= mailboxBytesMax
}

// add pushes a letter that is counted.
func (m *mailbox) add(letter *Letter) {
	m.bytes.Add(int64(letter.Bytes))
	for {
		top := m.top.Load()
		letter.next = top
		if m.top.CompareAndSwap(top, letter) {
			return
		}
	}
}

// wakes and passes report whether it is the caller who has to wake the loop or
// give it a pass: once per edge from idle to busy, not once per letter.
func (m *mailbox) wakes() bool {
	return m.asleep.Load() && m.asleep.CompareAndSwap(true, false)
}

func (m *mailbox) passes() bool {
	return m.queued.Load() && m.queued.CompareAndSwap(true, false)
}

// command adds an order. Orders are few, from the operator's side of the
// process, so they are neither bounded nor refused.
func (m *mailbox) command(o *order) {
	for {
		o.next = m.orders.Load()
		if m.orders.CompareAndSwap(o.next, o) {
			return
		}
	}
}

// takeOrders returns all orders, oldest first.
func (m *mailbox) takeOrders() (oldest *order) {
	for newest := m.orders.Swap(nil); newest != nil; {
		newest, newest.next, oldest = newest.next, oldest, newest
	}
	return oldest
}

// collect moves what was posted to the end of the loop's own list.
func (m *mailbox) collect() {
	top := m.top.Swap(nil)
	if top == nil {
		return
	}
	newest := top
	var oldest *Letter
	for top != nil {
		top, top.next, oldest = top.next, oldest, top
	}
	if m.last == nil {
		m.first = oldest
	} else {
		m.last.next = oldest
	}
	m.last = newest
}

// next takes the oldest letter, or nil.
func (m *mailbox) next() *Letter {
	letter := m.first
	if letter == nil {
		return nil
	}
	m.first = letter.next
	if m.first == nil {
		m.last = nil
	}
	letter.next = nil
	m.count.Add(-1)
	m.bytes.Add(-int64(letter.Bytes))
	return letter
}

// idle reports whether nothing waits; the loop asks after it set asleep.
func (m *mailbox) idle() bool {
	return m.first == nil && m.top.Load() == nil && m.orders.Load() == nil
}
