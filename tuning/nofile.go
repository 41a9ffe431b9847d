package tuning

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Nofile is RLIMIT_NOFILE: descriptors that one table of this process may
// hold. Hard is math.MaxInt if unlimited.
type Nofile struct {
	Soft, Hard int
}

// raised is what the soft limit is after RaiseNofile: the hard limit, or one
// less where the runtime was there first.
func (n Nofile) raised() int {
	if n.Soft == n.Hard-1 {
		return n.Soft
	}
	return n.Hard
}

// getRlimit and setRlimit are replaced by tests. That of x/sys goes through package syscall,
// which then knows that the limit is meant and hands it on to child processes.
var getRlimit, setRlimit = unix.Getrlimit, unix.Setrlimit

// RaiseNofile raises the soft limit of open files to the hard limit and
// returns both as they are afterwards. The hard limit is never raised: it is
// the operator's word. On an error the limits returned are those in force.
//
// A soft limit of one below the hard limit is left alone. Go's runtime sets
// that at start and remembers what was there before, which it gives back to
// child processes (syscall/rlimit.go); to take the last descriptor would end
// that, and children that use select(2) would inherit a limit that is not
// meant for them.
func RaiseNofile() (Nofile, error) {
	var limit unix.Rlimit
	if err := getRlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Nofile{}, fmt.Errorf("reading the limit of open files failed, so it stays as it is: %w", err)
	}
	was := nofileOf(limit)
	if was.Soft >= was.Hard-1 { // see raised
		return was, nil
	}
	limit.Cur = limit.Max
	if err := setRlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return was, fmt.Errorf("raising the soft limit of open files from %s to the hard limit of %s failed, start with ulimit -n or LimitNOFILE= set higher: %w",
			count(was.Soft), count(was.Hard), err)
	}
	// Read back: the truth is what the kernel kept.
	if err := getRlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Nofile{Soft: was.Hard, Hard: was.Hard}, nil
	}
	return nofileOf(limit), nil
}

// nofileOf turns RLIM_INFINITY and all that no int holds into math.MaxInt.
func nofileOf(r unix.Rlimit) Nofile {
	return Nofile{Soft: int(min(r.Cur, math.MaxInt)), Hard: int(min(r.Max, math.MaxInt))}
}
