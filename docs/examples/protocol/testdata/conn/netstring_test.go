package conn

import (
	"testing"

	"github.com/gobwas/ws"
)

func TestNetstrings(t *testing.T) {
	s, bus := startPublishing(t)
	plain := s.upgrade(t, "/news")
	c := s.connect(t)
	c.send([]byte(edit("Host: h", "Host: h\r\nSec-WebSocket-Protocol: netstrings")))
	if r := c.response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Protocol") != "netstrings" {
		t.Fatalf("answered with %d and %q", r.StatusCode, r.Header)
	}
	s.publish(t, "news", "hello")
	c.expect(wireFrame{opcode: ws.OpBinary, payload: "5:hello,"})
	plain.expect(wireFrame{opcode: ws.OpText, payload: "hello"})
	c.send(clientFrame(0x82, []byte("2:hi,")))
	bus.wait(t, "news: hi")
	c.send(clientFrame(0x82, []byte("3:hi,")))
	c.expect(closing(1002))
}
