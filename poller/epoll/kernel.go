package epoll

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"c10m/poller"

	"golang.org/x/sys/unix"
)

// Kernel is the seam between the loop and the operating system: every system
// call that a running loop makes. Linux is the real one; pollertest has a
// seeded fake that injects partial writes and errors.
//
// An Errno of 0 is success. No call may block except EpollWait with a timeout
// other than 0. Buffers are lent until the call returns.
type Kernel interface {
	// EpollCreate returns a new epoll descriptor.
	EpollCreate() (fd int, errno syscall.Errno)
	// EpollCtl adds, changes or removes fd (op is unix.EPOLL_CTL_*).
	EpollCtl(epfd, op, fd int, event *unix.EpollEvent) syscall.Errno
	// EpollWait waits up to msec milliseconds, 0 to look only.
	EpollWait(epfd int, events []unix.EpollEvent, msec int) (n int, errno syscall.Errno)
	// Listen opens a non-blocking SO_REUSEPORT listener.
	Listen(address poller.Address, options ListenOptions) (fd int, errno syscall.Errno)
	// Steer makes the kernel prefer a listener for what arrives at a
	// processor; -1 ends that.
	Steer(listener, cpu int) syscall.Errno
	// Divert makes a listener take no newcomers, while handshakes that have
	// begun go on: newcomers come to listeners that others opened on its port
	// after the own ones there, of which there are so many, and if the kernel
	// still brings one here, its SYN is dropped; the client repeats it after a
	// second. EndDivert ends the first of this, for all listeners of the port.
	Divert(listener, own int) syscall.Errno
	EndDivert(listener int) syscall.Errno
	// Accept returns a non-blocking, close-on-exec connection.
	Accept(listener int) (fd int, errno syscall.Errno)
	// Peer returns the address of the other end of a connection; ENOTCONN if
	// that broke it already.
	Peer(fd int) (netip.AddrPort, syscall.Errno)
	// Recv reads what is there, up to len(p). 0 bytes and no error is the
	// peer's end of stream.
	Recv(fd int, p []byte) (n int, errno syscall.Errno)
	// Send writes p or the first part of it; a broken connection is EPIPE,
	// never a signal.
	Send(fd int, p []byte) (n int, errno syscall.Errno)
	// Sendv is Send for a list of buffers in one call.
	Sendv(fd int, iov []unix.Iovec) (n int, errno syscall.Errno)
	// Shutdown ends the sending direction.
	Shutdown(fd int) syscall.Errno
	// Close closes fd.
	Close(fd int) syscall.Errno
	// Wake makes an eventfd readable. Any goroutine may call it.
	Wake(eventfd int) syscall.Errno
	// Now is monotonic time in nanoseconds.
	Now() int64
}

// Linux is the real Kernel. Calls that cannot block go past the Go scheduler
// (RawSyscall, 0.1 us less each), and so do short sleeps with KeepsP; any other EpollWait
// that waits gives the P back (sleep.go).
type Linux struct {
	// KeepsP has a loop keep its P in short sleeps: for who has more of them than loops
	// (sleep.go).
	KeepsP bool
}

// Now is the process's clock.
func (Linux) Now() int64 { return poller.Now() }

func (Linux) EpollCreate() (int, syscall.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_EPOLL_CREATE1, unix.EPOLL_CLOEXEC, 0, 0)
	return int(fd), errno
}

func (Linux) EpollCtl(epfd, op, fd int, event *unix.EpollEvent) syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(event)), 0, 0)
	return errno
}

func (k Linux) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, syscall.Errno) {
	if msec > keptMillisMax || msec > 0 && !k.KeepsP {
		return epollWaitBlocking(epfd, events, msec)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(msec), 0, 0)
	return int(n), errno
}

func (Linux) Steer(listener, cpu int) syscall.Errno {
	value := int32(cpu)
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(listener), unix.SOL_SOCKET, unix.SO_INCOMING_CPU,
		uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	return errno
}

func (Linux) Accept(listener int) (int, syscall.Errno) {
	fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0,
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(fd), errno
}

func (Linux) Peer(fd int) (netip.AddrPort, syscall.Errno) {
	var address unix.RawSockaddrInet6 // the larger one
	size := uint32(unsafe.Sizeof(address))
	_, _, errno := unix.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd),
		uintptr(unsafe.Pointer(&address)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return netip.AddrPort{}, errno
	}
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&address.Port))[:])
	if address.Family == unix.AF_INET {
		// struct sockaddr_in: family, port, address, 8 bytes of padding.
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&address)).Addr), port), 0
	}
	return netip.AddrPortFrom(netip.AddrFrom16(address.Addr).Unmap(), port), 0
}

func (Linux) Recv(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func (Linux) Send(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

func (Linux) Sendv(fd int, iov []unix.Iovec) (int, syscall.Errno) {
	header := unix.Msghdr{Iov: unsafe.SliceData(iov)}
	header.SetIovlen(len(iov))
	n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&header)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	return int(n), errno
}

func (Linux) Shutdown(fd int) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return errno
}

func (Linux) Close(fd int) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return errno
}

func (Linux) Wake(eventfd int) syscall.Errno {
	one := uint64(1)
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(eventfd), uintptr(unsafe.Pointer(&one)), 8)
	return errno
}
