package access

import (
	"unsafe"

	"c10m/internal/slab"
)

// A PatternStore keeps the PackedPatterns of a loop's connections, outside the garbage
// collector's sight, in slots of 64 bytes to 32 KiB. NewPatternStore makes one; it belongs
// to the loop's thread.
type PatternStore struct{ classes [slotClasses]slab.Slots }

const (
	slotBytesMin = 64
	// slotClasses: the last has slotBytesMax, more than the head of a request may have
	// (--request-bytes), of which a token is a part, and its patterns are a part of that.
	slotClasses  = 10
	slotBytesMax = slotBytesMin << (slotClasses - 1)
)

// NewPatternStore makes a store with nothing in it.
func NewPatternStore() *PatternStore {
	s := &PatternStore{}
	for class := range s.classes {
		s.classes[class].Init(slotBytesMin << class)
	}
	return s
}

// Keep copies patterns and returns their number, which is not 0. A slot holds their length
// in two bytes and then these.
func (s *PatternStore) Keep(patterns PackedPatterns) (number uint32) {
	class := uint32(0)
	for class < slotClasses && slotBytesMin<<class < 2+len(patterns) {
		class++
	}
	if class == slotClasses {
		panic("BUG: patterns that are longer than any request")
	}
	number = s.classes[class].Take()*slotClasses + class
	p := s.slot(number)
	p[0], p[1] = byte(len(patterns)>>8), byte(len(patterns))
	copy(p[2:], patterns)
	return number
}

func (s *PatternStore) slot(number uint32) []byte {
	class := number % slotClasses
	return unsafe.Slice((*byte)(s.classes[class].At(number/slotClasses)), slotBytesMin<<class)
}

// Of returns what was kept under a number, until Drop.
func (s *PatternStore) Of(number uint32) PackedPatterns {
	p := s.slot(number)
	return PackedPatterns(p[2 : 2+int(p[0])<<8+int(p[1])])
}

// Drop forgets a number. 0 is none.
func (s *PatternStore) Drop(number uint32) {
	if number != 0 {
		s.classes[number%slotClasses].Give(number / slotClasses)
	}
}

// Len is how many are kept.
func (s *PatternStore) Len() (n int) {
	for class := range s.classes {
		n += s.classes[class].Taken()
	}
	return n
}
