package fifo

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A queue does what a slice does, at any mix of calls.
func TestQueueIsASlice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q Queue[*int]
	var want []*int
	for step := range 200_000 {
		grows := step/5000%2 == 0
		switch n := random.IntN(100); {
		case n == 0:
			keep := func(p *int) bool { return *p%3 != 0 }
			q.Keep(keep)
			want = slices.DeleteFunc(want, func(p *int) bool { return !keep(p) })
		case n < 60 == grows:
			v := step
			q.Push(&v)
			want = append(want, &v)
		case len(want) > 0:
			if front := *q.Front(); front != want[0] || q.Pop() != front {
				t.Fatalf("step %d: %d is first, not %d", step, *front, *want[0])
			}
			want = want[1:]
		}
		if q.Len() != len(want) {
			t.Fatalf("step %d: %d are in it, not %d", step, q.Len(), len(want))
		}
		for i, p := range q.entries[:cap(q.entries)] {
			if isIn := i >= q.first && i < len(q.entries); (p != nil) != isIn {
				t.Fatalf("step %d: entry %d of %d to %d is held alive: %v", step, i, q.first, len(q.entries), p != nil)
			}
		}
	}
}

// A queue that goes on at a length does not allocate, and one that is empty holds little.
func TestQueueKeepsItsArray(t *testing.T) {
	var q Queue[int]
	for range 100_000 {
		q.Push(1)
	}
	if n := testing.AllocsPerRun(300_000, func() { q.Push(1); q.Pop() }); n != 0 {
		t.Errorf("a push and a pop allocate %v times", n)
	}
	if n := cap(q.entries); n > 250_000 {
		t.Errorf("an array of %d for 100,000", n)
	}
	for q.Len() > 0 {
		q.Pop()
	}
	if cap(q.entries) > keptMax {
		t.Errorf("an empty queue has room for %d", cap(q.entries))
	}
	if n := testing.AllocsPerRun(1000, func() { q.Push(1); q.Push(2); q.Pop(); q.Pop() }); n > 0.01 {
		t.Errorf("a short queue allocates %v times", n)
	}
}
