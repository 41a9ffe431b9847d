package load

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"c10m/poller"
	"c10m/poller/epoll"
)

// Ends are what a handler needs of its loop's engine beside poller.Engine: sockets of
// the kernel, or ends of our own (userengine.go). All is for the loop's thread alone,
// but for turns.
type ends interface {
	// open begins to connect the connection of a number.
	open(number int) (fd uint32, errno syscall.Errno)
	// connectError fetches and clears the error of a connection under way.
	connectError(fd uint32) syscall.Errno
	// Errno is what the last Recv or Send failed with.
	Errno() syscall.Errno
	// resetOnClose makes the coming Close a reset.
	resetOnClose(fd uint32)
	// wokeAt is when the loop began to look at what came, in time of its clock.
	wokeAt() int64
	// turns is the histogram of the loop's turns. Any goroutine may call it.
	turns() *poller.Histogram
}

// sockets are the kernel's.
type sockets struct {
	*epoll.Engine
	loop   *poller.Loop
	spread *Spread
}

func (e sockets) open(number int) (fd uint32, errno syscall.Errno) {
	source, target := e.spread.Of(number)
	fd, errno = openSocket(source, target)
	if source.Port() != 0 && (errno == unix.EADDRINUSE || errno == unix.EADDRNOTAVAIL) {
		// Somebody else has the port, or had it a minute ago: the kernel may
		// find another.
		source = netip.AddrPortFrom(source.Addr(), 0)
		fd, errno = openSocket(source, target)
	}
	if errno == 0 {
		if errno = e.Adopt(fd); errno != 0 {
			unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
		}
	}
	return fd, errno
}

func (e sockets) connectError(fd uint32) syscall.Errno { return socketError(fd) }
func (e sockets) resetOnClose(fd uint32)               { resetOnClose(fd) }
func (e sockets) wokeAt() int64                        { return e.loop.Now() }
func (e sockets) turns() *poller.Histogram             { return &e.loop.Stats().Turns }
