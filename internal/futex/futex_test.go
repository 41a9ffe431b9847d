package futex

import (
	"testing"

	"c10m/internal/patience"
)

// Who awaits a count sleeps until it changes, is interrupted, or has slept for long enough.
func TestSignal(t *testing.T) {
	var s Signal
	s.Await(1, 0) // it is another already
	for what, end := range map[string]func(){"a count": func() { s.Add(1) }, "an interruption": s.Interrupt, "less": func() { s.Add(^uint64(0)) }} {
		over := make(chan struct{})
		seen := s.Count()
		go func() { s.Await(seen, 0); close(over) }()
		patience.Eventually(t, "somebody sleeps", func() bool { return s.awaited.Load() == 1 })
		select {
		case <-over:
			t.Errorf("it was not ended by %s", what)
		default:
		}
		end()
		patience.Eventually(t, what+" ends it", func() bool {
			select {
			case <-over:
				return true
			default:
				return false
			}
		})
	}
	s.Await(s.Count(), 1000) // nobody ends it
	if s.awaited.Load() != 0 {
		t.Error("somebody is still waited for")
	}
}
