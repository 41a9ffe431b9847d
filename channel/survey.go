package channel

import (
	"slices"
	"unsafe"
)

// What an operator who looks at a loop is told. It is asked on the loop's
// thread and answered there, at once or after some turns: each part is a walk in
// slices, and none of it runs, or takes memory, while nobody looks.

// A cellWalk is a place in a walk over all cells of a registry. A channel that
// comes or goes meanwhile is met or not.
type cellWalk struct {
	class int
	index uint32
}

// next returns the next channel with members, after at most *budget cells; nil if
// there is none in so many, or the walk is over.
func (w *cellWalk) next(s *cells, budget *int) *cell {
	for w.class < len(cellSizes) {
		if w.index >= s.classes[w.class].Used() {
			w.class, w.index = w.class+1, 0
			continue
		}
		if *budget == 0 {
			return nil
		}
		*budget--
		w.index++
		if c := s.slot(w.class, w.index); c.members > 0 {
			return c
		}
	}
	return nil
}

func (w *cellWalk) over() bool { return w.class == len(cellSizes) }

// A Survey asks a loop for its largest channels. The caller sets Match and Done,
// and does not touch it after Registry.Survey.
type Survey struct {
	// Match picks channels; nil picks all. It runs on the loop, once per channel,
	// and must not keep name.
	Match func(name string) bool
	// Done takes the answer. It runs on the loop and must not block.
	Done func(Surveyed)

	walk  cellWalk
	found Surveyed
}

// Surveyed is a loop's answer to a Survey.
type Surveyed struct {
	Channels int     // that match
	Members  int     // of them
	Largest  []Sized // of them, at most surveyLargestMax, in falling order
	Nanos    int64   // that the walk took of the loop's time
}

// A Sized is a channel with its members on one loop.
type Sized struct {
	Channel string
	Members int
}

// Survey answers a survey, a slice of surveyCellsPerTurnMax cells a turn. Only the
// loop's thread may call it, and Work has to be called after it.
func (r *Registry) Survey(ask *Survey) { r.surveys = append(r.surveys, ask) }

// survey continues the oldest survey.
func (r *Registry) survey() {
	if len(r.surveys) == 0 {
		return
	}
	ask, began := r.surveys[0], r.socket.Clock()
	for budget := surveyCellsPerTurnMax; ; {
		c := ask.walk.next(&r.cells, &budget)
		if c == nil {
			break
		}
		if ask.Match == nil || ask.Match(unsafe.String(unsafe.SliceData(c.name()), int(c.nameLen))) {
			ask.found.take(c)
		}
	}
	ask.found.Nanos += r.socket.Clock() - began
	if ask.walk.over() {
		r.surveys = slices.Delete(r.surveys, 0, 1)
		ask.Done(ask.found)
	}
}

// take counts a channel, and keeps it if it is one of the largest so far.
func (f *Surveyed) take(c *cell) {
	members := int(c.members)
	f.Channels++
	f.Members += members
	if len(f.Largest) == surveyLargestMax && members <= f.Largest[surveyLargestMax-1].Members {
		return
	}
	f.Largest = insertRanked(f.Largest, surveyLargestMax, Sized{string(c.name()), members}, func(s Sized) int64 { return int64(s.Members) })
}

// insertRanked inserts an entry into a list that descends by rank and is no longer than
// length; its last makes room. Equals keep the order in which they came.
func insertRanked[T any](list []T, length int, entry T, rank func(T) int64) []T {
	at, _ := slices.BinarySearchFunc(list, rank(entry), func(each T, entrys int64) int {
		if rank(each) >= entrys {
			return -1
		}
		return 1
	})
	return slices.Insert(list[:min(len(list), length-1)], at, entry)
}

// A Slow is a member that is behind because its socket is full.
type Slow struct {
	FD      uint32
	ID      uint32 // what SlowSurvey.Identify said of it
	Channel string
	Behind  int   // messages, the one that it stands in the middle of included
	Nanos   int64 // since its socket was found full, to a 128th of Config.LogAge
}

