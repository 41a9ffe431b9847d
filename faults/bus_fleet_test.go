package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/redis/go-redis/v9"
)

// What the tests of the bus have in common: a Redis, a server that probes it
// every two seconds, a publisher that knows what Redis took, and a fleet of clients
// that know what they got.

// missedMessages is the close code after a gap (--gap close).
const missedMessages = 4001

// faultGuard ends what hangs; the longest fault takes a minute in the full form.
var faultGuard = patience.Guard

// eventually is servertest.Eventually for faults that last.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(faultGuard); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// startServerAt starts a server whose Redis is at this port. A dead one is
// noticed within four seconds.
func startServerAt(t *testing.T, port int, args ...string) *servertest.Server {
	t.Helper()
	return servertest.StartServer(t, 0, append([]string{
		"--bus", fmt.Sprintf("redis://127.0.0.1:%d", port), "--bus-probe", "2s", "--drain", "1s"}, args...)...)
}

func green(t *testing.T, s *servertest.Server) {
	t.Helper()
	eventually(t, "health is green", s.Healthy)
}

// red waits for red and returns what /healthz says.
func red(t *testing.T, s *servertest.Server) (why string) {
	t.Helper()
	eventually(t, "health is red", func() bool {
		why = s.Get("/healthz")
		return strings.HasPrefix(why, "503")
	})
	return why
}

// A publisher publishes numbered messages and never the same twice.
type publisher struct {
	t      *testing.T
	client *redis.Client
	next   int
	taken  []int // that Redis has answered for
}

// newPublisher publishes at a Redis. Its commands wait for as long as it takes,
// and are not repeated.
func newPublisher(t *testing.T, port int) *publisher {
	p := &publisher{t: t, next: 1, client: redis.NewClient(&redis.Options{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), Protocol: 2, MaxRetries: -1, DialerRetries: 1, PoolSize: 1,
		ReadTimeout: -1, WriteTimeout: -1, ContextTimeoutEnabled: true,
	})}
	t.Cleanup(func() { p.client.Close() })
	return p
}

// payload is a number and so many bytes that can be checked.
func payload(number, filler int) string {
	return strconv.Itoa(number) + " " + strings.Repeat("x", filler)
}

var fillers = bytes.Repeat([]byte("x"), 1<<20)

// isFiller is quick, even under the race detector: hundreds of clients look at
// every byte of every message in the process that plays the network as well.
func isFiller(p []byte) bool { return len(p) <= len(fillers) && bytes.Equal(p, fillers[:len(p)]) }

// try publishes the next number and returns at how many subscribers.
func (p *publisher) try(filler int) (subscribers int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), faultGuard)
	defer cancel()
	number := p.next
	p.next++
	subscribers, err = p.client.Publish(ctx, "news", payload(number, filler)).Result()
	if err == nil {
		p.taken = append(p.taken, number)
	}
	return subscribers, err
}

// publish publishes n messages that Redis must take, and returns the last number.
func (p *publisher) publish(n, filler int) (last int) {
	p.t.Helper()
	for range n {
		if _, err := p.try(filler); err != nil {
			p.t.Fatalf("PUBLISH: %v", err)
		}
	}
	return p.next - 1
}

// A fleet is clients of one channel.
type fleet struct {
	t       *testing.T
	members []*member
}

type member struct {
	client *servertest.Client
	ended  chan struct{}

	mu   sync.Mutex
	got  []int  // in the order in which they came
	odd  string // the first payload that nobody published
	code ws.StatusCode
}

// subscribe dials n clients of the channel news.
func subscribe(t *testing.T, s *servertest.Server, n int) *fleet {
	t.Helper()
	f := &fleet{t: t}
	for range n {
		m := &member{client: s.Dial(t, "news"), ended: make(chan struct{})}
		m.client.SetDeadline(patience.Deadline())
		f.members = append(f.members, m)
		go m.read()
	}
	return f
}

