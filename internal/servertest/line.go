package servertest

import (
	"net"
	"sync"
	"testing"
)

// A Line is a network between clients and a server, which can be cut without a word
// and reset.
type Line struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	conns map[net.Conn]bool
	whole chan struct{} // closed while nothing is cut
	isCut bool
}

// NewLine is a line to the server at that address, until the test ends. host is the
// loopback address that it has itself.
func NewLine(t testing.TB, host, server string) *Line {
	t.Helper()
	l := &Line{server: server, conns: make(map[net.Conn]bool), whole: make(chan struct{})}
	close(l.whole)
	l.listener = Accept(t, host, l.carry)
	t.Cleanup(func() {
		l.listener.Close()
		l.Heal()
		l.Reset()
	})
	return l
}

// URL is where clients connect to.
func (l *Line) URL() string { return "http://" + l.listener.Addr().String() }

func (l *Line) wait() {
	l.mu.Lock()
	whole := l.whole
	l.mu.Unlock()
	<-whole
}

// keep notes a connection, so that Reset finds it.
func (l *Line) keep(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
}

func (l *Line) carry(client net.Conn) {
	l.keep(client)
	l.wait()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		client.Close()
		return
	}
	l.keep(server)
	copying := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		piece := make([]byte, 64<<10)
		for {
			n, err := from.Read(piece)
			// Neither bytes nor an end get through a line that is cut.
			l.wait()
			if n > 0 {
				if _, err := to.Write(piece[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	go copying(client, server)
	copying(server, client)
}

// Cut keeps whatever is sent from arriving, in both directions.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isCut {
		l.isCut, l.whole = true, make(chan struct{})
	}
}

// Heal ends Cut; nothing is lost by it.
func (l *Line) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		l.isCut = false
		close(l.whole)
	}
}

// Reset ends all connections with a reset; new ones get through.
func (l *Line) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	clear(l.conns)
}
