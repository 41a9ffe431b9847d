package redisbus

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"c10m/channel"
	"c10m/internal/patience"
)

var nopLog = zap.NewNop()

// hang is how long a test waits for what must happen. It asserts nothing about
// how long things take.
var hang = patience.Guard

// doorPayloadMax is where the fake Door refuses.
const doorPayloadMax = 1 << 20

type doorMessage struct{ channel, payload string }

// fakeDoor is a Door with a fixed number of WebSockets per channel. It records
// what comes and scribbles on nothing it was lent.
type fakeDoor struct {
	members map[string]int // fixed after construction
	discard bool           // record nothing, for benchmarks
	after   func()         // called at the end of Publish, with no lock held

	mu       sync.Mutex
	messages []doorMessage
	arrived  chan struct{}                // replaced at every message
	receipts func(n int) *channel.Receipt // by default settled at once
	hold     chan struct{}                // Publish blocks while it is not nil and open
}

func newDoor(members map[string]int) *fakeDoor {
	return &fakeDoor{members: members, arrived: make(chan struct{})}
}

func (d *fakeDoor) Publish(ch, payload []byte) (*channel.Receipt, error) {
	if len(payload) > doorPayloadMax {
		return nil, fmt.Errorf("the payload has %d bytes, and the limit is %d", len(payload), doorPayloadMax)
	}
	if d.discard {
		r := channel.NewReceipt(1)
		r.Settle(d.members[string(ch)])
		return r, nil
	}
	d.mu.Lock()
	hold := d.hold
	d.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if d.after != nil {
		defer d.after()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.messages = append(d.messages, doorMessage{string(ch), string(payload)})
	close(d.arrived)
	d.arrived = make(chan struct{})
	if d.receipts != nil {
		return d.receipts(d.members[string(ch)]), nil
	}
	r := channel.NewReceipt(1)
	r.Settle(d.members[string(ch)])
	return r, nil
}

func (d *fakeDoor) Count(channels []string) []int {
	counts := make([]int, len(channels))
	for i, name := range channels {
		counts[i] = d.members[name]
	}
	return counts
}

func (d *fakeDoor) Channels(match func(string) bool, limit int) []string {
	var list []string
	for name, n := range d.members {
		if n > 0 && len(list) < limit && match(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func (d *fakeDoor) all() []doorMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.messages)
}

// wait returns once the messages so far satisfy done.
func (d *fakeDoor) wait(t *testing.T, what string, done func([]doorMessage) bool) {
	t.Helper()
	timeout := time.After(hang)
	for {
		d.mu.Lock()
		ok, arrived := done(d.messages), d.arrived
		d.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("%s: gave up waiting; the Door has %d messages", what, len(d.all()))
		}
	}
}

// startEmbedded listens on a free port until the test ends.
func startEmbedded(t testing.TB, door Door, password string) *Embedded {
	t.Helper()
	b, err := ListenEmbedded(EmbeddedConfig{Addr: "127.0.0.1:0", Password: password}, door, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, b) })
	return b
}

func closeBus(t testing.TB, b Bus) {
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

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
	_ = conn.SetDeadline(time.Now().Add(hang))
	return &raw{t: t, Conn: conn, in: bufio.NewReader(conn)}
}

func (r *raw) send(s string) {
	r.t.Helper()
	if _, err := io.WriteString(r.Conn, s); err != nil {
		r.t.Fatal(err)
	}
}

// expect reads exactly len(want) bytes and compares.
func (r *raw) expect(want string) {
	r.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(r.in, got)
	if string(got[:n]) != want {
		r.t.Fatalf("got %q (%v), want %q", got[:n], err, want)
	}
}

// expectEnd reads to the end of the connection and compares.
func (r *raw) expectEnd(want string) {
	r.t.Helper()
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
