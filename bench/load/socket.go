package load

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Raw system calls only: with private descriptor tables a loop's thread must
// not go through a library that could use a number of another table, and none
// of these calls blocks.

// openSocket starts a connection from source (invalid: the kernel chooses
// address and port; port 0: the kernel chooses the port) to target. The
// connection is usually still under way when it returns.
func openSocket(source, target netip.AddrPort) (fd uint32, errno syscall.Errno) {
	family := uintptr(unix.AF_INET)
	if target.Addr().Is6() {
		family = unix.AF_INET6
	}
	r, _, errno := unix.RawSyscall(unix.SYS_SOCKET, family,
		unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return 0, errno
	}
	if source.Addr().IsValid() {
		errno = bindTo(r, source)
	}
	if errno == 0 {
		errno = connectTo(r, target)
	}
	if errno != 0 && errno != unix.EINPROGRESS {
		unix.RawSyscall(unix.SYS_CLOSE, r, 0, 0)
		return 0, errno
	}
	return uint32(r), 0
}

// bindTo gives a socket its local address.
func bindTo(fd uintptr, source netip.AddrPort) (errno syscall.Errno) {
	switch source.Port() {
	case 0:
		// Without this option bind would take a local port for itself alone,
		// and 28,000 connections would use up all of them; with it, connect
		// chooses a port that is free for this pair of ends (ip(7)).
		errno = setOption(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	default:
		// bind(2) then does not walk over all sockets of this port on other
		// addresses, and takes a port whose last use is in TIME_WAIT.
		errno = setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if errno != 0 {
		return errno
	}
	var address rawAddress
	size := address.set(source)
	_, _, errno = unix.RawSyscall(unix.SYS_BIND, fd, uintptr(unsafe.Pointer(&address)), size)
	return errno
}

func setOption(fd uintptr, level, option int, value int32) syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, fd, uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value)), 4, 0)
	return errno
}

func connectTo(fd uintptr, target netip.AddrPort) syscall.Errno {
	var address rawAddress
	size := address.set(target)
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&address)), size)
	return errno
}

// rawAddress is a sockaddr_in or sockaddr_in6 as the kernel reads it.
type rawAddress struct {
	family uint16
	port   [2]byte
	rest   [24]byte
}

func (a *rawAddress) set(address netip.AddrPort) (size uintptr) {
	*a = rawAddress{family: unix.AF_INET}
	binary.BigEndian.PutUint16(a.port[:], address.Port())
	if address.Addr().Is6() {
		a.family = unix.AF_INET6
		as16 := address.Addr().As16()
		copy(a.rest[4:], as16[:])
		return unix.SizeofSockaddrInet6
	}
	as4 := address.Addr().As4()
	copy(a.rest[:], as4[:])
	return unix.SizeofSockaddrInet4
}

// socketError fetches and clears the error of a socket (SO_ERROR).
func socketError(fd uint32) syscall.Errno {
	var value, size int32 = 0, 4
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return syscall.Errno(value)
}

// resetOnClose makes the next close(2) send a reset (socket(7), SO_LINGER). If
// it fails, the close is an ordinary one.
func resetOnClose(fd uint32) {
	linger := unix.Linger{Onoff: 1}
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
}
