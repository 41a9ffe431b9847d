package fdtable

import (
	"sync"
	"testing"
	"unsafe"
)

func TestEntriesAreApartAndStartAtZero(t *testing.T) {
	const descriptors = 3*chunkEntries + 5
	table := New[uint64](descriptors)
	var loops sync.WaitGroup
	for loop := range uint32(4) { // each owns every fourth descriptor
		loops.Go(func() {
			for fd := loop; fd < descriptors; fd += 4 {
				if entry := table.Entry(fd); *entry != 0 {
					t.Errorf("entry %d begins with %d", fd, *entry)
				} else {
					*entry = uint64(fd) + 1
				}
			}
		})
	}
	loops.Wait()
	for fd := range uint32(descriptors) {
		if got := *table.Entry(fd); got != uint64(fd)+1 {
			t.Fatalf("entry %d is %d", fd, got)
		}
	}
	if first, second := table.Entry(0), table.Entry(1); uintptr(unsafe.Pointer(second))-uintptr(unsafe.Pointer(first)) != 8 {
		t.Error("an entry takes more than its size")
	}
}
