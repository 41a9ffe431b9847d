package access

import (
	"strings"
	"testing"
)

// The bytes of each class come back as they were kept, also after others went.
func TestPatternStore(t *testing.T) {
	s := NewPatternStore()
	kept := make(map[uint32]string)
	for round := range 3 {
		for i := range 5000 {
			text := strings.Repeat(string(rune('a'+i%26)), i*37%(slotBytesMax-1))
			number := s.Keep([]byte(text))
			if _, twice := kept[number]; twice || number == 0 {
				t.Fatalf("number %d for %d bytes", number, len(text))
			}
			kept[number] = text
		}
		for number, text := range kept {
			if string(s.Of(number)) != text {
				t.Fatalf("round %d: number %d has other bytes", round, number)
			}
			s.Drop(number)
			delete(kept, number)
		}
	}
	used := uint32(0)
	for class := range s.classes {
		used += s.classes[class].Used()
	}
	if used > 5000 || s.Len() != 0 {
		t.Errorf("%d slots, and %d are kept: what was dropped is not used again", used, s.Len())
	}
	longest := strings.Repeat("x", slotBytesMax-2)
	if number := s.Keep([]byte(longest)); string(s.Of(number)) != longest {
		t.Error("the longest")
	}
}
