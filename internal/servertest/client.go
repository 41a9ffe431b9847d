package servertest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"c10m/internal/patience"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A Client is one WebSocket that reads at its own pace.
type Client struct {
	net.Conn
	reader *bufio.Reader
}

// Dial connects to a channel, and asks for a subprotocol if one is given. A deadline
// of the test ends what hangs.
func (s *Server) Dial(t testing.TB, channel string, protocols ...string) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
	defer cancel()
	c, early, _, err := ws.Dialer{Protocols: protocols}.Dial(ctx, fmt.Sprintf("ws://127.0.0.1:%d/%s", s.Port, channel))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(patience.Deadline())
	if early == nil {
		early = bufio.NewReader(c)
	}
	return &Client{Conn: c, reader: early}
}

func (c *Client) Read(p []byte) (int, error) { return c.reader.Read(p) }

// Next returns the next message, answering pings.
func (c *Client) Next(t testing.TB) string {
	t.Helper()
	payload, _, err := wsutil.ReadServerData(c)
	if err != nil {
		t.Fatalf("no message: %v", err)
	}
	return string(payload)
}

// CloseCode reads until the server's close frame and returns its code, 0 if
// the stream ended without. The library's own reader does not know 1012.
func (c *Client) CloseCode() ws.StatusCode {
	for {
		header, err := ws.ReadHeader(c)
		if err != nil || header.Length > 1<<20 {
			return 0
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(c, payload); err != nil || header.OpCode == ws.OpClose && len(payload) < 2 {
			return 0
		}
		if header.OpCode == ws.OpClose {
			return ws.StatusCode(binary.BigEndian.Uint16(payload))
		}
	}
}
