// Package fdtable keeps what a feature that the operator turned on has to
// remember per connection: a flat table that is indexed by descriptor, outside
// the garbage collector's sight, and apart from the connection's record, so that
// a feature that is off costs no byte of it.
//
// An entry belongs to the loop whose descriptor it is. Loops that share the
// process's descriptors share one table (only the list of chunks is shared, and
// that is atomic); loops with descriptor tables of their own have one each.
package fdtable

import (
	"sync/atomic"

	"c10m/internal/offheap"
)

const (
	chunkShift   = 12
	chunkEntries = 1 << chunkShift
)

// A Table has an entry of the pointer-free type T for each descriptor. A new
// entry is zero; whoever closes the descriptor must leave it so.
type Table[T any] struct {
	chunks []atomic.Pointer[[chunkEntries]T]
}

// New makes a table for the descriptors 0 to descriptorsMax-1. It takes memory
// only as entries are used: 4,096 of them are mapped together, and the kernel
// gives each page at its first touch.
func New[T any](descriptorsMax int) *Table[T] {
	return &Table[T]{chunks: make([]atomic.Pointer[[chunkEntries]T], descriptorsMax/chunkEntries+1)}
}

// Entry returns the entry of fd, which is below descriptorsMax. Only the loop
// that owns fd may call it.
func (t *Table[T]) Entry(fd uint32) *T {
	slot := &t.chunks[fd>>chunkShift]
	chunk := slot.Load()
	if chunk == nil {
		// Two loops may race for one chunk; the loser's mapping was never
		// touched and costs address space only.
		slot.CompareAndSwap(nil, offheap.Array[[chunkEntries]T]())
		chunk = slot.Load()
	}
	return &chunk[fd&(chunkEntries-1)]
}
