package channel

import (
	"sort"
	"time"

	"c10m/poller"
)

// Interruptions: the bus may have lost messages, and nobody knows which, or of which
// channels. An interruption is a cut through all channels. It takes a number like a
// message, so a position before it cannot be continued (Hub.answer), and a letter to
// each loop, which stands in the mailbox between the messages before it and those
// behind it. A member that was there before the letter is untold until its owner
// tells it (Told) or it leaves. An untold member gets what was published before the
// cut and nothing of what came after: the sweep passes it over and asks the owner to
// tell it (Owner.Interrupted).
//
// Who is untold is four bits of the member: the registry's epoch when it came. A walk
// over all members would be as long as there are members, and a mark in each log
// needs a log for each channel.

// An Interruption is the letter to a loop. Over is the time in which it is to tell
// all that are untold.
type Interruption struct {
	Over   time.Duration
	number uint64
}

// Interrupted says that until now messages may have been published that did not come
// to the hub, and has the loops tell their members, evenly over a time. It waits
// where Publish does. It must come before what the bus has after the interruption.
func (h *Hub) Interrupted(over time.Duration) {
	// Alone: no message and no answer is on its way to one loop before the cut and to
	// another one behind it.
	h.cut.Lock()
	defer h.cut.Unlock()
	number := h.number.Add(1)
	h.unbroken.Store(number)
	for _, loop := range h.loops {
		h.insist(loop, &poller.Letter{Body: &Interruption{over, number}})
	}
}

// The epoch is the upper half of member.flags.
const (
	epochUnit = 1 << 4
	epochMask = 0xf0
	epochsMax = epochMask / epochUnit // that a member can be told apart from the latest
)

// interruptions is what a registry knows of those whose members are not all told.
type interruptions struct {
	epoch uint8  // of newcomers
	open  uint8  // how many epochs back there may be untold members
	first uint64 // number of the oldest of these interruptions
	// merges counts interruptions for which there was no epoch left: newcomers are
	// untold then, until a round that began after them is over, which may not come to
	// them. So who is passed over meanwhile is to be told at once.
	merges, merged uint64
}

// A Round is a walk over all connections that tells who is untold.
type Round struct {
	epoch  uint8
	merges uint64
}

// Interrupt makes all members untold.
func (r *Registry) Interrupt(cut *Interruption) {
	i := &r.interruptions
	if i.open == 0 {
		i.first = cut.number
	}
	if i.open == epochsMax {
		i.merges++
		return
	}
	i.open++
	i.epoch += epochUnit
}

// BeginRound and EndRound are around a walk that tells whoever is untold at its begin.
func (r *Registry) BeginRound() Round { return Round{r.interruptions.epoch, r.interruptions.merges} }

func (r *Registry) EndRound(round Round) {
	i := &r.interruptions
	i.open, i.merged = (i.epoch-round.epoch)/epochUnit, round.merges
	if i.merges != i.merged {
		i.open = max(i.open, 1)
	}
}

// Untold reports whether a member has still to be told of an interruption.
func (r *Registry) Untold(fd uint32) bool {
	m := r.member(fd)
	return m.channel != 0 && r.isUntold(m)
}

// Told says that a member, which has passed over what is in its log (CatchUp), knows of
// all interruptions up to here.
func (r *Registry) Told(fd uint32) {
	m := r.member(fd)
	m.flags = m.flags&^epochMask | r.interruptions.epoch
}

func (r *Registry) isUntold(m *member) bool {
	i := &r.interruptions
	return i.open > 0 && (m.flags&epochMask != i.epoch || i.merges != i.merged)
}

// until is how far a member that is behind may be served: to the head, or, if it is
// untold, up to the interruption. Sweeps ask it of each member, so it is inlined.
func (r *Registry) until(g *log, m *member) uint32 {
	if r.interruptions.open == 0 {
		return g.head()
	}
	return r.untilCut(g, m)
}

func (r *Registry) untilCut(g *log, m *member) uint32 {
	if !r.isUntold(m) {
		return g.head()
	}
	seq := m.seq
	if m.off > 0 {
		seq++ // what is begun is finished
	}
	left := int(g.head() - seq)
	return seq + uint32(sort.Search(left, func(n int) bool {
		return g.entry(seq+uint32(n)).message.number > r.interruptions.first
	}))
}

// pass moves an untold member, for which nothing is left from before the
// interruption, over the rest of the log, and has its owner tell it.
func (r *Registry) pass(g *log, fd uint32, m *member) {
	r.stats.Passed.Add(uint64(g.head() - m.seq))
	g.move(m, g.head())
	if m.flags&memberBlocked != 0 {
		r.unblock(g, fd, m)
	}
	r.owner.Interrupted(fd, r.interruptions.merges != r.interruptions.merged)
}
