package tuning

import (
	"fmt"
	"runtime"

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
// (quotaCores is GOMAXPROCS as the runtime chose it), and has one loop for each. A
// container's share of a larger host is no place to bind threads, since what
// else runs there cannot be seen; and descriptor tables of their own are no place
// to steer connections to by processor, since each holds only its share of them.
//
// Where binding is forbidden, as by some containers' seccomp filters, PinAuto does
// without, and a warning says so.
func CPUs(mode string, plan FDPlan, quotaCores int) (cpus []int, warning string, err error) {
	cpus, err = chooseCPUs(mode, plan, quotaCores)
	if err != nil || len(cpus) == 0 {
		return nil, "", err
	}
	if err := tryToBind(cpus); err != nil {
		if mode == PinAuto {
			return nil, fmt.Sprintf("loops are not bound to processors: %v; --pin off says that this is meant", err), nil
		}
		return nil, "", fmt.Errorf("--pin on: cannot bind a thread to a processor: %w; leave it out, or use --pin off", err)
	}
	return cpus, "", nil
}

// setAffinity is replaced by tests.
var setAffinity = unix.SchedSetaffinity

// tryToBind binds a thread, which ends with it, to each of the processors.
func tryToBind(cpus []int) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		for _, cpu := range cpus {
			var set unix.CPUSet
			set.Set(cpu)
			if err := setAffinity(0, &set); err != nil {
				failed <- fmt.Errorf("sched_setaffinity: %w", err)
				return
			}
		}
		failed <- nil
	}()
	return <-failed
}

func chooseCPUs(mode string, plan FDPlan, quotaCores int) ([]int, error) {
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
	if mode == PinAuto && (plan.Private || plan.Loops != len(cpus) || quotaCores < len(cpus) || len(cpus) < onlineCPUs()) {
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
	cpus, ok := parseList(online)
	if !ok {
		return 0 // whoever asks has no more
	}
	return len(cpus)
}
