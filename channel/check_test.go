package channel

import "fmt"

// check looks at everything that a registry keeps and panics if any of it
// contradicts the rest. names are all channels with members.
func (h *host) check() {
	r := h.registry
	members, blocked, bytes, logs, overfull := 0, 0, 0, 0, 0
	queued := map[*log]int{}
	for _, q := range []*queue{&r.small, &r.large} {
		for _, g := range q.logs[q.first:] {
			queued[g]++
		}
	}
	channels := 0
	h.cellsInUse(func(at ref, c *cell) {
		channels++
		if r.index.find(c.name(), hashName(c.name())) != at {
			panic(fmt.Sprintf("%q is not where the index says", c.name()))
		}
		g := r.logOf(c)
		waiting := map[uint32]uint32{}
		n := h.checkList(at, c, g, c.first, false, waiting)
		if g != nil {
			logs++
			bytes += g.bytes
			g.check()
			b := h.checkList(at, c, g, g.blockedFirst, true, waiting)
			n += b
			blocked += b
			h.checkLog(g, b, waiting, queued[g])
			if g.overfull {
				overfull++
			}
		}
		if n != int(c.members) {
			panic(fmt.Sprintf("%q has %d members, its lists %d", c.name(), c.members, n))
		}
		members += n
	})
	for g, times := range queued {
		if times != 1 || !g.queued {
			panic(fmt.Sprintf("a log is %d times in the queues, queued %v", times, g.queued))
		}
	}
	h.checkSpares(queued)
	got := [...]int{int(h.stats.Channels.Load()), int(r.index.count), int(h.stats.Members.Load()), int(h.stats.Blocked.Load()),
		int(h.stats.Logs.Load()), int(h.stats.LogBytes.Load()), r.bytesTotal, r.overfull, len(r.logs) - len(r.logsFree)}
	want := [...]int{channels, channels, members, blocked, logs, bytes, bytes, overfull, logs}
	if got != want {
		panic(fmt.Sprintf("channels, index, members, blocked, logs, bytes, total, overfull, slots: %v, counted %v", got, want))
	}
}

func (h *host) cellsInUse(visit func(at ref, c *cell)) {
	for class := range cellSizes {
		for i := uint32(1); i <= h.registry.cells.classes[class].Used(); i++ {
			if c := h.registry.cells.slot(class, i); c.members > 0 {
				visit(ref(class)<<refIndexBits|ref(i), c)
			}
		}
	}
}

// checkList walks one list of members, counts them and adds up their positions.
func (h *host) checkList(at ref, c *cell, g *log, first uint32, blocked bool, waiting map[uint32]uint32) (n int) {
	prev := uint32(0)
	for fd := first; fd != 0; fd = h.registry.member(fd).next {
		m := h.registry.member(fd)
		if m.channel != at || m.prev != prev || (m.flags&memberBlocked != 0) != blocked {
			panic(fmt.Sprintf("list of %q, blocked %v: member %d is %+v after %d", c.name(), blocked, fd, *m, prev))
		}
		if m.seq != c.head {
			waiting[m.seq]++
		} else if blocked || m.off != 0 {
			panic(fmt.Sprintf("member %d is at the head: %+v", fd, *m))
		}
		if m.off != 0 && !blocked {
			panic(fmt.Sprintf("member %d stands in a frame and is not blocked", fd))
		}
		if blocked && m.flags&(memberDead|memberHeld) == 0 && !h.peers[fd].armed {
			panic(fmt.Sprintf("member %d is blocked and waits for nothing", fd))
		}
		if n++; n > len(h.peers) {
			panic("a list is a ring")
		}
		prev = fd
	}
	return n
}

func (h *host) checkLog(g *log, blocked int, waiting map[uint32]uint32, queued int) {
	for i := range g.count {
		if e := g.entry(g.tail + i); e.waiting != waiting[g.tail+i] {
			panic(fmt.Sprintf("entry %d of %d: %d wait, %d counted", i, g.count, e.waiting, waiting[g.tail+i]))
		}
		delete(waiting, g.tail+i)
	}
	if len(waiting) > 0 || g.count == 0 || g.entry(g.tail).waiting == 0 || blocked != int(g.blocked) || g.released {
		panic(fmt.Sprintf("a log of %d entries, blocked %d, counted %d, outside %v, released %v",
			g.count, g.blocked, blocked, waiting, g.released))
	}
	if g.owing() && queued == 0 || g.queued != (queued == 1) {
		panic(fmt.Sprintf("a log owes %v and is %d times queued", g.owing(), queued))
	}
	for i := range uint32(len(g.ring)) - g.count {
		if e := g.entry(g.head() + i); *e != (entry{}) {
			panic("a dropped message is still in its ring")
		}
	}
}

func (h *host) checkSpares(queued map[*log]int) {
	seen := map[*log]bool{}
	for _, g := range h.registry.logs {
		if g != nil {
			seen[g] = true
		}
	}
	for _, g := range h.registry.spares {
		if seen[g] || queued[g] > 0 || !g.released {
			panic("a spare log is in use, or a spare twice")
		}
		seen[g] = true
	}
}

// checkEmpty is what must be left when all members are gone.
func (h *host) checkEmpty() {
	h.check()
	r := h.registry
	if h.stats.Channels.Load() != 0 || h.stats.Members.Load() != 0 || r.bytesTotal != 0 || r.overfull != 0 || r.Full() {
		panic(fmt.Sprintf("not empty: %d channels, %d members, %d bytes, %d overfull",
			h.stats.Channels.Load(), h.stats.Members.Load(), r.bytesTotal, r.overfull))
	}
	for h.registry.Work() {
	}
	if r.small.len()+r.large.len() != 0 {
		panic("something is queued for nobody")
	}
}
