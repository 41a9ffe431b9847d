package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"c10m/internal/patience"

	"github.com/gobwas/ws"
)

func start(t *testing.T, config Config) *Client {
	t.Helper()
	client, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Stop)
	return client
}

func connected(t *testing.T, client *Client) Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	s, err := client.AwaitConnected(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func await(t *testing.T, client *Client, what string, wanted func(*Snapshot) bool) Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	s, err := client.Await(ctx, wanted)
	if err != nil {
		t.Fatalf("waiting for %s: %v; %+v", what, err, s)
	}
	return s
}

func settled(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := patience.Deadline(); !true(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A few hundred connections get whole and cut frames, pings and closes.
func TestEndToEnd(t *testing.T) {
	for _, private := range []bool{false, true} {
		t.Run(fmt.Sprintf("private tables %v", private), func(t *testing.T) {
			const connections = 300
			a := accept(t, false)
			client := start(t, Config{Spread: a.spread(connections), Channel: "room/%d", FirstSequence: 1,
				Expect: 4, Print: true, Loops: 3, PrivateFDTables: private, Rate: 20_000})
			connected(t, client)
			settled(t, "all peers", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.peers) == connections })
			a.mu.Lock()
			if len(a.byPath) != connections || a.byPath["/room%2F299"] != 1 {
				t.Errorf("%d different paths, %d of the last", len(a.byPath), a.byPath["/room%2F299"])
			}
			a.mu.Unlock()
			exchange(t, a, client, connections)
		})
	}
}

func exchange(t *testing.T, a *acceptor, client *Client, connections int) {
	stream := AppendStampedFrame(nil, 1, Nanos(), 100)
	stream = append(stream, ws.CompiledPing...)
	stream = append(stream, ws.MustCompileFrame(ws.NewPingFrame([]byte("are you there")))...)
	stream = AppendStampedFrame(stream, 2, Nanos(), 70_000)
	stream = append(stream, ws.MustCompileFrame(ws.NewTextFrame([]byte("hello")))...)
	stream = append(stream, ws.MustCompileFrame(ws.NewBinaryFrame([]byte{0xFF}))...)
	cut := 0
	a.each(func(p *peer) {
		cut = (cut + 7) % 200 // in the first frames and their headers
		a.write(p, stream[:cut])
		a.write(p, stream[cut:])
	})
	s := await(t, client, "all messages", func(s *Snapshot) bool { return s.Complete == connections })
	if s.Stamped != uint64(2*connections) || s.Text != uint64(3*connections) || s.Binary != uint64(connections) || s.Fault() != "" {
		t.Errorf("%d stamped, %d text, %d binary of %d connections; %s", s.Stamped, s.Text, s.Binary, connections, s.Fault())
	}
	if len(s.Printed) != 2 || s.Printed[0].Connections != uint64(connections) || s.Printed[1].Connections != uint64(connections) {
		t.Errorf("distinct messages: %+v", s.Printed)
	} else if s.Printed[0].Head != "hello" {
		t.Errorf("messages are not in the order in which they came: %+v", s.Printed)
	}
	a.each(func(p *peer) {
		settled(t, "two pongs", func() bool { pongs, _ := p.seen(); return len(pongs) == 2 })
		if pongs, _ := p.seen(); pongs[0] != "" || pongs[1] != "are you there" {
			t.Errorf("pongs %q", pongs)
		}
		a.write(p, ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(4001, "enough"))))
	})
	s = await(t, client, "all closes", func(s *Snapshot) bool { return s.Open == 0 })
	if s.Closes[4001] != uint64(connections) || s.Dropped != 0 {
		t.Errorf("closes %v, dropped %d", s.Closes, s.Dropped)
	}
	a.each(func(p *peer) {
		settled(t, "an answer to the close", func() bool { _, closes := p.seen(); return len(closes) == 1 })
		if _, closes := p.seen(); closes[0] != 4001 {
			t.Errorf("the client answered a close of 4001 with %d", closes[0])
		}
	})
}

