package tuning

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The values of --pin.
const (
	PinAuto = "auto"
	PinOn   = "on"
	PinOff  = "off"
)

// CPUs returns the processors to bind loops to, none if the kernel is to
// schedule them. With PinAuto that depends on whether the host looks like the
// server's own: it may use every processor that is online, without a quota
// (quotaCores is GOMAXPROCS as the runtime chose it), and has a loop for each. A
// container's share of a larger host is no place to bind threads, since what
// else runs there cannot be seen.
func CPUs(mode string, loops, quotaCores int) ([]int, error) {
	if mode == PinOff {
		return nil, nil
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("cannot read which processors this process may use: %w; use --pin off", err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	if mode == PinAuto && (quotaCores < len(cpus) || loops < len(cpus) || len(cpus) < onlineCPUs()) {
		return nil, nil
	}
	return cpus, nil
}

// onlineCPUs is how many processors the host has, whoever may use them.
func onlineCPUs() int {
	online, ok := text(ThisHost().Sys, "devices/system/cpu/online")
	if !ok {
		return runtime.NumCPU()
	}
	return countRanges(online)
}

// countRanges counts what a list like "0-3,8,10-11" names (cpuset(7), Formats);
// what is no such list counts as nothing.
func countRanges(list string) (n int) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errFirst := strconv.Atoi(first)
		b, errLast := strconv.Atoi(last)
		if errFirst != nil || errLast != nil || b < a {
			return 0
		}
		n += b - a + 1
	}
	return n
}
