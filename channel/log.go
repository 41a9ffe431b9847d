package channel

import "fmt"

// A log holds the frames of one channel that are still owed to somebody. It
// exists only while there are any.
//
// Every entry counts the members whose position it is, so the log knows
// without looking at a member when its oldest entry is owed to nobody. The sum
// of these counts is behind; members at the head are counted nowhere.
type log struct {
	ref  ref
	cell *cell

	// ring[(start+i)%len] is the entry with sequence number tail+i.
	ring  []entry
	start uint32
	count uint32
	tail  uint32
	bytes int

	behind  uint32 // members that are owed a frame
	blocked uint32 // those of them in the blocked list

	blockedFirst uint32 // list of blocked members
	cursor       uint32 // next member of the sweep; 0 is the start of the channel's list

	// While evicting, blocked members before sequence number evictTo are
	// overrun, a slice at a time from evictCursor.
	evicting    bool
	evictTo     uint32
	evictCursor uint32

	queued   bool // in one of the registry's queues
	released bool // owed to nobody; goes to the spares when it leaves the queue
}

type entry struct {
	message *Message
	waiting uint32 // members whose position this is
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
	*g.entry(g.head() - 1) = entry{message: message, waiting: upToDate}
	g.behind += upToDate
	g.bytes += len(message.frame)
	g.cell.head = g.head()
}

// move changes the position of a member that is behind.
func (g *log) move(m *member, seq uint32) {
	g.entry(m.seq).waiting--
	if seq == g.head() {
		g.behind--
	} else {
		g.entry(seq).waiting++
	}
	m.seq = seq
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
	g.bytes -= len(message.frame)
	return message
}

// check panics if the log's sums contradict each other. It looks at every
// entry, so only tests call it.
func (g *log) check() {
	waiting, bytes := uint32(0), 0
	for i := range g.count {
		waiting += g.entry(g.tail + i).waiting
		bytes += len(g.entry(g.tail + i).message.frame)
	}
	if waiting != g.behind || bytes != g.bytes || g.blocked > g.behind || g.behind > g.cell.members || g.cell.head != g.head() {
		panic(fmt.Sprintf("BUG: log of %q: waiting %d behind %d blocked %d members %d bytes %d/%d head %d/%d",
			g.cell.name(), waiting, g.behind, g.blocked, g.cell.members, bytes, g.bytes, g.cell.head, g.head()))
	}
}
