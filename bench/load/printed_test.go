package load

import (
	"slices"
	"testing"
)

// Messages are printed as they came, whichever loop had which first, and however a map
// orders them.
func TestPrintedAreInTheOrderInWhichTheyCame(t *testing.T) {
	var s Snapshot
	for _, nanos := range []int64{5, 3, 9, 7} {
		s.Merge(&Snapshot{Counters: newCounters(), Printed: []Printed{
			{Head: string(rune('a' + 2*nanos)), firstAtNanos: nanos, place: 7},
			{Head: string(rune('b' + 2*nanos)), firstAtNanos: nanos, place: 8},
		}})
	}
	var heads []string
	for _, p := range s.Printed {
		heads = append(heads, p.Head)
	}
	if !slices.IsSorted(heads) {
		t.Errorf("%q", heads)
	}
}
