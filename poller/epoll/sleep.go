package epoll

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How a loop sleeps decides what the Go scheduler does about it.
//
// A thread in a system call keeps its processor of the scheduler (a "P"), so to come back
// costs nothing. But the runtime's monitor thread wakes 50 times and more to take it away
// after 10 ms, and again for every call after that: two thirds of the thread switches that a
// message to one client cost (docs/internals/poller.md). So a loop that has something to do
// every few milliseconds does not tell the scheduler of its short sleeps (Engine.wait), and
// one that has not gives its P back by itself.

// entersyscallblock and exitsyscall are the runtime's calls around a system call that blocks:
// the first gives the P back. They stay as they are for gVisor's sake, which uses them so,
// too (go.dev/issue/67401).
//
//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// epollWaitBlocking is epoll_wait(2) without a P. Nothing between the two calls may grow the
// stack.
//
//go:nosplit
//go:norace
func epollWaitBlocking(epfd int, events []unix.EpollEvent, msec int) (int, syscall.Errno) {
	room, places := unsafe.Pointer(unsafe.SliceData(events)), uintptr(len(events))
	entersyscallblock()
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(room), places, uintptr(msec), 0, 0)
	exitsyscall()
	return int(n), errno
}
