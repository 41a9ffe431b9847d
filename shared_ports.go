package main

import (
	"errors"
	"fmt"
	"net/netip"

	"c10m/poller"

	"golang.org/x/sys/unix"
)

// Servers of one host may share ports (SO_REUSEPORT), which is how one takes over from
// another. The kernel then divides the clients among them, and with embedded buses each
// message reaches those of one server. Nothing fails, so it has to be said.

// sharedPortsWarning is what the operator is told if somebody else listens where this
// server is about to, and its bus is its own. Empty if all is well.
func (f *serveFlags) sharedPortsWarning(listen []poller.Address) string {
	if f.Bus != "embedded" {
		return ""
	}
	for _, address := range listen {
		if isListenedOn(address) {
			return fmt.Sprintf("somebody else listens on %v, too (SO_REUSEPORT): newcomers are divided between both, and a message published at the embedded bus of one reaches half of them. "+
				"If that server stays, give one of them --bus redis://HOST:PORT, the embedded bus of the other or a Redis for both; if it is being replaced, stop it, and publish at this one's --bus-listen (%s) from now on", address, f.BusListen)
		}
	}
	return ""
}

// isListenedOn reports whether a socket of another process listens there. It binds
// without SO_REUSEPORT, which the kernel then refuses, and does not listen, so that no
// client can come to it.
func isListenedOn(address netip.AddrPort) bool {
	domain := unix.AF_INET6
	if address.Addr().Is4() {
		domain = unix.AF_INET
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	// Connections of a server that ended do not count, only listeners do.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	var sockaddr unix.Sockaddr
	if domain == unix.AF_INET {
		sockaddr = &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
	} else {
		sockaddr = &unix.SockaddrInet6{Port: int(address.Port()), Addr: address.Addr().As16()}
	}
	return errors.Is(unix.Bind(fd, sockaddr), unix.EADDRINUSE)
}
