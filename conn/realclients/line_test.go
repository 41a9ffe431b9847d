package realclients

import (
	"io"
	"net"
	"sync"
	"testing"

	"c10m/internal/servertest"
)

// A line is a network between clients and a server, whose connections can be reset.
type line struct {
	url, server string

	mu    sync.Mutex
	conns []net.Conn
}

// newLine is a line to the server at that address, until the test ends.
func newLine(t *testing.T, server string) *line {
	t.Helper()
	l := &line{server: server}
	l.url = "http://" + servertest.Accept(t, "127.0.0.1", l.carry).Addr().String()
	t.Cleanup(l.reset)
	return l
}

func (l *line) carry(client net.Conn) {
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		client.Close()
		return
	}
	l.mu.Lock()
	l.conns = append(l.conns, client, server)
	l.mu.Unlock()
	copying := func(to, from net.Conn) {
		io.Copy(to, from)
		to.Close()
		from.Close()
	}
	go copying(client, server)
	copying(server, client)
}

// reset ends all connections with a reset; new ones get through.
func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	l.conns = nil
}
