package epoll

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"c10m/poller"

	"golang.org/x/sys/unix"
)

// ListenOptions are set on every listener; accepted connections inherit them
// (tcp(7)), so that no connection costs a setsockopt of its own.
type ListenOptions struct {
	// WriteDeadline is TCP_USER_TIMEOUT: how long sent bytes may stay
	// unacknowledged, a shut window included, before the kernel ends the
	// connection. 0 leaves the kernel's own (about 15 minutes).
	WriteDeadline time.Duration
	// SendBufferBytes is SO_SNDBUF: what the kernel holds for a slow reader.
	// 0 leaves it to the kernel, which grows it to net.ipv4.tcp_wmem[2].
	SendBufferBytes int
	// DeferAccept leaves a connection to the kernel until its first bytes
	// are there (TCP_DEFER_ACCEPT).
	DeferAccept bool
}

// Listen opens a listener. All options that connections inherit are set before
// listen(2), since a connection copies them when it is made.
func (Linux) Listen(address poller.Address, options ListenOptions) (int, syscall.Errno) {
	family := unix.AF_INET
	if address.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, errnoOf(err)
	}
	if err := setUpListener(fd, address, options); err != nil {
		unix.Close(fd)
		return -1, errnoOf(err)
	}
	return fd, 0
}

func setUpListener(fd int, address poller.Address, options ListenOptions) error {
	settings := []struct {
		level, name, value int
		wanted             bool
	}{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, true},
		{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, true},
		{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0, address.Addr() == netip.IPv6Unspecified()},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, true},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(options.WriteDeadline.Milliseconds()), options.WriteDeadline > 0},
		{unix.SOL_SOCKET, unix.SO_SNDBUF, options.SendBufferBytes, options.SendBufferBytes > 0},
		{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferAcceptSeconds, options.DeferAccept},
	}
	for _, s := range settings {
		if !s.wanted {
			continue
		}
		if err := unix.SetsockoptInt(fd, s.level, s.name, s.value); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, sockaddr(address)); err != nil {
		return err
	}
	return unix.Listen(fd, listenBacklog)
}

func sockaddr(address poller.Address) unix.Sockaddr {
	if address.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(address.Port()), Addr: address.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
}

func errnoOf(err error) syscall.Errno {
	if errno, ok := err.(syscall.Errno); ok {
		return errno
	}
	return unix.EINVAL
}

// listenError is one sentence for the operator.
func listenError(address poller.Address, errno syscall.Errno) error {
	switch errno {
	case unix.EADDRINUSE:
		return fmt.Errorf("cannot listen on %s: another program uses that port; choose other ports with --listen: %w", address, errno)
	case unix.EACCES:
		return fmt.Errorf("cannot listen on %s: ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE; choose other ports with --listen: %w", address, errno)
	case unix.EADDRNOTAVAIL:
		return fmt.Errorf("cannot listen on %s: this host does not have that address; choose another with --listen: %w", address, errno)
	case unix.EMFILE, unix.ENFILE:
		return fmt.Errorf("cannot listen on %s: no descriptors are left; listen on fewer ports or raise the nofile limit: %w", address, errno)
	}
	return fmt.Errorf("cannot listen on %s: %w", address, errno)
}
