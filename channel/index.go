package channel

import (
	"bytes"

	"c10m/internal/offheap"
)

// The index finds a channel's cell by name: linear hashing, chained through
// the cells. An insert splits at most one bucket and a removal merges at most
// one, so neither takes longer at ten million channels than at ten; there is
// never a rehash of everything. Its memory is 4 bytes per channel.
type index struct {
	cells  *cells
	chunks []*indexChunk
	// There are low+split buckets: those below split have been divided by the
	// mask 2*low-1, the rest still stand for low-1.
	low   uint32
	split uint32
	count uint32
}

const indexChunkBuckets = 1024

type indexChunk [indexChunkBuckets]ref

func (x *index) init(cells *cells) {
	x.cells = cells
	x.low = indexChunkBuckets
	x.chunks = []*indexChunk{offheap.Array[indexChunk]()}
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
}
