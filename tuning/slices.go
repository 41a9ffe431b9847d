package tuning

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sliceShort is the shortest slice that the kernel grants (sched_setattr(2)).
const sliceShort = 100 * time.Microsecond

// ShortSlices asks the kernel to run this process's threads in short slices
// instead of its 3 ms: whoever wakes then waits less for those that work, which
// is what a message to one connection meets while loops sweep over millions,
// and what the collector meets when it stops a thread that is not on a
// processor. The share of the processors stays the same.
//
// Threads made later inherit it, so it is called first of all. It returns the
// number of threads that took it; kernels before 6.12 take it and do nothing, and
// where it is forbidden, everything works, only later at times.
func ShortSlices() (threads int) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		// Keep policy and nice value; a thread of another policy is not ours.
		attr, err := unix.SchedGetAttr(tid, 0)
		if err != nil || attr.Policy != unix.SCHED_NORMAL {
			continue
		}
		attr.Runtime = uint64(sliceShort)
		if unix.SchedSetAttr(tid, attr, 0) == nil {
			threads++
		}
	}
	return threads
}
