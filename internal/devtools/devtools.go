// Package devtools speaks with the debugging port of a browser that a test started:
// commands, answers and events as JSON over a WebSocket, which the Chrome DevTools
// Protocol (internal/chromium) and WebDriver BiDi (internal/firefox) have in common.
package devtools

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A Session is a connection to a browser. What hangs or fails ends the test.
type Session struct {
	// Fixed after construction.
	t     testing.TB
	conn  net.Conn
	event func(text []byte)

	// Guarded by mu.
	mu      sync.Mutex
	last    int
	answers map[int]chan answer
}

// An answer has the error as an object with a message, or as a code with a message beside.
type answer struct {
	Result, Error json.RawMessage
	Message       string
}

// Open waits until the browser prints what listening matches, whose first group is an
// address, and connects to that address and path. event gets all that comes, before the
// answer to a command is handed on; nil: nobody looks.
func Open(t testing.TB, browser *servertest.Process, listening *regexp.Regexp, path string, event func(text []byte)) *Session {
	t.Helper()
	var address string
	servertest.Eventually(t, "the browser listens", func() bool {
		if found := listening.FindStringSubmatch(browser.Output.String()); found != nil {
			address = found[1]
		}
		return address != ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	conn, _, _, err := ws.Dial(ctx, address+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &Session{t: t, conn: conn, event: event, answers: make(map[int]chan answer)}
	go s.read()
	return s
}

// read hands answers to who waits for them.
func (s *Session) read() {
	for {
		text, err := wsutil.ReadServerText(s.conn)
		if err != nil {
			return // the test is over, or whoever waits will say so
		}
		if s.event != nil {
			s.event(text)
		}
		var message struct {
			answer
			ID int
		}
		if json.Unmarshal(text, &message) != nil {
			continue // an event with other fields of these names
		}
		s.mu.Lock()
		waiting := s.answers[message.ID]
		delete(s.answers, message.ID)
		s.mu.Unlock()
		if waiting != nil {
			waiting <- message.answer
		}
	}
}

// Call sends a command and waits for its result, which may be nil. fields are those of
// the command beside its id.
func (s *Session) Call(fields map[string]any, result any) {
	s.t.Helper()
	if err := s.Try(fields, result); err != nil {
		s.t.Fatalf("%s: %v", fields["method"], err)
	}
}

// Try is Call with an error in place of the test's end.
func (s *Session) Try(fields map[string]any, result any) error {
	waiting := make(chan answer, 1)
	s.mu.Lock()
	s.last++
	s.answers[s.last] = waiting
	fields["id"] = s.last
	text, err := json.Marshal(fields)
	if err == nil {
		err = wsutil.WriteClientText(s.conn, text)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case a := <-waiting:
		if len(a.Error) > 0 {
			return errors.New(strings.TrimSpace(string(a.Error) + " " + a.Message))
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-time.After(patience.Guard):
		return errors.New("no answer")
	}
}
