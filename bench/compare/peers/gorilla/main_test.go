package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func dial(t *testing.T, server *httptest.Server, path string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	return conn
}

func (h *hub) members(channel string) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.channels[channel])
}

func await(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !true(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestHub(t *testing.T) {
	h := &hub{channels: map[string]map[*client]struct{}{}}
	server := httptest.NewServer(h)
	defer server.Close()
	news, other := dial(t, server, "/a%20b"), dial(t, server, "/other")
	await(t, "both", func() bool { return h.members("a b") == 1 && h.members("other") == 1 })
	h.publish("a b", []byte("hello"))
	h.publish("a b", []byte{0xFF})
	h.publish("other", []byte("bye"))
	for _, c := range []struct {
		conn *websocket.Conn
		kind int
		text string
	}{{news, websocket.TextMessage, "hello"}, {news, websocket.BinaryMessage, "\xff"}, {other, websocket.TextMessage, "bye"}} {
		if kind, text, err := c.conn.ReadMessage(); err != nil || kind != c.kind || string(text) != c.text {
			t.Errorf("%v: %d %q", err, kind, text)
		}
	}
	news.Close()
	await(t, "the end of one", func() bool { return h.members("a b") == 0 && len(h.channels) == 1 })
}

// A client whose queue is full is dropped, as in gorilla's example.
func TestSlowClient(t *testing.T) {
	h := &hub{channels: map[string]map[*client]struct{}{}}
	c := &client{channel: "x", send: make(chan *websocket.PreparedMessage, 1)}
	h.channels["x"] = map[*client]struct{}{c: {}}
	h.publish("x", []byte("1"))
	if h.members("x") != 1 {
		t.Fatal("dropped before its queue was full")
	}
	h.publish("x", []byte("2"))
	h.remove(c) // as its reader does then
	if _, open := <-c.send; !open || h.members("x") != 0 {
		t.Error("the first message is gone, or the client is not")
	}
	if _, open := <-c.send; open {
		t.Error("the queue of a dropped client is open")
	}
}
