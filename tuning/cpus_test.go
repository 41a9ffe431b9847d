package tuning

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCPUs(t *testing.T) {
	all := runtime.NumCPU()
	own := all == onlineCPUs() // else this test runs in a part of a host
	for _, c := range []struct {
		mode         string
		loops, quota int
		private      bool
		wanted       int
	}{
		{PinOff, all, all, false, 0},
		{PinOn, 1, 1, true, all},
		{PinAuto, all - 1, all, false, 0},
		{PinAuto, all, all - 1, false, 0},
		{PinAuto, all, all, false, map[bool]int{true: all}[own]},
		{PinAuto, all, all, true, 0},
		{PinAuto, 10 * all, all, false, 0},
	} {
		cpus, warning, err := CPUs(c.mode, FDPlan{Loops: c.loops, Private: c.private}, c.quota)
		if err != nil || warning != "" || len(cpus) != c.wanted {
			t.Errorf("%+v: processors %v, %v", c, cpus, err)
		}
		for i, cpu := range cpus {
			if i > 0 && cpu <= cpus[i-1] {
				t.Errorf("%+v: %v is not in order", c, cpus)
			}
		}
	}
}

// Where binding is forbidden, as in a container, auto goes on without, and on says why
// it does not.
func TestCPUsWhereBindingIsForbidden(t *testing.T) {
	defer func() { setAffinity = unix.SchedSetaffinity }()
	setAffinity = func(int, *unix.CPUSet) error { return unix.EPERM }
	all := FDPlan{Loops: runtime.NumCPU()}
	if _, _, err := CPUs(PinOn, all, all.Loops); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "--pin off") {
		t.Errorf("on: %v", err)
	}
	if cpus, warning, err := CPUs(PinOff, all, all.Loops); err != nil || cpus != nil || warning != "" {
		t.Errorf("off: %v %q %v", cpus, warning, err)
	}
	cpus, warning, err := CPUs(PinAuto, all, all.Loops)
	if own := runtime.NumCPU() == onlineCPUs(); err != nil || cpus != nil || own != strings.Contains(warning, "--pin off") {
		t.Errorf("auto: %v %q %v", cpus, warning, err)
	}
}

func TestLists(t *testing.T) {
	for list, wanted := range map[string]int{
		"0": 1, "0-1": 2, "0-3,8,10-11": 7, "65535": 1,
	} {
		if numbers, ok := parseList(list); !ok || len(numbers) != wanted || formatList(numbers) != list {
			t.Errorf("%q names %v, %v, and not %d; they are %q", list, numbers, ok, wanted, formatList(numbers))
		}
	}
	for _, list := range []string{"", "x", "3-1", "0-", "65536", "0-999999999"} {
		if numbers, ok := parseList(list); ok || numbers != nil {
			t.Errorf("%q names %v", list, numbers)
		}
	}
	if numbers, ok := parseList("3,x,1-2"); ok || formatList(numbers) != "1-3" {
		t.Errorf("of a list in part there is %v, %v", numbers, ok)
	}
}
