package channel

import "slices"

// A busyList finds the channels with the most deliveries in the time since it was
// last read, without a counter per channel: there is no room for one in a cell, and
// a walk over ten million of them every second is out of the question. It is the
// space-saving summary of Metwally, Agrawal and El Abbadi (2005): busyEntries
// channels are counted, and one that is not among them takes the place, and the
// count, of the least. So any channel with more than one in busyEntries of the
// loop's deliveries is in it, and no count is too low; Surplus says by how much it
// may be too high.
//
// A registry has one only while somebody looks.
type busyList struct {
	refs    [busyEntries]ref // apart, so that a search reads four cache lines
	entries [busyEntries]busyEntry
	used    int
	since   int64
}

type busyEntry struct {
	hash       uint32 // since a cell gets another channel one day
	messages   uint64
	deliveries uint64
	surplus    uint64
}

// A Busy is a channel with what was published to it on one loop.
type Busy struct {
	Channel    string
	Members    int    // now
	Messages   uint64 // those of Surplus are not in it
	Deliveries uint64 // messages times members, whether or not they are written yet
	Surplus    uint64 // of the deliveries, that may be another channel's
}

// note counts a message that entered the log of a channel.
func (b *busyList) note(at ref, c *cell) {
	i := slices.Index(b.refs[:b.used], at)
	switch {
	case i >= 0 && b.entries[i].hash == c.hash:
	case i >= 0:
		b.entries[i] = busyEntry{hash: c.hash}
	case b.used < busyEntries:
		i = b.used
		b.used++
		b.refs[i], b.entries[i] = at, busyEntry{hash: c.hash}
	default:
		i = 0
		for j := range b.entries {
			if b.entries[j].deliveries < b.entries[i].deliveries {
				i = j
			}
		}
		least := b.entries[i].deliveries
		b.refs[i], b.entries[i] = at, busyEntry{hash: c.hash, deliveries: least, surplus: least}
	}
	b.entries[i].messages++
	b.entries[i].deliveries += uint64(c.members)
}

// Busiest returns the channels with the most deliveries since it was called
// before, at most busyEntries in falling order, and for how many nanoseconds that
// is. Who calls for the first time, or after busyIdleSeconds, begins: the answer is
// empty then. Only the loop's thread may call it.
func (r *Registry) Busiest() (busiest []Busy, nanos int64) {
	now := r.socket.Now()
	b := r.busy
	if b == nil {
		r.busy = &busyList{since: now}
		return nil, 0
	}
	for i, at := range b.refs[:b.used] {
		c, e := r.cells.at(at), &b.entries[i]
		if c.members == 0 || c.hash != e.hash {
			continue // its last member has left
		}
		busiest = append(busiest, Busy{string(c.name()), int(c.members), e.messages, e.deliveries, e.surplus})
	}
	slices.SortFunc(busiest, func(x, y Busy) int {
		switch {
		case x.Deliveries > y.Deliveries:
			return -1
		case x.Deliveries < y.Deliveries:
			return 1
		}
		return 0
	})
	nanos = now - b.since
	*b = busyList{since: now}
	return busiest, nanos
}

// forgetBusy ends the counting when nobody has looked for a while. A tick calls it.
func (r *Registry) forgetBusy() {
	if r.busy != nil && r.socket.Now()-r.busy.since > busyIdleSeconds*1e9 {
		r.busy = nil
	}
}
