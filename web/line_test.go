package web

import (
	"net"
	"sync"
	"testing"

	"c10m/internal/servertest"
)

// A line is a network between clients and a server, which can be cut without a word
// and reset.
type line struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	conns map[net.Conn]bool
	whole chan struct{} // closed while nothing is cut
	isCut bool
}

// newLine is a line to the server at that address, until the test ends. host is the
// loopback address that it has itself.
func newLine(t testing.TB, host, server string) *line {
	t.Helper()
	l := &line{server: server, conns: make(map[net.Conn]bool), whole: make(chan struct{})}
	close(l.whole)
	l.listener = servertest.Accept(t, host, l.carry)
	t.Cleanup(func() {
		l.listener.Close()
		l.heal()
		l.reset()
	})
	return l
}

// url is where clients connect to.
func (l *line) url() string { return "http://" + l.listener.Addr().String() }

func (l *line) wait() {
	l.mu.Lock()
	whole := l.whole
	l.mu.Unlock()
	<-whole
}

// keep notes a connection, so that reset finds it.
func (l *line) keep(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
}

func (l *line) carry(client net.Conn) {
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

// cut keeps whatever is sent from arriving, in both directions.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isCut {
		l.isCut, l.whole = true, make(chan struct{})
	}
}

// heal ends cut; nothing is lost by it.
func (l *line) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		l.isCut = false
		close(l.whole)
	}
}

// reset ends all connections with a reset; new ones get through.
func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	clear(l.conns)
}
