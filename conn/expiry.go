package conn

import (
	"math"
	"time"

	"c10m/internal/offheap"
)

// An expiry is when a connection's token is over: 12 bytes, pointer-free.
type expiry struct {
	at         uint32 // in seconds of the loop's clock
	fd         uint32
	generation uint32
}

// expiryNever is the at of what no server will see: 136 years after the host
// started.
const expiryNever = math.MaxUint32

// secondAfter is the first whole second of the loop's clock when nanos have
// passed since now.
func secondAfter(now, nanos int64) uint32 {
	if nanos > math.MaxInt64-now-int64(time.Second) {
		return expiryNever
	}
	return uint32(min((now+nanos+int64(time.Second)-1)/int64(time.Second), expiryNever))
}

const (
	expiryChunkShift   = 12
	expiryChunkEntries = 1 << expiryChunkShift
)

// expiries hold when the tokens of a loop's connections end, in any order:
// chunks of 4,096 entries outside the garbage collector's sight, and of each
// chunk when its first is due, so that a look at them all, once a second, reads
// the entries of the chunks where something is due. A heap would be in order at
// the price of twenty steps through memory for each newcomer, and has to be
// moved as a whole when it grows.
//
// Nobody says when a connection has ended before its token. Its entry stays
// until add passes by: add looks at three old entries for each that it adds, so
// where as many come as go, about every third one is stale. The entries are at most
// twice the connections of the busiest moment.
type expiries struct {
	chunks []*[expiryChunkEntries]expiry // as many as there ever were entries for
	first  []uint32                      // of each chunk: nothing is due before
	count  int
	swept  int // where add looks next
	chunk  int // where expire looks next
}

func (x *expiries) entry(i int) *expiry {
	return &x.chunks[i>>expiryChunkShift][i&(expiryChunkEntries-1)]
}

// add adds an entry and drops those of three that are stale by the word of valid.
func (x *expiries) add(e expiry, valid func(expiry) bool) {
	if e.at == expiryNever {
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
	if x.count == len(x.chunks)<<expiryChunkShift {
		x.chunks = append(x.chunks, offheap.Array[[expiryChunkEntries]expiry]())
		x.first = append(x.first, expiryNever)
	}
	x.count++
	x.put(x.count-1, e)
}

func (x *expiries) put(i int, e expiry) {
	*x.entry(i) = e
	first := &x.first[i>>expiryChunkShift]
	*first = min(*first, e.at)
}

// remove puts the last entry in the place of entry i.
func (x *expiries) remove(i int) {
	x.count--
	if i != x.count {
		x.put(i, *x.entry(x.count))
	}
	if x.count&(expiryChunkEntries-1) == 0 {
		x.first[x.count>>expiryChunkShift] = expiryNever // it is empty now
	}
}

// used is the number of chunks with entries.
func (x *expiries) used() int {
	return (x.count + expiryChunkEntries - 1) >> expiryChunkShift
}

// expire calls late for connections whose token is over, at most latePerTickMax
// of them, and returns when to call it again if there are more.
func (x *expiries) expire(now int64, valid func(expiry) bool, late func(fd uint32)) (next int64) {
	second := uint32(now / int64(time.Second))
	w := expiryWork{calls: latePerTickMax, looks: expiryLooksPerTickMax, chunks: expiryChunksPerTickMax}
	for range x.used() {
		if x.chunk >= x.used() {
			x.chunk = 0
		}
		if x.chunk < x.used() && x.first[x.chunk] <= second && !x.expireChunk(second, &w, valid, late) {
			return now + int64(walkTickMin)
		}
		x.chunk++
	}
	return math.MaxInt64
}

// An expiryWork is what a tick may still do.
type expiryWork struct{ calls, looks, chunks int }

// expireChunk goes through the chunk x.chunk and reports whether it could do
// all.
func (x *expiries) expireChunk(second uint32, w *expiryWork, valid func(expiry) bool, late func(fd uint32)) (done bool) {
	if w.chunks == 0 {
		return false
	}
	w.chunks--
	first := uint32(expiryNever)
	begin := x.chunk << expiryChunkShift
	for i := begin; i < min(begin+expiryChunkEntries, x.count); {
		e := *x.entry(i)
		if e.at > second {
			first = min(first, e.at)
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
			late(e.fd)
		}
	}
	x.first[x.chunk] = first
	return true
}
