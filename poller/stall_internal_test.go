package poller

import "testing"

// While memory is short there is always a stalled connection that waits for its
// turn. The queue of them holds those and not all who ever waited.
func TestTheQueueOfTheStalledIsBounded(t *testing.T) {
	const waiting = 100
	var s stalls
	for i := range uint32(100_000) {
		s.add(stalled{at: int64(i), fd: i})
		if len(s.queue)-s.first > waiting {
			if got := s.queue[s.first].fd; got != i-waiting {
				t.Fatalf("%d is first after %d, not %d", got, i, i-waiting)
			}
			s.first++
		}
	}
	if n := cap(s.queue); n > 4*waiting {
		t.Errorf("room for %d, and %d wait", n, waiting)
	}
}
