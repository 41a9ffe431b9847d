package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// The two commands of the load client subscribe, and a publication carries the
// payload as a JSON string.
func TestSubscribeAndPublish(t *testing.T) {
	node, handler, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	defer node.Shutdown(context.Background())
	server := httptest.NewServer(handler)
	defer server.Close()
	url := "ws" + strings.TrimPrefix(server.URL, "http") + "/connection/websocket"
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	commands := `{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"news"}}`
	if err := conn.WriteMessage(websocket.TextMessage, []byte(commands)); err != nil {
		t.Fatal(err)
	}
	read(t, conn, `{"id":2,"subscribe":{}}`)
	if err := publish(node, "other", []byte("nothing")); err != nil {
		t.Fatal(err)
	}
	if err := publish(node, "news", []byte("hello \"all\"")); err != nil {
		t.Fatal(err)
	}
	if text := read(t, conn, `{"push":{"channel":"news","pub":{"data":"hello \"all\""}}}`); strings.Contains(text, "nothing") {
		t.Errorf("a message to another channel came: %s", text)
	}
}

// read collects messages until one holds wanted.
func read(t *testing.T, conn *websocket.Conn, wanted string) (text string) {
	t.Helper()
	for !strings.Contains(text, wanted) {
		_, message, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("%v; %q is not in %q", err, wanted, text)
		}
		text += string(message)
	}
	return text
}
