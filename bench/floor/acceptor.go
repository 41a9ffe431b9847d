package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/bench/load"
	"c10m/poller/epoll"
	"c10m/tuning"
)

// An acceptorConfig is the argument of the acceptor's role.
type acceptorConfig struct {
	FirstPort   int
	Ports       int
	Connections int // it says when so many were accepted, and as many again
	Loops       int
	Private     bool // a descriptor table for each loop
	Exchange    bool // read a request and answer it, instead of accepting alone
	Pings       pingPace
}

// accepted is what the acceptor says when all are there.
type accepted struct {
	Nanos int64 // of load.Nanos, which all processes share
}

// An acceptor is a floor for the server: loops that accept connections, put
// them into an epoll, close them when they end, and do nothing else.
type acceptor struct {
	// Fixed after construction.
	config acceptorConfig
	full   chan accepted
	failed chan error

	// Shared: atomic.
	total   atomic.Int64 // accepted, ever; added to once per batch
	pinging atomic.Bool  // accept no more, and ping
	pings   atomic.Int64 // added to once per beat and loop
	pongs   atomic.Int64
}

// acceptMain says "listening" when all loops do, then an accepted for every
// config.Connections, and a pinged for every wordCount. It ends with its
// standard input.
func acceptMain(arguments []string) error {
	a := &acceptor{full: make(chan accepted, linesMax), failed: make(chan error, 1)}
	if err := parseRole(arguments, &a.config); err != nil {
		return err
	}
	limit, err := load.RaiseDescriptorLimit()
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(tuning.GOMAXPROCS(a.config.Loops)) // as the server
	listening := make(chan error, a.config.Loops)
	if err := startThreads(a.config.Loops, a.config.Private, limit, func(int) {
		l := &acceptLoop{acceptor: a}
		err := l.open()
		listening <- err
		if err == nil {
			a.fail(l.run())
		}
	}); err != nil {
		return err
	}
	for range a.config.Loops {
		if err := <-listening; err != nil {
			return err
		}
	}
	fmt.Println("listening")
	ended, asked := make(chan error, 1), make(chan string)
	go func() {
		words := bufio.NewScanner(os.Stdin)
		for words.Scan() {
			asked <- words.Text()
		}
		ended <- words.Err()
	}()
	output := json.NewEncoder(os.Stdout)
	for {
		select {
		case word := <-asked:
			if word != wordCount || a.config.Pings.Interval == 0 {
				return fmt.Errorf("%q is no word of the acceptor", word)
			}
			a.pinging.Store(true)
			if err := output.Encode(pinged{a.pings.Load(), a.pongs.Load()}); err != nil {
				return err
			}
		case all := <-a.full:
			if err := output.Encode(all); err != nil {
				return err
			}
		case err := <-a.failed:
			return err
		case err := <-ended:
			return err
		}
	}
}

// fail ends the process with the first error.
func (a *acceptor) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// add counts a batch, and says so when it filled the number.
func (a *acceptor) add(batch int64) {
	after, each := a.total.Add(batch), int64(a.config.Connections)
	if after/each > (after-batch)/each {
		a.full <- accepted{load.Nanos()}
	}
}

// An acceptLoop is one thread of an acceptor. Only raw system calls: nothing
// of the project's reactor may be in the floor that it is measured against.
type acceptLoop struct {
	*acceptor

	// Owned by the loop.
	epfd   uintptr
	tight  bool    // no descriptor was left for the last newcomer
	fds    []int32 // all that it holds, if it is to ping them
	pinged pinged  // in the beat at hand
	events [acceptEventsMax]unix.EpollEvent
	buffer [requestBytesMax]byte
	answer answerBuffer
}

// listenerMark in the epoll data tells listeners from connections.
const listenerMark = 1

func (l *acceptLoop) open() error {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	l.epfd = uintptr(epfd)
	l.answer.fill()
	for i := range l.config.Ports {
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(l.config.FirstPort+i))
		// The server's own listener, so that connections inherit the same.
		fd, errno := epoll.Linux{}.Listen(address, epoll.ListenOptions{DeferAccept: l.config.Exchange})
		if errno != 0 {
			return fmt.Errorf("cannot listen on %s: %w", address, errno)
		}
		if errno := l.watch(uintptr(fd), unix.EPOLLIN, listenerMark); errno != 0 {
			return errno
		}
	}
	return nil
}

