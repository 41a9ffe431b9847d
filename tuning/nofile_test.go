package tuning

import (
	"errors"
	"math"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// replaceRlimits puts others in place of the kernel's, until the test ends.
func replaceRlimits(t *testing.T, get, set func(int, *unix.Rlimit) error) {
	getRlimit, setRlimit = get, set
	t.Cleanup(func() { getRlimit, setRlimit = unix.Getrlimit, unix.Setrlimit })
}

func TestRaiseNofile(t *testing.T) {
	refused := errors.New("refused")
	for _, tc := range []struct {
		name       string
		soft, hard uint64
		setErr     error
		want       Nofile
		sets       int
		fails      bool
	}{
		{name: "raised", soft: 1024, hard: 20000, want: Nofile{20000, 20000}, sets: 1},
		{name: "equal", soft: 20000, hard: 20000, want: Nofile{20000, 20000}},
		{name: "as Go's runtime leaves it", soft: 19999, hard: 20000, want: Nofile{19999, 20000}},
		{name: "two below", soft: 19998, hard: 20000, want: Nofile{20000, 20000}, sets: 1},
		{name: "refused", soft: 1024, hard: 20000, setErr: refused, want: Nofile{1024, 20000}, sets: 1, fails: true},
		{name: "unlimited", soft: 1024, hard: unix.RLIM_INFINITY, want: Nofile{math.MaxInt, math.MaxInt}, sets: 1},
		{name: "none", soft: 0, hard: 0, want: Nofile{0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kernel, sets := unix.Rlimit{Cur: tc.soft, Max: tc.hard}, 0
			replaceRlimits(t, func(_ int, r *unix.Rlimit) error { *r = kernel; return nil }, func(_ int, r *unix.Rlimit) error {
				sets++
				if r.Max != tc.hard {
					t.Errorf("the hard limit was set to %d", r.Max)
				}
				if tc.setErr == nil {
					kernel = *r
				}
				return tc.setErr
			})
			got, err := RaiseNofile()
			if got != tc.want || sets != tc.sets || (err != nil) != tc.fails {
				t.Errorf("got %+v after %d sets, error %v; want %+v after %d", got, sets, err, tc.want, tc.sets)
			}
			if tc.fails && (!errors.Is(err, refused) || !strings.Contains(err.Error(), "LimitNOFILE")) {
				t.Errorf("error %q", err)
			}
		})
	}
}

func TestRaiseNofileUnreadable(t *testing.T) {
	replaceRlimits(t, func(int, *unix.Rlimit) error { return unix.EPERM }, nil)
	_, err := RaiseNofile()
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("error %v", err)
	}
}

// The real one concerns this test's process alone.
func TestRaiseNofileHere(t *testing.T) {
	got, err := RaiseNofile()
	if err != nil || got.Hard < 1 || got.Soft < got.Hard-1 {
		t.Errorf("got %+v, error %v", got, err)
	}
}