// What a server does wrong is seen and counted.
func TestFaults(t *testing.T) {
	a := accept(t, true)
	client := start(t, Config{Spread: a.spread(5), Dialect: Bare, FirstSequence: 1, Expect: 2, Loops: 1})
	connected(t, client)
	settled(t, "all peers", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.peers) == 5 })
	corrupt := AppendStampedFrame(nil, 1, Nanos(), 256)
	corrupt[200] ^= 1
	streams := [][]byte{
		AppendStampedFrame(AppendStampedFrame(nil, 2, 0, 64), 1, 0, 64), // out of order
		AppendStampedFrame(AppendStampedFrame(nil, 1, 0, 64), 1, 0, 64), // twice
		AppendStampedFrame(nil, 4, 0, 64),                               // three lost
		corrupt,
		{finBit | opText, maskBit, 0, 0, 0, 0}, // masked
	}
	i := 0
	a.each(func(p *peer) { a.write(p, streams[i]); i++ })
	s := await(t, client, "all faults", func(s *Snapshot) bool { return s.Messages() == 6 && s.Broken["masked frame"] == 1 })
	if s.OutOfOrder != 1 || s.Duplicated != 1 || s.Lost != 3 || s.Corrupt != 1 || s.Open != 4 || s.Complete != 2 {
		t.Errorf("%+v", s.Counters)
	}
	a.each(func(p *peer) { p.conn.Close() })
	if s = await(t, client, "the end", func(s *Snapshot) bool { return s.Open == 0 }); s.Dropped != 4 {
		t.Errorf("%d dropped connections; 4 were", s.Dropped)
	}
}

// Drive waits until everybody has a message before the next.
func TestDrive(t *testing.T) {
	for _, inFlight := range []int{1, 8} {
		a := accept(t, true)
		const connections, messages = 100, 200
		client := start(t, Config{Spread: a.spread(connections), Dialect: Bare, FirstSequence: 1, Loops: 3})
		connected(t, client)
		settled(t, "all peers", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.peers) == connections })
		var frame []byte
		run, err := client.Drive(t.Context(), Drive{Messages: messages, InFlight: inFlight, StallTimeout: patience.Guard,
			Send: func(m Message) error {
				frame = AppendStampedFrame(frame[:0], m.Sequence, Nanos(), 256)
				a.each(func(p *peer) { a.write(p, frame) })
				return nil
			}})
		s := client.Snapshot()
		if err != nil || run.Messages != messages || run.Deliveries != messages*connections || s.Fault() != "" {
			t.Errorf("%d in flight: %+v, %v; %s", inFlight, run, err, s.Fault())
		}
		if run.Latency.Count != messages*connections || s.Stamped != messages*connections {
			t.Errorf("%d latencies, %d messages", run.Latency.Count, s.Stamped)
		}
	}
}

// A message that somebody does not get ends a Drive with an error.
func TestDriveStalls(t *testing.T) {
	a := accept(t, true)
	client := start(t, Config{Spread: a.spread(2), Dialect: Bare, FirstSequence: 1, Loops: 1})
	connected(t, client)
	_, err := client.Drive(t.Context(), Drive{Messages: 1, StallTimeout: 50 * time.Millisecond,
		Send: func(Message) error { return nil }})
	if err == nil || !strings.Contains(err.Error(), "has not reached all 2 connections") {
		t.Errorf("error %v", err)
	}
}

// A refused upgrade is final and named by its status; a refused connection is
// tried again a bounded number of times.
func TestFailures(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			requests.Add(1)
			conn.Read(make([]byte, 4096))
			conn.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
			conn.Close()
		}
	}()
	spread := Spread{Host: netip.MustParseAddr("127.0.0.1"), PerPort: 50_000, Connections: 10,
		FirstPort: listener.Addr().(*net.TCPAddr).Port}
	client := start(t, Config{Spread: spread, Channel: "news", Retries: 2})
	s := await(t, client, "refusals", (*Snapshot).Decided)
	if s.Failures["upgrade refused with 503"] != 10 || s.GaveUp != 10 || s.Retries != 0 || requests.Load() != 10 {
		t.Errorf("%+v after %d requests", s.Counters, requests.Load())
	}
	listener.Close()
	client = start(t, Config{Spread: spread, Channel: "news", Retries: 2})
	s = await(t, client, "refusals", (*Snapshot).Decided)
	if s.Failures["refused"] != 30 || s.GaveUp != 10 || s.Retries != 20 || s.UnderWay != 0 {
		t.Errorf("%+v", s.Counters)
	}
}

