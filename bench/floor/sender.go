package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/bench/load"
)

// send is the floor: a process of one thread that accepts connections, and for
// each line on its standard input sends one frame to each, in a row, with
// nothing else between two sends. It ends with its standard input.
//
// It says "port N" when it listens and "ready" when all are there.
func send(connectionsText, sizeText string) error {
	connections, err := strconv.Atoi(connectionsText)
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(sizeText)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	limit, err := load.RaiseDescriptorLimit()
	if err != nil {
		return err
	}
	if connections > limit-100 {
		return fmt.Errorf("%d connections do not fit one descriptor table of %d", connections, limit)
	}
	listener, port, err := listen()
	if err != nil {
		return err
	}
	fmt.Printf("port %d\n", port)
	fds := make([]uintptr, 0, connections)
	for len(fds) < connections {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == unix.EINTR || err == unix.ECONNABORTED {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept %d of %d: %w", len(fds), connections, err)
		}
		fds = append(fds, uintptr(fd))
	}
	fmt.Println("ready")
	return sendLines(fds, size)
}

// sendLines sends a frame for every sequence number on standard input.
func sendLines(fds []uintptr, size int) error {
	lines := bufio.NewScanner(os.Stdin)
	var frame []byte
	for lines.Scan() {
		sequence, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 64)
		if err != nil {
			return err
		}
		frame = load.AppendStampedFrame(frame[:0], sequence, load.Nanos(), size)
		first, length := uintptr(unsafe.Pointer(unsafe.SliceData(frame))), uintptr(len(frame))
		for _, fd := range fds {
			n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, first, length, unix.MSG_NOSIGNAL, 0, 0)
			if errno != 0 || n != length {
				if err := finish(fd, frame, n, errno); err != nil {
					return err
				}
			}
		}
		runtime.KeepAlive(&frame[0])
	}
	return lines.Err()
}

// finish is the rare case that a socket was full: it waits, as a blocking send
// would.
func finish(fd uintptr, frame []byte, n uintptr, errno syscall.Errno) error {
	sent := 0
	if errno == 0 {
		sent = int(n)
	}
	for sent < len(frame) {
		if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
			return fmt.Errorf("send: %w", errno)
		}
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(poll, int(roundSlack.Milliseconds())); err != nil && err != unix.EINTR {
			return err
		}
		var more int
		more, err := unix.SendmsgN(int(fd), frame[sent:], nil, nil, unix.MSG_NOSIGNAL)
		errno = 0
		if err != nil {
			errno, more = err.(syscall.Errno), 0
		}
		sent += more
	}
	return nil
}

func listen() (fd, port int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, 0, err
	}
	// As the server's listeners have it; accepted sockets inherit it.
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return 0, 0, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, 0, err
	}
	if err = unix.Listen(fd, senderBacklog); err != nil {
		return 0, 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, 0, err
	}
	return fd, name.(*unix.SockaddrInet4).Port, nil
}
