package epoll

import (
	"syscall"
	"testing"

	"c10m/poller"

	"golang.org/x/sys/unix"
)

// failing is a kernel all of whose calls on connections fail.
type failing struct {
	Kernel
	errno syscall.Errno
}

func (k failing) Recv(int, []byte) (int, syscall.Errno)        { return -1, k.errno }
func (k failing) Send(int, []byte) (int, syscall.Errno)        { return -1, k.errno }
func (k failing) Sendv(int, []unix.Iovec) (int, syscall.Errno) { return -1, k.errno }

// What the errors of the kernel mean to who reads and writes: of the man pages recv(2),
// send(2) and tcp(7).
func TestWhatErrorsMean(t *testing.T) {
	for _, c := range []struct {
		errno      syscall.Errno
		recv, send poller.Status
	}{
		{unix.EAGAIN, poller.Full, poller.Full},
		{unix.EINTR, poller.Full, poller.Full},
		{unix.ENOBUFS, poller.Broken, poller.Full},
		{unix.ENOMEM, poller.Broken, poller.Full},
		{unix.ECONNRESET, poller.Gone, poller.Gone},
		{unix.EPIPE, poller.Gone, poller.Gone},
		{unix.ETIMEDOUT, poller.TimedOut, poller.TimedOut},
		{unix.EHOSTUNREACH, poller.Broken, poller.Broken},
		{unix.EBADF, poller.Broken, poller.Broken},
	} {
		e := newEngine(failing{errno: c.errno}, 0, nil)
		words := poller.Words([]byte("x"))
		if n, status := e.Recv(1, make([]byte, 1)); n != 0 || status != c.recv {
			t.Errorf("recv: %v is %d bytes, status %d", c.errno, n, status)
		}
		if n, status := e.Send(1, words); n != 0 || status != c.send {
			t.Errorf("send: %v is %d bytes, status %d", c.errno, n, status)
		}
		if n, status := e.Sendv(1, []poller.Piece{words, words}); n != 0 || status != c.send {
			t.Errorf("sendmsg: %v is %d bytes, status %d", c.errno, n, status)
		}
	}
}