// The 101 may come in pieces, and with frames behind it.
func TestFramesBehindTheAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	stream := AppendStampedFrame(AppendStampedFrame(nil, 1, Nanos(), 100), 2, Nanos(), 200)
	go func() {
		var conns []net.Conn // the collector would close what nobody holds
		defer func() {
			for _, conn := range conns {
				conn.Close()
			}
		}()
		for cut := 0; ; cut += 9 {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
			var answer bytes.Buffer
			if _, err := (ws.Upgrader{}).Upgrade(struct {
				io.Reader
				io.Writer
			}{conn, &answer}); err != nil {
				t.Errorf("upgrade: %v", err)
			}
			all := append(answer.Bytes(), stream...)
			cut %= len(all)
			conn.Write(all[:cut])
			time.Sleep(time.Millisecond) // so that the pieces are read apart, mostly
			conn.Write(all[cut:])
		}
	}()
	client := start(t, Config{Channel: "news", FirstSequence: 1, Expect: 2, Loops: 1, UnderWay: 8,
		Spread: Spread{Host: netip.MustParseAddr("127.0.0.1"), PerPort: 50_000, Connections: 60,
			FirstPort: listener.Addr().(*net.TCPAddr).Port}})
	connected(t, client)
	s := await(t, client, "what stood behind the answers", func(s *Snapshot) bool { return s.Complete == 60 })
	if s.Fault() != "" || s.Stamped != 120 {
		t.Errorf("%d messages; %s", s.Stamped, s.Fault())
	}
}

// A server that says nothing costs a time-out, not for ever.
func TestHandshakeTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := start(t, Config{Channel: "news", HandshakeTimeout: 30 * time.Millisecond, Retries: 1,
		Spread: Spread{Host: netip.MustParseAddr("127.0.0.1"), PerPort: 50_000, Connections: 3,
			FirstPort: listener.Addr().(*net.TCPAddr).Port}})
	s := await(t, client, "time-outs", (*Snapshot).Decided)
	if s.Failures["timed out"] != 6 || s.GaveUp != 3 {
		t.Errorf("%+v", s.Counters)
	}
}

// Each way to choose a local port connects, also where a port is taken, and
// loops bound to a core connect, too.
func TestBindings(t *testing.T) {
	for _, binding := range []Binding{BindAuto, BindKernel, BindExplicit} {
		a := accept(t, false)
		spread := a.spread(50)
		spread.Binding = binding
		source, _ := spread.Of(7)
		if source.Port() != 0 { // of a connection that then has to take another
			// If this fails, somebody has it, which does as well.
			if l, err := net.Listen("tcp", source.String()); err == nil {
				defer l.Close()
			}
		}
		client, err := Start(Config{Spread: spread, Channel: "news", Loops: 2, Cores: []int{0}})
		if err != nil {
			t.Fatal(err)
		}
		s := connected(t, client)
		client.Stop()
		if s.Open != 50 || s.Retries != 0 || len(s.Failures) != 0 {
			t.Errorf("binding %d: %+v", binding, s.Counters)
		}
	}
	if _, err := Start(Config{Spread: Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: 1, PerPort: 1, Connections: 1},
		Channel: "news", Cores: []int{1023}}); err == nil || !strings.Contains(err.Error(), "processor 1023") {
		t.Errorf("core 1023: %v", err)
	}
}

func TestCores(t *testing.T) {
	three := []int{0, 1, 0}
	for _, c := range []struct {
		config Config
		wanted int
	}{{Config{}, runtime.NumCPU()}, {Config{Cores: three}, 3}, {Config{Cores: three, Fewest: true}, 1}} {
		if got := c.config.cores(); got != c.wanted {
			t.Errorf("%d loops at least for %+v", got, c.config)
		}
	}
	if FitOneTable(1 << 31) {
		t.Error("two thousand million connections fit one table")
	}
}

func TestPlanLoops(t *testing.T) {
	for _, c := range []struct {
		connections, limit, wanted, cores int
		forced                            bool
		loops                             int
		private                           bool
		fails                             string
	}{
		{1, 20_000, 0, 2, false, 1, false, ""},
		{18_000, 20_000, 0, 2, false, 2, false, ""},
		{18_000, 20_000, 0, 2, true, 2, true, ""},
		{19_401, 20_000, 0, 1, false, 2, true, ""},
		{100_000, 20_000, 0, 2, false, 6, true, ""},
		{1_000_000, 20_000, 0, 2, false, 52, true, ""},
		{1_000_000, 20_000, 51, 2, false, 0, false, "need 52 loops"},
		{10_000_000, 1 << 30, 0, 64, false, 64, false, ""},
		{10, 600, 0, 2, false, 0, false, "hard limit of open files"},
	} {
		loops, private, err := planLoops(c.connections, c.limit, c.wanted, c.cores, c.forced)
		if err != nil {
			if c.fails == "" || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if c.fails != "" || loops != c.loops || private != c.private {
			t.Errorf("%+v: %d loops, private %v", c, loops, private)
		}
	}
}
