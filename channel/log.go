package channel

import "fmt"

// A log holds the frames of one channel that are still owed to somebody. It
// exists only while there are any.
//
// Every entry counts the members whose position it is, so the log knows
// without looking at a member when its oldest entry is owed to nobody. The sum
// of these counts is behind; members at the head are counted nowhere.
//
// It counts apart those of them that the sweep still has to visit: what they
// are owed is our own delay, and no reader is to pay for it.
type log struct {
	cell *cell

	// ring[(start+i)%len] is the entry with sequence number tail+i.
	ring  []entry
	start uint32
	count uint32
	tail  uint32
	bytes int

	turn      uint32 // of the registry, in which
	turnBytes int    // so many bytes were added

	behind  uint32 // members that are owed a frame
	blocked uint32 // those of them in the blocked list

	sweptTo    uint32 // the oldest entry that the sweep still has to bring to somebody, else the head
	sweepBytes int    // from there to the head

	blockedFirst uint32 // list of blocked members
	cursor       uint32 // next member of the sweep; 0 is the start of the channel's list

	// While evicting, blocked members before sequence number evictTo are
	// overrun, a slice at a time from evictCursor.
	evicting    bool
	evictCause  Cause
	evictTo     uint32
	evictCursor uint32

	queued   bool // in one of the registry's queues
	released bool // owed to nobody; goes to the spares when it leaves the queue
	overfull bool // counted in the registry's overfull
}

type entry struct {
	message *Message
	waiting uint32 // members whose position this is
	unswept uint32 // those of them that are not blocked: the sweep comes to them
}

func (g *log) head() uint32 { return g.tail + g.count }

func (g *log) entry(seq uint32) *entry {
	return &g.ring[(g.start+(seq-g.tail))&uint32(len(g.ring)-1)]
}

// append adds a message for all members that were up to date.
func (g *log) append(message *Message, upToDate uint32) {
	if int(g.count) == len(g.ring) {
		ring := make([]entry, max(4, 2*len(g.ring)))
		for i := range g.count {
			ring[i] = *g.entry(g.tail + i)
		}
		g.ring, g.start = ring, 0
	}
	g.count++
	*g.entry(g.head() - 1) = entry{message: message, waiting: upToDate, unswept: upToDate}
	g.behind += upToDate
	g.bytes += message.cost()
	g.sweepBytes += message.cost()
	g.cell.head = g.head()
	g.settle()
}

// move changes the position of a member that is behind.
func (g *log) move(m *member, seq uint32) {
	unswept := uint32(0)
	if m.flags&memberBlocked == 0 {
		unswept = 1
	}
	from := g.entry(m.seq)
	from.waiting--
	from.unswept -= unswept
	if seq == g.head() {
		g.behind--
	} else {
		to := g.entry(seq)
		to.waiting++
		to.unswept += unswept
	}
	m.seq = seq
	g.settle()
}

// block counts a member that is behind as blocked; unblock is the opposite,
// for one that has come to the head.
func (g *log) block(m *member) {
	m.flags |= memberBlocked
	g.entry(m.seq).unswept--
	g.blocked++
	g.settle()
}

func (g *log) unblock(m *member) {
	if m.seq != g.head() {
		panic("BUG: a member leaves the blocked list and is behind")
	}
	m.flags &^= memberBlocked
	g.blocked--
}

// settle moves sweptTo past what the sweep owes to nobody.
func (g *log) settle() {
	for g.sweptTo != g.head() && g.entry(g.sweptTo).unswept == 0 {
		g.sweepBytes -= g.entry(g.sweptTo).message.cost()
		g.sweptTo++
	}
}

// heldUp reports whether a blocked member keeps the oldest entry.
func (g *log) heldUp() bool {
	oldest := g.entry(g.tail)
	return g.count > 0 && oldest.waiting > oldest.unswept
}

// owing reports whether a sweep has something to do.
func (g *log) owing() bool { return g.behind > g.blocked || g.evicting }

// dropTail removes the oldest entry, which must be owed to nobody.
func (g *log) dropTail() *Message {
	e := g.entry(g.tail)
	message := e.message
	*e = entry{}
	g.tail++
	g.count--
	g.start = (g.start + 1) & uint32(len(g.ring)-1)
	g.bytes -= message.cost()
	return message
}

// check panics if the log's sums contradict each other. It looks at every
// entry, so only tests call it.
func (g *log) check() {
	waiting, unswept, bytes, sweepBytes := uint32(0), uint32(0), 0, 0
	for i := range g.count {
		e := g.entry(g.tail + i)
		waiting += e.waiting
		unswept += e.unswept
		bytes += e.message.cost()
		if i >= g.sweptTo-g.tail {
			sweepBytes += e.message.cost()
		} else if e.unswept > 0 {
			panic(fmt.Sprintf("BUG: log of %q: the sweep was at %d and has to visit %d", g.cell.name(), g.sweptTo, g.tail+i))
		}
	}
	if waiting != g.behind || unswept != g.behind-g.blocked || bytes != g.bytes || sweepBytes != g.sweepBytes ||
		g.behind > g.cell.members || g.cell.head != g.head() {
		panic(fmt.Sprintf("BUG: log of %q: waiting %d behind %d unswept %d blocked %d members %d bytes %d/%d unswept bytes %d/%d head %d/%d",
			g.cell.name(), waiting, g.behind, unswept, g.blocked, g.cell.members, bytes, g.bytes,
			sweepBytes, g.sweepBytes, g.cell.head, g.head()))
	}
}
