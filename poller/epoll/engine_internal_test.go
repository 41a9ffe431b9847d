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

// taking is a kernel that takes all and does nothing.
type taking struct{ Kernel }

func (taking) Send(_ int, p []byte) (int, syscall.Errno)        { return len(p), 0 }
func (taking) Sendv(_ int, _ []unix.Iovec) (int, syscall.Errno) { return 1, 0 }

// What a write costs on its way from a loop's handler to the system call.
func BenchmarkSeam(b *testing.B) {
	e := newEngine(taking{}, 0, newTable(1<<12, 0))
	l := poller.New(poller.Config{Loops: 1}).Add(e)
	piece := poller.Piece{Frame: make([]byte, 256), IsShared: true}
	b.Run("send", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			l.Send(uint32(i&1023), piece)
		}
	})
	b.Run("sendv of 8", func(b *testing.B) {
		b.ReportAllocs()
		var pieces [8]poller.Piece
		for i := range b.N {
			for j := range pieces {
				pieces[j] = piece
			}
			l.Sendv(uint32(i&1023), pieces[:])
			clear(pieces[:])
		}
	})
}
