package load

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// An acceptor is a WebSocket server of a few lines, with a goroutine per
// connection: slow, and nothing of ours in it.
type acceptor struct {
	t        *testing.T
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	peers  []*peer
	byPath map[string]int
}

// A peer is one connection of the acceptor.
type peer struct {
	conn net.Conn

	mu     sync.Mutex
	pongs  []string
	closes []uint16
}

// accept starts a server that upgrades everybody with upgrader.
func accept(t *testing.T, raw bool) *acceptor {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &acceptor{t: t, listener: listener, byPath: map[string]int{}}
	a.running.Add(1)
	go func() {
		defer a.running.Done()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			a.running.Add(1)
			go a.serve(conn, raw)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		a.each(func(p *peer) { p.conn.Close() })
		a.running.Wait()
	})
	return a
}

func (a *acceptor) serve(conn net.Conn, raw bool) {
	defer a.running.Done()
	p := &peer{conn: conn}
	path := ""
	if !raw {
		upgrader := ws.Upgrader{OnRequest: func(uri []byte) error { path = string(uri); return nil }}
		if _, err := upgrader.Upgrade(conn); err != nil {
			conn.Close()
			return
		}
	}
	a.mu.Lock()
	a.peers = append(a.peers, p)
	a.byPath[path]++
	a.mu.Unlock()
	for {
		header, err := ws.ReadHeader(conn)
		if err != nil {
			return
		}
		if !header.Masked || header.Length > controlBytesMax {
			a.t.Errorf("the client sent %+v", header)
			return
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return
		}
		ws.Cipher(payload, header.Mask, 0)
		p.mu.Lock()
		switch header.OpCode {
		case ws.OpPong:
			p.pongs = append(p.pongs, string(payload))
		case ws.OpClose:
			p.closes = append(p.closes, binary.BigEndian.Uint16(payload))
			conn.Close()
		}
		p.mu.Unlock()
	}
}

// each visits the connections that are up.
func (a *acceptor) each(visit func(*peer)) {
	a.mu.Lock()
	peers := append([]*peer(nil), a.peers...)
	a.mu.Unlock()
	for _, p := range peers {
		visit(p)
	}
}

func (a *acceptor) write(p *peer, b []byte) {
	if _, err := p.conn.Write(b); err != nil {
		a.t.Errorf("write to a client: %v", err)
	}
}

// spread leads to the acceptor.
func (a *acceptor) spread(connections int) Spread {
	return Spread{Host: netip.MustParseAddr("127.0.0.1"), PerPort: 50_000, Connections: connections,
		FirstPort: a.listener.Addr().(*net.TCPAddr).Port}
}

func (p *peer) seen() (pongs []string, closes []uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(pongs, p.pongs...), append(closes, p.closes...)
}
