package load

import "testing"

// Who follows is spread evenly among those whom it follows, and all come in the end.
func TestAClientFollowsTheProgressOfAnother(t *testing.T) {
	const many, few = 1000, 70
	progress := &Progress{Wanted: many}
	leads, follows := newDialer(0, many, 1), newDialer(5, 5+few, 1)
	leads.leads, follows.follows = progress, progress
	came := 0
	for begun := range many + 1 {
		for {
			if _, ok := follows.take(0); !ok {
				break
			}
			came++
		}
		// The first comes at once, and each further one when its share was begun.
		if want := min(few, begun*few/many+1); came != want {
			t.Fatalf("%d of %d came when %d of %d had begun, not %d", came, few, begun, many, want)
		}
		if _, ok := leads.take(0); ok != (begun < many) {
			t.Fatalf("the one that leads is held up at %d", begun)
		}
	}
}
