package tuning

import (
	"runtime"
	"testing"
)

func TestCPUs(t *testing.T) {
	all := runtime.NumCPU()
	own := all == onlineCPUs() // else this test runs in a part of a host
	for _, c := range []struct {
		mode         string
		loops, quota int
		wanted       int
	}{
		{PinOff, all, all, 0},
		{PinOn, 1, 1, all},
		{PinAuto, all - 1, all, 0},
		{PinAuto, all, all - 1, 0},
		{PinAuto, all, all, map[bool]int{true: all}[own]},
		{PinAuto, 10 * all, all, map[bool]int{true: all}[own]},
	} {
		cpus, err := CPUs(c.mode, c.loops, c.quota)
		if err != nil || len(cpus) != c.wanted {
			t.Errorf("%+v: processors %v, %v", c, cpus, err)
		}
		for i, cpu := range cpus {
			if i > 0 && cpu <= cpus[i-1] {
				t.Errorf("%+v: %v is not in order", c, cpus)
			}
		}
	}
}

func TestCountRanges(t *testing.T) {
	for list, wanted := range map[string]int{
		"0": 1, "0-1": 2, "0-3,8,10-11": 7, "": 0, "x": 0, "3-1": 0, "0-": 0,
	} {
		if n := countRanges(list); n != wanted {
			t.Errorf("%q names %d, not %d", list, n, wanted)
		}
	}
}
