package web

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"sync"
	"testing"

	"c10m/internal/servertest"
)

// What a middlebox does to connections.
const (
	boxPasses   = "pass"    // nothing
	boxSwallows = "swallow" // what follows a 101, in both directions
	boxCloses   = "close"   // closes after a 101
	boxDrops    = "drop"    // everything, for good on each connection, as a network does that loses packets
)

// A middlebox stands between clients and a server, as some offices and hotels have it,
// and can be told what to do, and to cut connections in the middle of a frame.
type middlebox struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	mode  string
	left  int // bytes that still pass to clients before all connections are cut; -1: none is
	conns map[*boxed]bool
}

// A boxed is a connection through it. Guarded by middlebox.mu.
type boxed struct {
	client, server net.Conn
	isLost         bool // nothing passes any more, in either direction
	isUpgraded     bool
}

// newMiddlebox is a middlebox in front of the server at that address, until the test ends.
// host is the loopback address that it has itself.
func newMiddlebox(t testing.TB, host, server string) *middlebox {
	t.Helper()
	m := &middlebox{server: server, mode: boxPasses, left: -1, conns: make(map[*boxed]bool)}
	m.listener = servertest.Accept(t, host, m.carry)
	t.Cleanup(func() {
		m.listener.Close()
		m.reset()
	})
	return m
}

// url is where clients connect to.
func (m *middlebox) url() string { return "http://" + m.listener.Addr().String() }

// set says what is done from now on. What was dropped stays so: who comes back needs
// another connection.
func (m *middlebox) set(mode string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mode = mode
	for b := range m.conns {
		b.isLost = b.isLost || mode == boxDrops || mode == boxSwallows && b.isUpgraded
		if mode == boxCloses && b.isUpgraded {
			b.reset()
		}
	}
}

// cutAfter resets all connections when so many bytes have passed to clients: mostly in
// the middle of a frame.
func (m *middlebox) cutAfter(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = n
}

// reset ends all connections with a reset.
func (m *middlebox) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for b := range m.conns {
		b.reset()
	}
}

func (b *boxed) reset() {
	for _, c := range []net.Conn{b.client, b.server} {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

func (m *middlebox) carry(client net.Conn) {
	server, err := net.Dial("tcp", m.server)
	if err != nil {
		client.Close()
		return
	}
	b := &boxed{client: client, server: server}
	m.mu.Lock()
	b.isLost = m.mode == boxDrops
	m.conns[b] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.conns, b)
		m.mu.Unlock()
	}()
	go func() {
		defer server.Close()
		m.pass(b, server, client, false)
	}()
	defer client.Close()
	m.pass(b, client, server, true)
}

// pass takes bytes from one side to the other. One that is lost is not told the end of
// the other.
func (m *middlebox) pass(b *boxed, to, from net.Conn, isToClient bool) {
	piece := make([]byte, 64<<10)
	head := []byte(nil) // of the first answer, as far as it came
	isHead := isToClient
	for {
		n, err := from.Read(piece)
		if n > 0 {
			rest := piece[:n]
			if isHead {
				head = append(head, rest...)
				if at := bytes.Index(head, []byte("\r\n\r\n")); at >= 0 {
					isHead = false
					if m.upgraded(b, head[:at+4]) {
						// What follows the 101 is not the answer's.
						to.Write(rest[:max(0, n-(len(head)-at-4))])
						rest = head[at+4:]
						if m.closesUpgrades() {
							b.client.Close()
							b.server.Close()
							return
						}
					}
				}
			}
			if !m.write(b, to, rest, isToClient) {
				return
			}
		}
		if err != nil {
			if m.isLost(b) && isToClient {
				// The client hears nothing of it; its own end or the test's ends this.
				<-closed(b.client)
			}
			return
		}
	}
}

func (m *middlebox) isLost(b *boxed) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return b.isLost
}

// upgraded notes a 101, and reports whether the head is one.
func (m *middlebox) upgraded(b *boxed, head []byte) bool {
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b.isUpgraded = true
	// The 101 itself passes.
	b.isLost = b.isLost || m.mode == boxSwallows
	return true
}

func (m *middlebox) closesUpgrades() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mode == boxCloses
}

// write writes what may pass, and cuts all connections where it is to.
func (m *middlebox) write(b *boxed, to net.Conn, bytes []byte, isToClient bool) bool {
	m.mu.Lock()
	if b.isLost {
		m.mu.Unlock()
		return true
	}
	isCut := isToClient && m.left >= 0 && len(bytes) >= m.left
	if isCut {
		bytes, m.left = bytes[:m.left], -1
	} else if isToClient && m.left >= 0 {
		m.left -= len(bytes)
	}
	m.mu.Unlock()
	if _, err := to.Write(bytes); err != nil {
		return false
	}
	if isCut {
		m.reset()
		return false
	}
	return true
}

// closed is closed when the connection is, whatever comes meanwhile.
func closed(c net.Conn) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		piece := make([]byte, 1024)
		for {
			if _, err := c.Read(piece); err != nil {
				return
			}
		}
	}()
	return done
}
