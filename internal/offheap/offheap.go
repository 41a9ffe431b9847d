// Package offheap hands out zeroed memory that the garbage collector neither
// scans nor counts: anonymous private mappings.
//
// Per-connection records and per-channel cells live here, so that ten million
// of them cost the collector nothing. What is stored must hold no Go pointers.
// The kernel gives a page its memory on first touch, so a large mapping that is
// used in part costs only that part.
package offheap

import (
	"fmt"
	"syscall"
	"unsafe"
)

// Array maps a zeroed array of the pointer-free type T (usually [n]element).
// The mapping is never unmapped: its owners reuse it for as long as the
// process lives, and a stale reference must not fault.
//
// Running out of address space or of mappings (vm.max_map_count) is an error
// of the host that no connection can survive, so it panics with "FATAL:".
func Array[T any]() *T {
	var zero T
	b, err := syscall.Mmap(-1, 0, int(unsafe.Sizeof(zero)),
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		panic(fmt.Sprintf("FATAL: mmap of %d bytes: %v", unsafe.Sizeof(zero), err))
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(b)))
}
