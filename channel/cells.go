package channel

import (
	"sync/atomic"
	"unsafe"

	"c10m/internal/offheap"
)

// A cell is what a loop keeps per channel: these 25 bytes and the name behind
// them, in one slot of its size class. Cells hold no Go pointers and live
// outside the collector's sight, so a million channels are no heap objects.
type cell struct {
	next    ref    // hash chain while in use, free list otherwise
	hash    uint32 // of the name
	first   uint32 // list of members that are not blocked, by descriptor; 0 ends
	members uint32 // all of them; 0 marks a free cell
	head    uint32 // sequence number of the next frame
	log     uint32 // 1 + index of the log while frames are owed, else 0
	nameLen uint8
}

// A ref names a cell: 4 bits of size class and 28 bits of number. 0 is none.
type ref uint32

const (
	refIndexBits   = 28
	cellHeadBytes  = 25 // not unsafe.Sizeof(cell{}), which counts padding
	cellChunkBytes = 64 << 10
)

// cellSizes are the slot sizes in bytes. Most names have under 24 bytes.
var cellSizes = [...]uintptr{40, 48, 56, 64, 80, 96, 128, 192, 280}

type cellChunk [cellChunkBytes]byte

// cells is a loop's store of cells: per size class a list of chunks, a number
// up to which slots were ever used, and a free list. All owned by the loop.
type cells struct {
	classes [len(cellSizes)]cellClass
}

type cellClass struct {
	chunks []*cellChunk
	view   atomic.Pointer[[]*cellChunk] // the same, for publishers
	used   uint32                       // slots 1 to used were handed out at least once
	free   ref
}

func cellsPerChunk(class int) uint32 { return uint32(cellChunkBytes / cellSizes[class]) }

// at returns the cell of a ref.
func (s *cells) at(r ref) *cell {
	return s.slot(int(r>>refIndexBits), uint32(r)&(1<<refIndexBits-1))
}

func (s *cells) slot(class int, index uint32) *cell {
	per := cellsPerChunk(class)
	chunk := s.classes[class].chunks[index/per]
	return (*cell)(unsafe.Pointer(&chunk[uintptr(index%per)*cellSizes[class]]))
}

// peek is at for any goroutine, and for a ref that may be nonsense: nil then.
func (s *cells) peek(r ref) *cell {
	class, index := int(r>>refIndexBits), uint32(r)&(1<<refIndexBits-1)
	if class >= len(cellSizes) {
		return nil
	}
	chunks, per := s.classes[class].view.Load(), cellsPerChunk(class)
	if chunks == nil || int(index/per) >= len(*chunks) {
		return nil
	}
	return (*cell)(unsafe.Pointer(&(*chunks)[index/per][uintptr(index%per)*cellSizes[class]]))
}

// name returns the name of a cell, valid until the cell is released.
func (c *cell) name() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(c), cellHeadBytes)), int(c.nameLen))
}

// make returns a new cell for name, which has at most NameBytesMax bytes.
func (s *cells) make(name []byte, hash uint32) (ref, *cell) {
	class := 0
	for cellHeadBytes+uintptr(len(name)) > cellSizes[class] {
		class++
	}
	k := &s.classes[class]
	r := k.free
	if r != 0 {
		k.free = s.at(r).next
	} else {
		k.used++ // slot 0 stays empty, so that no ref is 0
		if int(k.used/cellsPerChunk(class)) >= len(k.chunks) {
			k.chunks = append(k.chunks, offheap.Array[cellChunk]())
			chunks := k.chunks
			k.view.Store(&chunks)
		}
		r = ref(class)<<refIndexBits | ref(k.used)
	}
	c := s.at(r)
	*c = cell{hash: hash, nameLen: uint8(len(name))}
	copy(c.name(), name)
	return r, c
}

// release puts a cell on the free list of its class.
func (s *cells) release(r ref) {
	k := &s.classes[r>>refIndexBits]
	c := s.at(r)
	c.members = 0
	c.next = k.free
	k.free = r
}
