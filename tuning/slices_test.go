package tuning

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Threads that exist and threads that come later have short slices. Kernels
// before 6.12 do not tell, so there is nothing to see on them.
func TestShortSlices(t *testing.T) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := ShortSlices(); n == 0 {
		t.Fatal("no thread took it")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if here.Nice != before.Nice || here.Policy != before.Policy {
		t.Errorf("nice %d and policy %d became %d and %d", before.Nice, before.Policy, here.Nice, here.Policy)
	}
	later := make(chan uint64)
	go func() { // on a thread of its own, since this one is locked
		runtime.LockOSThread()
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Error(err)
			attr = &unix.SchedAttr{}
		}
		later <- attr.Runtime
	}()
	if there := <-later; there != here.Runtime {
		t.Errorf("a thread made later has slices of %d ns, this one %d", there, here.Runtime)
	}
	if before.Runtime != 0 && here.Runtime != uint64(sliceShort) {
		t.Errorf("slices of %d ns", here.Runtime)
	}
}