// A SlowSurvey asks a loop for the members that have been blocked the longest.
// The caller sets both functions, and does not touch it after Registry.SlowMembers.
type SlowSurvey struct {
	// Identify tells this owner of a descriptor from the next. It runs on the loop.
	Identify func(fd uint32) uint32
	// Done takes the answer, the slowest first. It runs on the loop and must not
	// block.
	Done func(slowest []Slow)

	next  int // in Registry.logs
	found []Slow
}

// SlowMembers answers a survey of slow members, a slice of the logs a turn. Of a
// log with very many of them, it looks at those that were blocked last. Only the
// loop's thread may call it, and Work has to be called after it.
func (r *Registry) SlowMembers(ask *SlowSurvey) { r.slowSurveys = append(r.slowSurveys, ask) }

// slowSurvey continues the oldest survey of slow members.
func (r *Registry) slowSurvey() {
	if len(r.slowSurveys) == 0 {
		return
	}
	ask := r.slowSurveys[0]
	for budget := slowLooksPerTurnMax; budget > 0 && ask.next < len(r.logs); ask.next++ {
		budget--
		if g := r.logs[ask.next]; g != nil && g.blocked > 0 {
			budget -= r.slowOf(g, ask)
		}
	}
	if ask.next >= len(r.logs) {
		r.slowSurveys = slices.Delete(r.slowSurveys, 0, 1)
		ask.Done(ask.found)
	}
}

// slowOf looks at the slow members of one log and returns how many it saw.
func (r *Registry) slowOf(g *log, ask *SlowSurvey) (looks int) {
	for fd := g.blockedFirst; fd != 0 && looks < slowLooksPerLogMax; looks++ {
		m := r.member(fd)
		if m.flags&memberDead == 0 {
			ask.take(r, g, fd, m)
		}
		fd = m.next
	}
	return looks
}

func (ask *SlowSurvey) take(r *Registry, g *log, fd uint32, m *member) {
	nanos := int64(r.ageNow()-m.since) * r.ageUnit
	if len(ask.found) == slowestMax && nanos <= ask.found[slowestMax-1].Nanos {
		return
	}
	ask.found = insertRanked(ask.found, slowestMax, Slow{
		FD: fd, ID: ask.Identify(fd), Channel: string(g.cell.name()),
		Behind: int(g.head() - m.seq), Nanos: nanos,
	}, func(s Slow) int64 { return s.Nanos })
}

// Members calls visit with the numbers of at most limit members of a channel, and returns how many
// there are. visit may ask the registry, and not change it. Only the loop's thread may call it.
func (r *Registry) Members(name []byte, limit int, visit func(fd uint32)) (members int) {
	at := r.index.find(name, hashName(name))
	if at == 0 {
		return 0
	}
	c := r.cells.at(at)
	lists := []uint32{c.first}
	if g := r.logOf(c); g != nil {
		lists = []uint32{g.blockedFirst, c.first} // the slow ones first
	}
	for _, fd := range lists {
		for ; fd != 0 && limit > 0; limit-- {
			visit(fd)
			fd = r.member(fd).next
		}
	}
	return int(c.members)
}

// Find returns a number that stands for a channel with members, for IsMember, and
// how many members it has; 0 and 0 if there are none. The number is another
// channel's when the last member has left. Only the loop's thread may call it.
func (r *Registry) Find(name []byte) (number uint32, members int) {
	at := r.index.find(name, hashName(name))
	if at == 0 {
		return 0, 0
	}
	return uint32(at), int(r.cells.at(at).members)
}

// IsMember reports whether fd is in the channel for which Find has just returned
// number. It touches the record of fd and nothing else.
func (r *Registry) IsMember(fd, number uint32) bool {
	return number != 0 && r.member(fd).channel == ref(number)
}
