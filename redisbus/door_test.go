package redisbus

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"

	"c10m/bus"
	"c10m/bus/bustest"
	"c10m/internal/patience"
)

var nopLog = zap.NewNop()

// hang is how long a test waits for what must happen. It asserts nothing about
// how long things take.
var hang = patience.Guard

type (
	fakeDoor    = bustest.Door
	doorMessage = bustest.Message
)

var newDoor = bustest.NewDoor

// startEmbedded listens on a free port until the test ends.
func startEmbedded(t testing.TB, door bus.Door, password string) *Embedded {
	t.Helper()
	b, err := ListenEmbedded(EmbeddedConfig{Addr: "127.0.0.1:0", Password: password}, door, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, b) })
	return b
}

func closeBus(t testing.TB, b bus.Bus) { bustest.Close(t, b) }

// A raw is a peer that speaks bytes.
type raw struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func dialRaw(t testing.TB, addr string) *raw {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, hang)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &raw{t: t, Conn: conn, in: bufio.NewReader(conn)}
	r.await()
	return r
}

// await gives what is done next its time.
func (r *raw) await() { _ = r.SetDeadline(time.Now().Add(hang)) }

func (r *raw) send(s string) {
	r.t.Helper()
	r.await()
	if _, err := io.WriteString(r.Conn, s); err != nil {
		r.t.Fatal(err)
	}
}

// expect reads exactly len(want) bytes and compares.
func (r *raw) expect(want string) {
	r.t.Helper()
	r.await()
	got := make([]byte, len(want))
	n, err := io.ReadFull(r.in, got)
	if string(got[:n]) != want {
		r.t.Fatalf("got %q (%v), want %q", got[:n], err, want)
	}
}

// expectEnd reads to the end of the connection and compares.
func (r *raw) expectEnd(want string) {
	r.t.Helper()
	r.await()
	got, err := io.ReadAll(r.in)
	if string(got) != want {
		r.t.Fatalf("got %q (%v), then the end; want %q", got, err, want)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		r.t.Fatalf("the connection is still open")
	}
}

// do sends a command and returns the raw reply.
func (r *raw) do(args ...string) string {
	r.t.Helper()
	r.send(cmd(args...))
	return r.readReply()
}

// readReply reads one whole RESP value, as bytes.
func (r *raw) readReply() string {
	r.t.Helper()
	r.await()
	var all bytes.Buffer
	if err := copyReply(&all, r.in); err != nil {
		r.t.Fatalf("reading a reply: %v, after %q", err, all.String())
	}
	return all.String()
}

func copyReply(to *bytes.Buffer, from *bufio.Reader) error {
	line, err := from.ReadString('\n')
	to.WriteString(line)
	if err != nil {
		return err
	}
	n := 0
	_, _ = fmt.Sscanf(line[1:], "%d", &n)
	switch line[0] {
	case '$', '=':
		if n < 0 {
			return nil
		}
		_, err = io.CopyN(to, from, int64(n)+2)
		return err
	case '%':
		n *= 2
	case '*', '>':
	default:
		return nil
	}
	for range n {
		if err := copyReply(to, from); err != nil {
			return err
		}
	}
	return nil
}

// cmd encodes a command as an array of bulk strings.
func cmd(args ...string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

// eventually polls for a state that no event announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hang); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}
