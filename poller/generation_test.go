package poller

import "testing"

// Generations wrap after 2^32 connections, and however old a connection is, it
// is not taken for one of the few that came after a moment.
func TestCameAfterWraps(t *testing.T) {
	const top = 1<<32 - 1
	for _, c := range []struct {
		generation, latest, newest uint32
		want                       bool
	}{
		{1, 1, 1, false},
		{1, 1, 2, false},
		{2, 1, 2, true},
		{2, 2, 9, false},
		{9, 2, 9, true},
		{10, 2, 9, false}, // of the round before
		{top, top, 3, false},
		{1, top, 3, true}, // 0 is left out
		{3, top, 3, true},
		{4, top, 3, false},
		{top - 5, 1 << 31, 1<<31 + 10, false},
		{5, 1 << 31, 1<<31 + 10, false},
	} {
		if got := cameAfter(c.generation, c.latest, c.newest); got != c.want {
			t.Errorf("generation %d, latest %d, newest %d: %v", c.generation, c.latest, c.newest, got)
		}
	}
}