func (l *acceptLoop) watch(fd uintptr, events uint32, mark int32) syscall.Errno {
	event := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: mark}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, l.epfd, unix.EPOLL_CTL_ADD, fd, uintptr(unsafe.Pointer(&event)), 0, 0)
	return errno
}

// run returns only with an error.
func (l *acceptLoop) run() error {
	msec := ^uintptr(0)
	if l.config.Pings.Interval > 0 {
		msec = pingLookMillis
	}
	for !l.pinging.Load() {
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, l.epfd, uintptr(unsafe.Pointer(&l.events)), acceptEventsMax, msec, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return fmt.Errorf("epoll_wait: %w", errno)
		}
		ended := false
		for i := range l.events[:n] {
			event := &l.events[i]
			if event.Pad == listenerMark {
				if err := l.accept(uintptr(event.Fd)); err != nil {
					return err
				}
				continue
			}
			if l.read(uintptr(event.Fd)) {
				ended = true
			}
		}
		if l.tight && !ended {
			return fmt.Errorf("a descriptor table is full after %d connections of all loops; ask for more loops with --acceptor-loops", l.total.Load())
		}
	}
	return l.ping()
}

// accept takes all that wait at a listener.
func (l *acceptLoop) accept(listener uintptr) error {
	l.tight = false
	batch := int64(0)
	defer func() { l.add(batch) }()
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, listener, 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
		case unix.EAGAIN:
			return nil
		case unix.EINTR, unix.ECONNABORTED:
			continue
		case unix.EMFILE:
			l.tight = true // until some of those that ended are closed
			return nil
		default:
			return fmt.Errorf("accept: %w", errno)
		}
		batch++
		if l.config.Exchange && l.read(fd) {
			continue
		}
		if errno := l.watch(fd, unix.EPOLLIN|unix.EPOLLRDHUP, 0); errno != 0 {
			return fmt.Errorf("epoll_ctl: %w", errno)
		}
		if l.config.Pings.Interval > 0 {
			l.fds = append(l.fds, int32(fd))
		}
	}
}

// read takes what a connection sent, answers it if that is wanted, and closes
// the connection if it ended.
func (l *acceptLoop) read(fd uintptr) (ended bool) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&l.buffer)), requestBytesMax, 0, 0, 0)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return false
	case errno != 0 || n == 0:
		unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		return true
	case !l.config.Exchange || n < uintptr(keyFromEnd):
		return false
	}
	reply := l.answer.to(l.buffer[:n])
	unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(reply)), uintptr(answerBytes), unix.MSG_NOSIGNAL, 0, 0)
	return false // an error of send is seen by the next read
}

const (
	answerHead = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	// answerBytes is with the 28 bytes of the key's hash: 129, as the server's.
	answerBytes = len(answerHead) + 28 + len("\r\n\r\n")
	// keyFromEnd is where the load client's request has its key of 24 bytes.
	keyFromEnd = 24 + len("\r\n\r\n")
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3
)

// An answerBuffer holds the one answer, of which only the hash changes. The
// hash is not the server's doing but the client's demand (RFC 6455 section
// 4.1): 0.2 us, and the same client serves for all sides.
type answerBuffer struct {
	bytes [answerBytes]byte
	keyed [24 + len(acceptGUID)]byte
}

func (a *answerBuffer) fill() {
	copy(a.bytes[:], answerHead)
	copy(a.bytes[answerBytes-4:], "\r\n\r\n")
	copy(a.keyed[24:], acceptGUID)
}

// to is the answer to a request, valid until the next call.
func (a *answerBuffer) to(request []byte) *[answerBytes]byte {
	copy(a.keyed[:24], request[len(request)-keyFromEnd:])
	sum := sha1.Sum(a.keyed[:])
	base64.StdEncoding.Encode(a.bytes[len(answerHead):], sum[:])
	return &a.bytes
}
