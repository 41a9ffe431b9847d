package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/redcon"
)

// recorder is a target that fails once it has seen "fail".
type recorder struct {
	seen []string
	err  error
}

func (r *recorder) publish(channel string, payload []byte) error {
	if r.err == nil && string(payload) == "fail" {
		r.err = errors.New("it\nfailed")
	}
	r.seen = append(r.seen, channel+":"+string(payload))
	return r.err
}

func TestAnswers(t *testing.T) {
	r := &recorder{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go redcon.Serve(listener, func(conn redcon.Conn, command redcon.Command) { answer(r, conn, command) },
		func(redcon.Conn) bool { return true }, nil)
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	lines := bufio.NewReader(conn)
	for _, c := range []struct{ command, answer string }{
		{"PING\r\n", "+PONG"},
		{"*3\r\n$7\r\npublish\r\n$1\r\na\r\n$3\r\nx y\r\n", ":1"},
		{"PUBLISH a fail\r\n", "-ERR it failed"},
		{"PUBLISH a\r\n", "-ERR this bridge knows PUBLISH channel message, and PING"},
		{"GET a\r\n", "-ERR this bridge knows PUBLISH channel message, and PING"},
	} {
		fmt.Fprint(conn, c.command)
		if line, err := lines.ReadString('\n'); err != nil || line != c.answer+"\r\n" {
			t.Errorf("%q is answered with %q, %v", c.command, line, err)
		}
	}
	if len(r.seen) != 2 || r.seen[0] != "a:x y" {
		t.Errorf("published: %q", r.seen)
	}
}

// A slow POST to one channel holds up its own channel alone, and the order
// within a channel stays.
func TestPoster(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]string{}
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == "0" && r.URL.Path == "/pub/all" {
			<-release
		}
		if string(body) == "refuse" {
			w.WriteHeader(http.StatusForbidden)
		}
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path] += string(body)
	}))
	defer server.Close()
	p := newPoster(server.URL + "/pub/")
	at := func(path string) string {
		mu.Lock()
		defer mu.Unlock()
		return seen[path]
	}
	for i := range 10 {
		if err := p.publish("all", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.publish("one/ü", []byte("small")); err != nil {
		t.Fatal(err)
	}
	await(t, "the other channel", func() bool { return at("/pub/one/ü") == "small" })
	if got := at("/pub/all"); got != "" {
		t.Errorf("the slow channel has %q already", got)
	}
	close(release)
	await(t, "the slow channel", func() bool { return at("/pub/all") == "0123456789" })
	await(t, "the end of its goroutines", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.queues) == 0 })
	p.publish("all", []byte("refuse"))
	await(t, "the refusal", func() bool { return p.publish("one", nil) != nil })
}

func await(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !true(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestWhereTo(t *testing.T) {
	if err := run("127.0.0.1:0", "ftp://x"); err == nil {
		t.Error("an address of another kind is taken")
	}
	if err := run("127.0.0.1:0", "nats://127.0.0.1:1"); err == nil {
		t.Error("nobody listens there, and it is no error")
	}
}
