package channel

import (
	"unsafe"

	"c10m/internal/slab"
)

// A cell is what a loop keeps per channel: these 25 bytes and the name behind
// them, in one slot of its size class. Cells hold no Go pointers and live
// outside the collector's sight, so a million channels are no heap objects.
type cell struct {
	next    ref    // hash chain
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
	refIndexBits  = 28
	cellHeadBytes = 25 // not unsafe.Sizeof(cell{}), which counts padding
)

// cellSizes are the slot sizes in bytes. Most names have under 24 bytes.
var cellSizes = [...]uint32{40, 48, 56, 64, 80, 96, 128, 192, 280}

// cells is a loop's store of cells, slots of a size class each. A ref's number is its
// slot's. All owned by the loop, but for peek.
type cells struct {
	classes [len(cellSizes)]slab.Slots
}

func (s *cells) init() {
	for class, size := range cellSizes {
		s.classes[class].Init(size)
	}
}

// at returns the cell of a ref.
func (s *cells) at(r ref) *cell {
	return s.slot(int(r>>refIndexBits), uint32(r)&(1<<refIndexBits-1))
}

func (s *cells) slot(class int, number uint32) *cell { return (*cell)(s.classes[class].At(number)) }

// peek is at for any goroutine, and for a ref that may be nonsense: nil then.
func (s *cells) peek(r ref) *cell {
	class := int(r >> refIndexBits)
	if class >= len(cellSizes) {
		return nil
	}
	return (*cell)(s.classes[class].Peek(uint32(r) & (1<<refIndexBits - 1)))
}

// name returns the name of a cell, valid until the cell is released.
func (c *cell) name() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(c), cellHeadBytes)), int(c.nameLen))
}

// make returns a new cell for name, which has at most NameBytesMax bytes.
func (s *cells) make(name []byte, hash uint32) (ref, *cell) {
	class := 0
	for cellHeadBytes+uint32(len(name)) > cellSizes[class] {
		class++
	}
	r := ref(class)<<refIndexBits | ref(s.classes[class].Take())
	c := s.at(r)
	*c = cell{hash: hash, nameLen: uint8(len(name))}
	copy(c.name(), name)
	return r, c
}

// release ends the use of a cell. A publisher who is at it may go on from there.
func (s *cells) release(r ref) {
	s.at(r).members = 0
	s.classes[r>>refIndexBits].Give(uint32(r) & (1<<refIndexBits - 1))
}
