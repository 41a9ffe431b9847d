package timers

import (
	"math"
	"time"

	"c10m/internal/slab"
)

// An Expiry is when a connection's time is over: 12 bytes, pointer-free.
type Expiry struct {
	At         uint32 // in seconds of the loop's clock
	FD         uint32
	Generation uint32
}

// Never is the At of what no server will see: 136 years after the host started.
const Never = math.MaxUint32

// SecondAfter is the first whole second of the loop's clock when nanos have
// passed since now.
func SecondAfter(now, nanos int64) uint32 {
	if nanos > math.MaxInt64-now-int64(time.Second) {
		return Never
	}
	return uint32(min((now+nanos+int64(time.Second)-1)/int64(time.Second), Never))
}

// Expiries hold when something of a loop's connections ends, in any order:
// chunks of slab.ChunkEntries entries outside the garbage collector's sight, and of each
// chunk when its first is due, so that a look at them all, once a second, reads
// the entries of the chunks where something is due.
//
// Nobody says when a connection has ended before. Its entry stays
// until Add passes by: Add looks at three old entries for each that it adds, so
// where as many come as go, about every third one is stale. The entries are at most
// twice the connections of the busiest moment.
type Expiries struct {
	entries slab.Table[Expiry] // as many as there ever were
	first   []uint32           // of each chunk: nothing is due before
	count   int
	swept   int // where Add looks next
	chunk   int // where Expire looks next
}

func (x *Expiries) entry(i int) *Expiry { return x.entries.At(uint32(i)) }

// Len is how many entries there are, those of connections that have left included.
func (x *Expiries) Len() int { return x.count }

// Add adds an entry and drops those of three that are stale by the word of valid.
func (x *Expiries) Add(e Expiry, valid func(Expiry) bool) {
	if e.At == Never {
		return
	}
	for range 3 {
		switch {
		case x.swept >= x.count:
			x.swept = 0
		case valid(*x.entry(x.swept)):
			x.swept++
		default:
			x.remove(x.swept)
		}
	}
	if x.count == x.entries.Len() {
		x.entries.Grow()
		x.first = append(x.first, Never)
	}
	x.count++
	x.put(x.count-1, e)
}

func (x *Expiries) put(i int, e Expiry) {
	*x.entry(i) = e
	first := &x.first[uint(i)/slab.ChunkEntries]
	*first = min(*first, e.At)
}

// remove puts the last entry in the place of entry i.
func (x *Expiries) remove(i int) {
	x.count--
	if i != x.count {
		x.put(i, *x.entry(x.count))
	}
	if uint(x.count)%slab.ChunkEntries == 0 {
		x.first[uint(x.count)/slab.ChunkEntries] = Never // it is empty now
	}
}

func (x *Expiries) used() int {
	return int(uint(x.count+slab.ChunkEntries-1) / slab.ChunkEntries)
}

// Expire calls late for connections whose time is over, at most LatePerTickMax
// of them, and returns when to call it again if there are more.
func (x *Expiries) Expire(now int64, valid func(Expiry) bool, late func(fd uint32)) (next int64) {
	second := uint32(now / int64(time.Second))
	w := work{calls: LatePerTickMax, looks: looksPerTickMax, chunks: chunksPerTickMax}
	for range x.used() {
		if x.chunk >= x.used() {
			x.chunk = 0
		}
		if x.chunk < x.used() && x.first[x.chunk] <= second && !x.expireChunk(second, &w, valid, late) {
			return now + int64(TickMin)
		}
		x.chunk++
	}
	return math.MaxInt64
}

type work struct{ calls, looks, chunks int }

// expireChunk goes through the chunk x.chunk and reports whether it could do
// all.
func (x *Expiries) expireChunk(second uint32, w *work, valid func(Expiry) bool, late func(fd uint32)) (done bool) {
	if w.chunks == 0 {
		return false
	}
	w.chunks--
	first := uint32(Never)
	begin := x.chunk * slab.ChunkEntries
	for i := begin; i < min(begin+slab.ChunkEntries, x.count); {
		e := *x.entry(i)
		if e.At > second {
			first = min(first, e.At)
			i++
			continue
		}
		if w.calls == 0 || w.looks == 0 {
			return false
		}
		w.looks--
		// Out of the list first: late may come back here.
		x.remove(i)
		if valid(e) {
			w.calls--
			late(e.FD)
		}
	}
	x.first[x.chunk] = first
	return true
}
