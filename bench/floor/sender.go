package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/bench/load"
)

// A senderConfig is the argument of the sender's role.
type senderConfig struct {
	Connections int
	Size        int
	// Tables are descriptor tables: with more than one, a thread for each.
	Tables    int
	FirstPort int // of the first table; each further one listens on the next
	// Batch is how many messages go out in one send, if so many wait.
	Batch int
}

// perTable is how many connections a table gets at most: the client counts on
// it, too (Spread.PerPort).
func (c *senderConfig) perTable() int { return (c.Connections + c.Tables - 1) / c.Tables }

// share is what table index gets.
func (c *senderConfig) share(index int) int {
	return min(c.perTable(), c.Connections-index*c.perTable())
}

// senderTables is how many tables the sender needs for its connections.
func senderTables(connections, limit int) int {
	if connections <= limit-oneTableSpare {
		return 1
	}
	perTable := max(limit-tableSpare, 1)
	return (connections + perTable - 1) / perTable
}

// sendMain is the floor: a process that accepts connections, and for each line
// on its standard input sends one frame to each, in a row, with nothing else
// between two sends. It ends with its standard input.
//
// It says "listening" when it listens and "ready" when all are there.
func sendMain(arguments []string) error {
	var config senderConfig
	if err := parseRole(arguments, &config); err != nil {
		return err
	}
	limit, err := load.RaiseDescriptorLimit()
	if err != nil {
		return err
	}
	if config.Tables > 1 {
		return sendInTurns(config, limit)
	}
	runtime.LockOSThread()
	listener, err := listen(config.FirstPort)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	fds, err := acceptAll(listener, config.Connections)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return eachLine(config, func(frames []byte) error { return sendTo(fds, frames) })
}

// sendInTurns is the floor beyond one descriptor table: a thread for each, of
// which one sends at a time. So it is the work of one thread all the same, and
// of a few switches per message, which vanish beside 20,000 sends each.
func sendInTurns(config senderConfig, limit int) error {
	baton := newBaton(config.Tables)
	listening, ready := make(chan error, config.Tables), make(chan error, config.Tables)
	err := startThreads(config.Tables, true, limit, func(index int) {
		listener, err := listen(config.FirstPort + index)
		listening <- err
		if err != nil {
			return
		}
		fds, err := acceptAll(listener, config.share(index))
		ready <- err
		if err != nil {
			return
		}
		baton.serve(index, func(frame []byte) error { return sendTo(fds, frame) })
	})
	if err != nil {
		return err
	}
	for _, phase := range []struct {
		word string
		done <-chan error
	}{{"listening", listening}, {"ready", ready}} {
		for range config.Tables {
			if err := <-phase.done; err != nil {
				return err
			}
		}
		fmt.Println(phase.word)
	}
	return eachLine(config, baton.pass)
}

func acceptAll(listener, connections int) (fds []uintptr, err error) {
	fds = make([]uintptr, 0, connections)
	for len(fds) < connections {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == unix.EINTR || err == unix.ECONNABORTED {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("accept %d of %d: %w", len(fds), connections, err)
		}
		fds = append(fds, uintptr(fd))
	}
	return fds, nil
}

// eachLine hands over a frame for every sequence number on standard input; those
// that wait go together, up to Batch.
func eachLine(config senderConfig, send func(frames []byte) error) error {
	lines := bufio.NewReader(os.Stdin)
	var frames []byte
	for {
		frames = frames[:0]
		for n := 0; n == 0 || n < config.Batch && hasLine(lines); n++ {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			sequence, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
			if err != nil {
				return err
			}
			frames = load.AppendStampedFrame(frames, sequence, load.Nanos(), config.Size)
		}
		if err := send(frames); err != nil {
			return err
		}
	}
}

// hasLine reports whether a line can be had without waiting.
func hasLine(lines *bufio.Reader) bool {
	there, _ := lines.Peek(lines.Buffered())
	return bytes.IndexByte(there, '\n') >= 0
}

// sendTo sends a frame to each of fds, which are of this thread's table.
func sendTo(fds []uintptr, frame []byte) error {
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
	return nil
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

func listen(port int) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	// Those whom an earlier sender left in TIME_WAIT do not matter.
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	// As the server's listeners have it; accepted sockets inherit it.
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return 0, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("cannot listen on port %d: %w", port, err)
	}
	if err = unix.Listen(fd, senderBacklog); err != nil {
		return 0, err
	}
	return fd, nil
}
