// Package slab keeps many small things of one size by number, outside the garbage
// collector's sight: chunks that are mapped as the first of their entries are needed, and
// never given back, since they are reused. So a table grows without being moved, and a
// stale number finds old memory, and does not fault.
//
// Entries hold no Go pointers. The list of those that are free goes through their last
// four bytes. A table belongs to one thread, but for Slots.Peek and Sparse.
package slab

import (
	"sync/atomic"
	"unsafe"

	"c10m/internal/offheap"
)

const (
	chunkShift = 12
	// ChunkEntries is how many entries of a Table are mapped together.
	ChunkEntries = 1 << chunkShift
	// ChunkBytes is how many bytes of Slots are.
	ChunkBytes = 64 << 10
)

// A Table is an array of T that grows. Either its owner grows it and says what is where,
// or it is given and taken by number. The zero value is empty.
type Table[T any] struct {
	chunks []*[ChunkEntries]T
	list
}

// A Sparse is an array of T of which parts are used, as of descriptors. Only the list of
// chunks is shared, and that is atomic: any thread may call the methods, and an entry
// belongs to whose number it is.
type Sparse[T any] struct {
	chunks []atomic.Pointer[[ChunkEntries]T]
}

// NewSparse makes an array that is indexed from 0 to n-1.
func NewSparse[T any](n int) *Sparse[T] {
	return &Sparse[T]{chunks: make([]atomic.Pointer[[ChunkEntries]T], n/ChunkEntries+1)}
}

// At returns an entry, nil if neither it nor a neighbour was made, or it is beyond the array.
func (s *Sparse[T]) At(n uint32) *T {
	if int(n>>chunkShift) >= len(s.chunks) {
		return nil
	}
	chunk := s.chunks[n>>chunkShift].Load()
	if chunk == nil {
		return nil
	}
	return &chunk[n&(ChunkEntries-1)]
}

// Make returns an entry, which is zero the first time, nil if it is beyond the array.
func (s *Sparse[T]) Make(n uint32) *T {
	if e := s.At(n); e != nil || int(n>>chunkShift) >= len(s.chunks) {
		return e
	}
	// Two threads may race for one chunk; the loser's mapping was never touched and costs
	// address space only.
	s.chunks[n>>chunkShift].CompareAndSwap(nil, offheap.Array[[ChunkEntries]T]())
	return s.At(n)
}

// A list is which numbers are taken.
type list struct {
	used  uint32 // numbers up to here were taken at least once
	free  uint32 // the first of those that are free again; 0 is none
	taken int
}

// Used is the largest number that was ever taken, 0 if none was; Taken is how many are.
func (l *list) Used() uint32 { return l.used }
func (l *list) Taken() int   { return l.taken }

// At returns the entry with a number that is below Len.
func (t *Table[T]) At(n uint32) *T { return &t.chunks[n>>chunkShift][n&(ChunkEntries-1)] }

// Len is how many entries there are, ChunkEntries more with each Grow. New ones are zero.
func (t *Table[T]) Len() int { return len(t.chunks) << chunkShift }

// Grow adds entries.
func (t *Table[T]) Grow() { t.chunks = append(t.chunks, offheap.Array[[ChunkEntries]T]()) }

// Take returns the number, never 0, of an entry that is zero and nobody else's until Give.
func (t *Table[T]) Take() (n uint32) {
	t.taken++
	if n = t.free; n != 0 {
		t.free = *t.link(n)
		*t.link(n) = 0
		return n
	}
	if t.used++; int(t.used) >= t.Len() {
		t.Grow()
	}
	return t.used
}

// Give ends the use of an entry.
func (t *Table[T]) Give(n uint32) {
	var none T
	t.taken--
	*t.At(n) = none
	*t.link(n), t.free = t.free, n
}

// link is the last four bytes of an entry, of which T must have so many.
func (t *Table[T]) link(n uint32) *uint32 {
	p := t.At(n)
	return (*uint32)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p)-4))
}

// Slots are pieces of memory of one size, a multiple of 4 up to ChunkBytes, which is
// known at run time only. Init comes first.
type Slots struct {
	bytes, perChunk uint32
	list
	chunks []*[ChunkBytes]byte
	view   atomic.Pointer[[]*[ChunkBytes]byte] // the same, for other threads
}

// Init says the size.
func (s *Slots) Init(bytes uint32) {
	if bytes < 4 || bytes%4 != 0 || bytes > ChunkBytes {
		panic("BUG: slots of no such size")
	}
	s.bytes, s.perChunk = bytes, ChunkBytes/bytes
}

// Bytes is the memory that is mapped.
func (s *Slots) Bytes() int { return len(s.chunks) * ChunkBytes }

// At returns the slot with a number up to Used.
func (s *Slots) At(n uint32) unsafe.Pointer {
	return unsafe.Pointer(&s.chunks[n/s.perChunk][n%s.perChunk*s.bytes])
}

// Peek is At for any thread, and for a number that may be nonsense: nil then.
func (s *Slots) Peek(n uint32) unsafe.Pointer {
	chunks := s.view.Load()
	if chunks == nil || int(n/s.perChunk) >= len(*chunks) {
		return nil
	}
	return unsafe.Pointer(&(*chunks)[n/s.perChunk][n%s.perChunk*s.bytes])
}

// Take returns the number, never 0, of a slot that is nobody else's until Give. It has
// what was in it last.
func (s *Slots) Take() (n uint32) {
	s.taken++
	if n = s.free; n != 0 {
		s.free = *s.link(n)
		return n
	}
	for s.used++; int(s.used/s.perChunk) >= len(s.chunks); {
		s.chunks = append(s.chunks, offheap.Array[[ChunkBytes]byte]())
		chunks := s.chunks
		s.view.Store(&chunks)
	}
	return s.used
}

// Give ends the use of a slot. All but its last four bytes stay as they are.
func (s *Slots) Give(n uint32) {
	s.taken--
	*s.link(n), s.free = s.free, n
}

func (s *Slots) link(n uint32) *uint32 {
	return (*uint32)(unsafe.Add(s.At(n), s.bytes-4))
}
