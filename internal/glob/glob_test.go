package glob

import (
	"testing"

	"c10m/internal/glob/globtest"
)

func TestGlob(t *testing.T) {
	for _, g := range globtest.Cases {
		if got := Match(g.Pattern, g.Name); got != g.Match {
			t.Errorf("%q on %q: %v", g.Pattern, g.Name, got)
		}
		if got := Match([]byte(g.Pattern), []byte(g.Name)); got != g.Match {
			t.Errorf("%q on %q as bytes: %v", g.Pattern, g.Name, got)
		}
	}
}

// slowMatch is the textbook matcher: it tries every run for every star.
func slowMatch(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return slowMatch(pattern[1:], name) || name != "" && slowMatch(pattern, name[1:])
	case name == "":
		return false
	}
	next, ok := one(pattern, 0, name[0])
	return ok && slowMatch(pattern[next:], name[1:])
}

func FuzzGlob(f *testing.F) {
	for _, g := range globtest.Cases {
		f.Add(g.Pattern, g.Name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := Match(pattern, name)
		if len(pattern) > 12 || len(name) > 12 {
			return // the slow one is exponential
		}
		if want := slowMatch(pattern, name) && (name != "" || pattern == ""); got != want {
			t.Errorf("%q on %q: %v", pattern, name, got)
		}
	})
}
