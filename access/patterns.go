package access

import (
	"encoding/binary"
	"unsafe"

	"c10m/internal/glob"
	"c10m/internal/slab"
)

// Patterns are the channels that a token allows, by their patterns: those to
// subscribe to and those to publish to.
type Patterns struct{ Subscribe, Publish []string }

// A PackedPatterns is Patterns in one run of bytes without a pointer, so that
// whoever holds a connection of many channels can keep what its token allows for
// as long as it lives, outside the garbage collector's sight: for each pattern
// two bytes that hold its kind and its length, and the pattern.
type PackedPatterns []byte

const (
	packedPublish   = 1 << 15 // in a pattern's head: it is for publishing
	packedLengthMax = packedPublish - 1
)

// Pack appends the patterns to p. A token comes in a request of 4,096 bytes, and
// base64 takes a third more than what is in it, so they are never as long as
// that; a pattern beyond packedLengthMax could not be kept and is left out,
// which allows less and not more.
func (a Patterns) Pack(p PackedPatterns) PackedPatterns {
	p = packAll(p, 0, a.Subscribe)
	return packAll(p, packedPublish, a.Publish)
}

func packAll(p []byte, kind uint16, patterns []string) []byte {
	for _, pattern := range patterns {
		if len(pattern) > packedLengthMax {
			continue
		}
		p = binary.BigEndian.AppendUint16(p, kind|uint16(len(pattern)))
		p = append(p, pattern...)
	}
	return p
}

// AllowsSubscribe reports whether a client may subscribe to channel.
func (p PackedPatterns) AllowsSubscribe(channel []byte) bool { return p.allows(0, channel) }

// AllowsPublish reports whether a client may publish to channel.
func (p PackedPatterns) AllowsPublish(channel []byte) bool { return p.allows(packedPublish, channel) }

func (p PackedPatterns) allows(kind uint16, channel []byte) bool {
	for len(p) > 0 {
		head := binary.BigEndian.Uint16(p)
		end := 2 + int(head&packedLengthMax)
		if head&packedPublish == kind && glob.Match([]byte(p[2:end]), channel) {
			return true
		}
		p = p[end:]
	}
	return false
}

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
