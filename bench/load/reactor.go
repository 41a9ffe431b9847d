package load

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"c10m/poller"
	"c10m/poller/epoll"
)

// A reactor is the loop under a handler: sockets of the kernel, or ends of our
// own (userspace.go). Its methods are for the loop's thread alone, but for
// order. They are those of poller.Loop where the names are the same.
type reactor interface {
	ID() int
	Now() int64
	Clock() int64
	TickNow()
	// Record is lent until the next call for another connection.
	Record(fd uint32) *poller.Record
	Generation(fd uint32) uint32
	Closing(fd uint32) bool
	Walk(cursor uint32, limit int, visit func(fd uint32)) (next uint32)
	Recv(fd uint32, p []byte) (int, syscall.Errno)
	Send(fd uint32, p []byte) (int, syscall.Errno)
	ArmWrite(fd uint32, on bool)
	Close(fd uint32)

	// open begins to connect the connection of a number.
	open(number int) (fd uint32, errno syscall.Errno)
	// socketError fetches and clears the error of a connection under way.
	socketError(fd uint32) syscall.Errno
	// resetOnClose makes the coming Close a reset.
	resetOnClose(fd uint32)
	// order has the loop's thread call f soon. Any goroutine may call it.
	order(f func())
	// turns is the histogram of the loop's turns.
	turns() []uint64
}

// sockets are the kernel's.
type sockets struct {
	*poller.Loop
	engine *epoll.Engine
	spread *Spread
}

func (l sockets) open(number int) (fd uint32, errno syscall.Errno) {
	source, target := l.spread.Of(number)
	fd, errno = openSocket(source, target)
	if source.Port() != 0 && (errno == unix.EADDRINUSE || errno == unix.EADDRNOTAVAIL) {
		// Somebody else has the port, or had it a minute ago: the kernel may
		// find another.
		source = netip.AddrPortFrom(source.Addr(), 0)
		fd, errno = openSocket(source, target)
	}
	if errno == 0 {
		if errno = l.engine.Adopt(fd); errno != 0 {
			unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
		}
	}
	return fd, errno
}

func (l sockets) Recv(fd uint32, p []byte) (int, syscall.Errno) {
	n, status := l.Loop.Recv(fd, p)
	return n, l.errnoOf(status)
}

func (l sockets) Send(fd uint32, p []byte) (int, syscall.Errno) {
	n, status := l.Loop.Send(fd, poller.Words(p))
	return n, l.errnoOf(status)
}

// errnoOf is the error that a status was.
func (l sockets) errnoOf(status poller.Status) syscall.Errno {
	if status == poller.OK {
		return 0
	}
	return l.engine.Errno()
}

func (l sockets) socketError(fd uint32) syscall.Errno { return socketError(fd) }
func (l sockets) resetOnClose(fd uint32)              { resetOnClose(fd) }
func (l sockets) order(f func())                      { l.Run(func(*poller.Loop) { f() }) }

func (l sockets) turns() []uint64 {
	_, counts, _ := l.Stats().Turns.Read()
	return counts
}
