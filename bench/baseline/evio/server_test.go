package main

import (
	"bytes"
	"net"
	"testing"

	"github.com/gobwas/ws"
	"github.com/tidwall/evio"
)

// conn is a connection without a loop.
type conn struct {
	context any
	woken   int
}

func (c *conn) Context() any         { return c.context }
func (c *conn) SetContext(v any)     { c.context = v }
func (c *conn) AddrIndex() int       { return 0 }
func (c *conn) LocalAddr() net.Addr  { return nil }
func (c *conn) RemoteAddr() net.Addr { return nil }
func (c *conn) Wake()                { c.woken++ }

const request = "GET /a%20b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func masked(f ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrame(f)) }

// A handshake, a ping and a message of the client, cut at every byte.
func TestEverySplit(t *testing.T) {
	input := append([]byte(request), masked(ws.NewPingFrame([]byte("hey")))...)
	input = append(input, masked(ws.NewTextFrame([]byte("ignored")))...)
	input = append(input, masked(ws.NewPingFrame(nil))...)
	pongs := append(ws.MustCompileFrame(ws.NewPongFrame([]byte("hey"))), ws.MustCompileFrame(ws.NewPongFrame(nil))...)
	for cut := range len(input) {
		s, c := newServer(), &conn{}
		s.opened(c)
		var out []byte
		for _, piece := range [][]byte{bytes.Clone(input[:cut]), bytes.Clone(input[cut:])} {
			if len(piece) == 0 {
				continue // evio calls a Wake what has no bytes
			}
			answer, action := s.data(c, piece)
			if action != evio.None {
				t.Fatalf("cut after %d: action %v", cut, action)
			}
			out = append(out, answer...)
			for i := range piece {
				piece[i] = '#' // the loop's buffer is used again
			}
		}
		if !bytes.HasPrefix(out, []byte("HTTP/1.1 101 ")) || !bytes.HasSuffix(out, append([]byte("\r\n\r\n"), pongs...)) {
			t.Fatalf("cut after %d: %q", cut, out)
		}
		s.publish("a b", []byte("one"))
		s.publish("a b", []byte{0xFF})
		s.publish("other", []byte("two"))
		out, action := s.data(c, nil)
		wanted := append(ws.MustCompileFrame(ws.NewTextFrame([]byte("one"))), ws.MustCompileFrame(ws.NewBinaryFrame([]byte{0xFF}))...)
		if again, _ := s.data(c, nil); action != evio.None || !bytes.Equal(out, wanted) || len(again) != 0 || c.woken != 2 {
			t.Fatalf("%q, then %q; woken %d times", out, again, c.woken)
		}
		if out, action := s.data(c, masked(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))); action != evio.Close || len(out) != 4 {
			t.Fatalf("a close is answered with %q and %v", out, action)
		}
		if s.closed(c, nil); len(s.channels) != 0 {
			t.Fatal("the channel outlives its last member")
		}
	}
}

func TestBadInput(t *testing.T) {
	for name, input := range map[string][]byte{
		"unmasked": append([]byte(request), ws.MustCompileFrame(ws.NewPingFrame(nil))...),
		"long":     append([]byte(request), masked(ws.NewBinaryFrame(make([]byte, inputBytesMax+1)))...),
		"endless":  bytes.Repeat([]byte("x"), inputBytesMax+1),
		"no key":   []byte("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
		"no name":  bytes.Replace([]byte(request), []byte("/a%20b"), []byte("/"), 1),
	} {
		s, c := newServer(), &conn{}
		s.opened(c)
		if _, action := s.data(c, input); action != evio.Close {
			t.Errorf("%s: action %v", name, action)
		}
	}
}