// read takes frames until the server's close frame or the end of the stream.
func (m *member) read() {
	defer close(m.ended)
	defer m.client.Close()
	for {
		header, err := ws.ReadHeader(m.client)
		if err != nil || header.Length > 16<<20 {
			return
		}
		body := make([]byte, header.Length)
		if _, err := io.ReadFull(m.client, body); err != nil {
			return
		}
		m.mu.Lock()
		switch header.OpCode {
		case ws.OpClose:
			m.code, _ = ws.ParseCloseFrameDataUnsafe(body)
		case ws.OpText, ws.OpBinary:
			text, filler, _ := bytes.Cut(body, []byte(" "))
			number, err := strconv.Atoi(string(text))
			if (err != nil || !isFiller(filler)) && m.odd == "" {
				m.odd = fmt.Sprintf("%.40q (%d bytes)", body, len(body))
			}
			m.got = append(m.got, number)
		}
		m.mu.Unlock()
		if header.OpCode == ws.OpClose {
			return
		}
	}
}

func (m *member) has(number int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.got, number)
}

// await waits until everybody has a message.
func (f *fleet) await(number int) {
	f.t.Helper()
	for i, m := range f.members {
		eventually(f.t, fmt.Sprintf("client %d gets message %d", i, number), func() bool {
			select {
			case <-m.ended:
				f.t.Fatalf("client %d was closed with %d before message %d", i, m.code, number)
			default:
			}
			return m.has(number)
		})
	}
}

// closedWith waits until everybody was closed with a code.
func (f *fleet) closedWith(code ws.StatusCode) {
	f.t.Helper()
	for i, m := range f.members {
		select {
		case <-m.ended:
		case <-time.After(faultGuard):
			f.t.Fatalf("client %d was not closed", i)
		}
		if m.code != code {
			f.t.Fatalf("client %d was closed with %d and not with %d", i, m.code, code)
		}
	}
}

// open reports how many are connected still.
func (f *fleet) open() (n int) {
	for _, m := range f.members {
		select {
		case <-m.ended:
		default:
			n++
		}
	}
	return n
}

// lost counts over all clients the messages of wanted that did not come, and
// fails the test if any came twice, out of order or changed.
func (f *fleet) lost(wanted []int) (n int) {
	f.t.Helper()
	for i, m := range f.members {
		m.mu.Lock()
		got, odd := slices.Clone(m.got), m.odd
		m.mu.Unlock()
		if odd != "" {
			f.t.Errorf("client %d got what nobody published: %s", i, odd)
		}
		for j := 1; j < len(got); j++ {
			if got[j] <= got[j-1] {
				f.t.Errorf("client %d got message %d after %d", i, got[j], got[j-1])
			}
		}
		have := make(map[int]bool, len(got))
		for _, number := range got {
			have[number] = true
		}
		for _, number := range wanted {
			if !have[number] {
				n++
			}
		}
	}
	return n
}

// aNewFleetMissesNothing checks that those who connect now get what is published
// now, and are left alone.
func aNewFleetMissesNothing(t *testing.T, s *servertest.Server, p *publisher, n int) {
	t.Helper()
	f := subscribe(t, s, n)
	before := len(p.taken)
	f.await(p.publish(10, 100))
	if lost := f.lost(p.taken[before:]); lost != 0 || f.open() != n {
		t.Errorf("of those who came after the gap: %d messages lost, %d of %d open", lost, f.open(), n)
	}
}

// gaps checks the counters of a server that had so many gaps.
func gaps(t *testing.T, s *servertest.Server, gaps, told int) {
	t.Helper()
	if n := s.Metric("c10m_bus_gaps_total"); n != float64(gaps) {
		t.Errorf("%v gaps counted, and there were %d", n, gaps)
	}
	if n := s.Metric(`c10m_closes_total{reason="missed_messages"}`); n != float64(told) {
		t.Errorf("%v closes counted, and there were %d", n, told)
	}
}
