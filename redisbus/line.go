package redisbus

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A line is a peer's socket, which is either its goroutines' or lent to a loop. Go's own
// epoll must not have it then, or each byte would wake a thread for nothing: so it goes to
// the loop as a descriptor of its own.
type line struct {
	net.Conn      // the goroutines'; closed while it is lent
	remote, local net.Addr

	mu sync.Mutex
	// Guarded by mu.
	isLent   bool
	recall   func() // gets it back from the loop; nil: not yet
	isClosed bool   // meanwhile
	isCalled bool   // a read deadline was set meanwhile
}

func newLine(conn net.Conn) *line {
	return &line{Conn: conn, remote: conn.RemoteAddr(), local: conn.LocalAddr()}
}

// RemoteAddr and LocalAddr are its ends, lent or not.
func (l *line) RemoteAddr() net.Addr { return l.remote }
func (l *line) LocalAddr() net.Addr  { return l.local }

// lend takes the socket from the goroutines. The descriptor is the caller's then, as
// giveBack expects it; lentTo says how it comes back. The reader calls it, and nobody writes.
func (l *line) lend() (fd int, err error) {
	raw, err := l.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	if err := raw.Control(func(of uintptr) { fd, failed = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	if failed != nil {
		return -1, failed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isLent, l.isCalled = true, false
	_ = l.Conn.Close() // and out of Go's epoll
	return fd, nil
}

// lentTo is called when the loop is told to take it. Who wanted it back before that gets it
// now.
func (l *line) lentTo(recall func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recall = recall; l.isClosed || l.isCalled {
		recall()
	}
}

// call gets it back, if it is lent; what is the reason. The caller holds mu.
func (l *line) call(what *bool) (isLent bool) {
	if l.isLent {
		*what = true
		if l.recall != nil {
			l.recall()
		}
	}
	return l.isLent
}

// giveBack makes the socket the goroutines' again. If that fails, it is closed.
func (l *line) giveBack(fd int) {
	file := os.NewFile(uintptr(fd), "")
	conn, err := net.FileConn(file)
	_ = file.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isLent, l.recall = false, nil
	if err != nil {
		return // Read says that it is closed
	}
	l.Conn = conn
	if l.isClosed {
		_ = conn.Close()
	}
	if l.isCalled {
		_ = conn.SetReadDeadline(time.Now())
	}
}

// Close closes the socket, or has it given back and closes it then. Any goroutine may call
// it, as SetReadDeadline and SetWriteDeadline.
func (l *line) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.call(&l.isClosed) {
		return nil
	}
	return l.Conn.Close()
}

// SetReadDeadline ends a read under way, if the deadline is over, or a stay at a loop.
func (l *line) SetReadDeadline(at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.call(&l.isCalled) {
		return nil
	}
	return l.Conn.SetReadDeadline(at)
}

// SetWriteDeadline is of no use to a loop, which writes what there is room for.
func (l *line) SetWriteDeadline(at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isLent {
		return nil
	}
	return l.Conn.SetWriteDeadline(at)
}

// CloseWrite ends the sending direction, where there is one by itself.
func (l *line) CloseWrite() error {
	if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}
