package load

import (
	"math/rand/v2"
	"testing"
)

func TestSequence(t *testing.T) {
	for _, c := range []struct {
		name                  string
		next                  uint64
		seen                  []uint64
		verdicts              []verdict
		lost, twice, disorder uint64
		after                 uint64
	}{
		{"in order", 1, []uint64{1, 2, 3}, []verdict{inOrder, inOrder, inOrder}, 0, 0, 0, 4},
		{"at most, earlier", 5 | atMost, []uint64{3, 4, 5}, []verdict{inOrder, inOrder, inOrder}, 0, 0, 0, 6},
		{"at most, that", 5 | atMost, []uint64{5, 6}, []verdict{inOrder, inOrder}, 0, 0, 0, 7},
		{"at most, beyond", 5 | atMost, []uint64{8, 6}, []verdict{afterGap, late}, 2, 0, 1, 9},
		{"at most, backwards", 5 | atMost, []uint64{4, 3}, []verdict{inOrder, duplicate}, 0, 1, 0, 5},
		{"any first", 0, []uint64{17, 18}, []verdict{inOrder, inOrder}, 0, 0, 0, 19},
		{"first lost", 1, []uint64{2}, []verdict{afterGap}, 1, 0, 0, 3},
		{"one lost", 1, []uint64{1, 3}, []verdict{inOrder, afterGap}, 1, 0, 0, 4},
		{"many lost", 1, []uint64{1, 1000}, []verdict{inOrder, afterGap}, 998, 0, 0, 1001},
		{"swapped", 1, []uint64{2, 1, 3}, []verdict{afterGap, late, inOrder}, 0, 0, 1, 4},
		{"twice", 1, []uint64{1, 1, 2, 1}, []verdict{inOrder, duplicate, inOrder, duplicate}, 0, 2, 0, 3},
		{"late twice", 1, []uint64{3, 1, 1, 2, 2}, []verdict{afterGap, late, duplicate, late, duplicate}, 0, 2, 2, 4},
		{"middle of a gap", 1, []uint64{6, 3, 2, 4}, []verdict{afterGap, late, late, late}, 2, 0, 3, 7},
		{"before the first", 0, []uint64{17, 16}, []verdict{inOrder, duplicate}, 0, 1, 0, 18},
	} {
		checker, next := sequenceChecker{}, c.next
		for i, sequence := range c.seen {
			if v := checker.see(9, &next, sequence); v != c.verdicts[i] {
				t.Errorf("%s: message %d of %v: verdict %d instead of %d", c.name, i, c.seen, v, c.verdicts[i])
			}
		}
		if checker.Lost != c.lost || checker.Duplicated != c.twice || checker.OutOfOrder != c.disorder || next != c.after {
			t.Errorf("%s: lost %d, duplicated %d, out of order %d, next %d", c.name, checker.Lost, checker.Duplicated, checker.OutOfOrder, next)
		}
	}
}

// Connections do not share gaps.
func TestSequencePerConnection(t *testing.T) {
	checker := sequenceChecker{}
	one, two := uint64(1), uint64(1)
	checker.see(1, &one, 3)
	checker.see(2, &two, 1)
	if v := checker.see(2, &two, 1); v != duplicate {
		t.Errorf("verdict %d for a duplicate beside another connection's gap", v)
	}
	checker.forget(1)
	if len(checker.gaps) != 0 || checker.Lost != 2 {
		t.Errorf("%d connections with gaps, %d lost", len(checker.gaps), checker.Lost)
	}
}

// Any disorder is counted as a naive set counts it.
func TestSequenceAgainstSet(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		checker, next := sequenceChecker{}, uint64(1)
		seen := map[uint64]bool{}
		top, twice, disorder := uint64(0), uint64(0), uint64(0)
		for range 60 {
			sequence := 1 + random.Uint64N(40)
			switch {
			case seen[sequence]:
				twice++
			case sequence < top:
				disorder++
			}
			seen[sequence] = true
			top = max(top, sequence)
			checker.see(1, &next, sequence)
		}
		lost := top - uint64(len(seen))
		if checker.Lost != lost || checker.Duplicated != twice || checker.OutOfOrder != disorder {
			t.Fatalf("seed %d: lost %d, %d; duplicated %d, %d; out of order %d, %d", seed,
				checker.Lost, lost, checker.Duplicated, twice, checker.OutOfOrder, disorder)
		}
	}
}

// What is remembered of gaps is bounded; what is forgotten stays lost.
func TestGapsAreBounded(t *testing.T) {
	checker, next := sequenceChecker{}, uint64(1)
	for i := range uint64(3 * gapsPerConnectionMax) {
		checker.see(1, &next, 2*(i+1))
	}
	if n := len(checker.gaps[1]); n != gapsPerConnectionMax {
		t.Errorf("%d gaps are remembered", n)
	}
	if checker.Lost != 3*gapsPerConnectionMax || checker.Forgotten != 2*gapsPerConnectionMax {
		t.Errorf("lost %d, forgotten %d", checker.Lost, checker.Forgotten)
	}
	if v := checker.see(1, &next, 1); v != duplicate {
		t.Errorf("verdict %d for one of a forgotten gap", v)
	}
}
