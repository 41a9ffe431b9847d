package channel

import (
	"bytes"
	"sync/atomic"

	"c10m/internal/offheap"
)

// The index finds a channel's cell by name: linear hashing, chained through
// the cells. An insert splits at most one bucket and a removal merges at most
// one, so neither takes longer at ten million channels than at ten; there is
// never a rehash of everything. Its memory is 4 bytes per channel.
//
// Publishers look into it, too (has), so that a message goes only to the loops
// that have its channel. The loop alone writes, and makes version odd while it
// does: a reader that saw it change reads again, or assumes the channel.
type index struct {
	// Owned by the loop.
	cells  *cells
	chunks []*indexChunk
	// There are low+split buckets: those below split have been divided by the
	// mask 2*low-1, the rest still stand for low-1.
	low   uint32
	split uint32
	count uint32

	// Shared: atomic. What a publisher needs of the above.
	version atomic.Uint32
	shape   atomic.Uint64 // low and split
	view    atomic.Pointer[[]*indexChunk]
}

const (
	// hasTriesMax bounds the readings of a publisher whom a busy loop overtakes.
	hasTriesMax = 8
	// hasChainMax bounds a chain that changes while it is read.
	hasChainMax = 64
)

const indexChunkBuckets = 1024

type indexChunk [indexChunkBuckets]ref

func (x *index) init(cells *cells) {
	x.cells = cells
	x.low = indexChunkBuckets
	x.chunks = []*indexChunk{offheap.Array[indexChunk]()}
	x.show()
}

// show publishes the table's shape.
func (x *index) show() {
	if view := x.view.Load(); view == nil || len(*view) != len(x.chunks) {
		chunks := x.chunks
		x.view.Store(&chunks)
	}
	x.shape.Store(uint64(x.low)<<32 | uint64(x.split))
}

// has reports whether a channel whose name has this hash may be in the index.
// Any goroutine may call it. It says yes to a channel that was inserted before
// the call, and hardly ever to one that is not there.
func (x *index) has(hash uint32) bool {
	for range hasTriesMax {
		version := x.version.Load()
		if version&1 == 0 {
			found := x.peek(hash)
			if x.version.Load() == version {
				return found
			}
		}
	}
	return true
}

// members returns how many members the channel of a name has. Any goroutine may call it.
// A member that joined before the call is counted, one that left before it is not; those
// who come or go meanwhile are, or not. isKnown is false if the table changed during each of
// hasTriesMax readings.
func (x *index) members(name []byte, hash uint32) (n int, isKnown bool) {
	for range hasTriesMax {
		version := x.version.Load()
		if version&1 != 0 {
			continue
		}
		n, isKnown = x.peekMembers(name, hash)
		if isKnown && x.version.Load() == version {
			return n, true
		}
	}
	return 0, false
}

// peekMembers is members on a table that may be changing, as peek is has.
func (x *index) peekMembers(name []byte, hash uint32) (n int, isKnown bool) {
	r, isKnown := x.peekHead(hash)
	if !isKnown {
		return 0, false
	}
	for range hasChainMax {
		if r == 0 {
			return 0, true
		}
		c := x.cells.peek(r)
		if c == nil {
			return 0, false
		}
		if atomic.LoadUint32(&c.hash) == hash && bytes.Equal(c.name(), name) {
			return int(atomic.LoadUint32(&c.members)), true
		}
		r = ref(atomic.LoadUint32((*uint32)(&c.next)))
	}
	return 0, false
}

// peek is find by hash alone, on a table that may be changing. Its memory is
// never unmapped, so the worst is a wrong answer, which has throws away.
func (x *index) peek(hash uint32) bool {
	r, isKnown := x.peekHead(hash)
	if !isKnown {
		return true
	}
	for range hasChainMax {
		if r == 0 {
			return false
		}
		c := x.cells.peek(r)
		if c == nil || atomic.LoadUint32(&c.hash) == hash {
			return true
		}
		r = ref(atomic.LoadUint32((*uint32)(&c.next)))
	}
	return true
}

// peekHead returns where the chain of a hash begins.
func (x *index) peekHead(hash uint32) (r ref, isKnown bool) {
	shape, chunks := x.shape.Load(), *x.view.Load()
	low, split := uint32(shape>>32), uint32(shape)
	number := hash & (low - 1)
	if number < split {
		number = hash & (2*low - 1)
	}
	if int(number/indexChunkBuckets) >= len(chunks) {
		return 0, false
	}
	return ref(atomic.LoadUint32((*uint32)(&chunks[number/indexChunkBuckets][number%indexChunkBuckets]))), true
}

func (x *index) bucket(hash uint32) *ref {
	number := hash & (x.low - 1)
	if number < x.split {
		number = hash & (2*x.low - 1)
	}
	return x.head(number)
}

func (x *index) head(number uint32) *ref {
	return &x.chunks[number/indexChunkBuckets][number%indexChunkBuckets]
}

// find returns the cell of name, or 0.
func (x *index) find(name []byte, hash uint32) ref {
	for r := *x.bucket(hash); r != 0; {
		c := x.cells.at(r)
		if c.hash == hash && bytes.Equal(c.name(), name) {
			return r
		}
		r = c.next
	}
	return 0
}

// insert adds a cell whose name is not in the index.
func (x *index) insert(r ref) {
	x.version.Add(1)
	defer x.version.Add(1)
	c := x.cells.at(r)
	head := x.bucket(c.hash)
	c.next, *head = *head, r
	x.count++
	if x.count > x.low+x.split {
		x.grow()
	}
}

// remove takes a cell out.
func (x *index) remove(r ref) {
	x.version.Add(1)
	defer x.version.Add(1)
	c := x.cells.at(r)
	link := x.bucket(c.hash)
	for *link != r {
		if *link == 0 {
			panic("BUG: a channel is not in the index")
		}
		link = &x.cells.at(*link).next
	}
	*link = c.next
	x.count--
	// The gap between growing and shrinking keeps a registry that breathes
	// from doing both all the time.
	if x.low+x.split > indexChunkBuckets && x.count < (x.low+x.split)/4 {
		x.shrink()
	}
}

// grow divides the next bucket.
func (x *index) grow() {
	added := x.low + x.split
	if int(added/indexChunkBuckets) >= len(x.chunks) {
		x.chunks = append(x.chunks, offheap.Array[indexChunk]())
	}
	stay, move := x.head(x.split), x.head(added)
	r := *stay
	*stay, *move = 0, 0
	for r != 0 {
		c := x.cells.at(r)
		next := c.next
		to := stay
		if c.hash&x.low != 0 {
			to = move
		}
		c.next, *to = *to, r
		r = next
	}
	x.split++
	if x.split == x.low {
		x.low, x.split = 2*x.low, 0
	}
	x.show()
}

// shrink joins the last bucket with the one that it was divided from.
func (x *index) shrink() {
	if x.split == 0 {
		x.low /= 2
		x.split = x.low
	}
	x.split--
	from, to := x.head(x.low+x.split), x.head(x.split)
	for r := *from; r != 0; {
		c := x.cells.at(r)
		next := c.next
		c.next, *to = *to, r
		r = next
	}
	*from = 0
	x.show()
}
