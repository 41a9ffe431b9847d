package faults

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"c10m/internal/servertest"

	"golang.org/x/sys/unix"
)

// Deaf clients connect, upgrade, and then read nothing until they are told to:
// the slowest of slow readers, with receive buffers so small that a few
// kilobytes fill the way to them.
//
// Each crew of them is a thread with a descriptor table of its own, so that
// there may be more than one table holds. Such a table keeps copies of what the
// process has open when the crew begins: start them before other clients.
type deafClients struct {
	clients int
	crews   []*deafCrew
}

// A deafCrew owns its descriptors; orders run on its thread.
type deafCrew struct {
	orders chan func()
	fds    []int
	early  map[int][]byte // what came behind the answer to the request
}

const (
	deafPerCrew       = 15_000
	deafPerSource     = 10_000 // of one address; the kernel has 28,232 ports for each
	deafUnderWay      = 64     // requests that are not answered
	deafReceiveBytes  = 2048
	deafTimeoutSecond = 180 // ends what hangs
)

// startDeaf connects clients to the channel news.
func startDeaf(t *testing.T, s *servertest.Server, clients int) *deafClients {
	t.Helper()
	return startDeafIn(t, s, clients, func(int) string { return "news" })
}

// startDeafIn connects each client to a channel of its own choice.
func startDeafIn(t *testing.T, s *servertest.Server, clients int, channel func(number int) string) *deafClients {
	t.Helper()
	d := &deafClients{clients: clients}
	var answers []chan error
	for first := 0; first < clients; first += deafPerCrew {
		crew := &deafCrew{orders: make(chan func()), early: make(map[int][]byte)}
		crew.start()
		d.crews = append(d.crews, crew)
		t.Cleanup(func() { crew.orders <- crew.leave; close(crew.orders) })
		answer := make(chan error, 1)
		answers = append(answers, answer)
		last := min(first+deafPerCrew, clients)
		crew.orders <- func() { answer <- crew.connect(s.Port, first, last, channel) }
	}
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Fatalf("deaf clients: %v", err)
		}
	}
	return d
}

// start runs the crew's thread, which is never the process's first one. It ends
// locked, and its table with it.
func (c *deafCrew) start() {
	run := func() {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			panic(fmt.Sprintf("no descriptor table of its own: %v", err))
		}
		for order := range c.orders {
			order()
		}
	}
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			run()
			return
		}
		elsewhere := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(elsewhere)
			run()
		}()
		<-elsewhere
		runtime.UnlockOSThread()
	}()
}

func (c *deafCrew) connect(port, first, last int, channel func(int) string) error {
	for at := first; at < last; at += deafUnderWay {
		begin := len(c.fds)
		for number := at; number < min(at+deafUnderWay, last); number++ {
			fd, err := dialDeaf(port, number, channel(number))
			if err != nil {
				return fmt.Errorf("client %d: %w", number, err)
			}
			c.fds = append(c.fds, fd)
		}
		for _, fd := range c.fds[begin:] {
			if err := c.readAnswer(fd); err != nil {
				return err
			}
		}
	}
	return nil
}

func dialDeaf(port, number int, channel string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	block := number / deafPerSource
	timeout := unix.Timeval{Sec: deafTimeoutSecond}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, deafReceiveBytes),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 200, byte(1 + block/200), byte(1 + block%200)}}),
		connectDeaf(fd, port),
	)
	if err == nil {
		_, err = unix.Write(fd, []byte("GET /"+channel+" HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// connectDeaf waits out what a signal of the runtime interrupts: with a time-out
// connect(2) is not begun again, and goes on by itself (signal(7)).
func connectDeaf(fd, port int) error {
	err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	for err == unix.EINTR {
		var n int
		if n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, deafTimeoutSecond*1000); err == nil && n == 0 {
			return unix.ETIMEDOUT
		} else if err == nil {
			var problem int
			if problem, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && problem != 0 {
				return syscall.Errno(problem)
			}
		}
	}
	return err
}

func (c *deafCrew) readAnswer(fd int) error {
	var answer []byte
	buffer := make([]byte, 512)
	for {
		n, err := unix.Read(fd, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return fmt.Errorf("no answer to a request: %d bytes, %v", len(answer), err)
		}
		answer = append(answer, buffer[:n]...)
		head, rest, whole := bytes.Cut(answer, []byte("\r\n\r\n"))
		switch {
		case whole && !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")):
			return fmt.Errorf("refused: %s", head)
		case whole:
			if len(rest) > 0 {
				c.early[fd] = rest
			}
			return nil
		}
	}
}

func (c *deafCrew) leave() {
	for _, fd := range c.fds {
		unix.Close(fd)
	}
	c.fds = nil
}

// hear has every client read until its frame is last, and calls frame for each
// of its payloads, from one goroutine at a time. A frame that is not whole, or of
// another kind than text, is an error.
func (d *deafClients) hear(last string, frame func(client int, payload []byte) error) error {
	client := 0
	for _, crew := range d.crews {
		answer := make(chan error)
		crew.orders <- func() {
			for _, fd := range crew.fds {
				if err := crew.hearOne(fd, last, func(p []byte) error { return frame(client, p) }); err != nil {
					answer <- fmt.Errorf("client %d: %w", client, err)
					return
				}
				client++
			}
			answer <- nil
		}
		if err := <-answer; err != nil {
			return err
		}
	}
	return nil
}

func (c *deafCrew) hearOne(fd int, last string, frame func([]byte) error) error {
	stream := c.early[fd]
	delete(c.early, fd)
	buffer := make([]byte, 64<<10)
	for {
		for {
			payload, rest, whole, err := nextFrame(stream)
			if err != nil {
				return err
			}
			if !whole {
				break
			}
			stream = rest
			if string(payload) == last {
				return nil
			}
			if err := frame(payload); err != nil {
				return err
			}
		}
		n, err := unix.Read(fd, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return fmt.Errorf("the stream ended with %d bytes of a frame: %v", len(stream), err)
		}
		stream = append(stream, buffer[:n]...)
	}
}

// nextFrame takes one unfragmented text frame (RFC 6455, 5.2) off a stream.
func nextFrame(stream []byte) (payload, rest []byte, whole bool, err error) {
	if len(stream) < 2 {
		return nil, stream, false, nil
	}
	if stream[0] != 0x81 || stream[1] > 126 {
		return nil, nil, false, fmt.Errorf("a frame begins with %x", stream[:2])
	}
	size, head := int(stream[1]), 2
	if size == 126 {
		if len(stream) < 4 {
			return nil, stream, false, nil
		}
		size, head = int(binary.BigEndian.Uint16(stream[2:])), 4
	}
	if len(stream) < head+size {
		return nil, stream, false, nil
	}
	return stream[head : head+size], stream[head+size:], true, nil
}
