package conn

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"c10m/conn/reasons"
	"c10m/conn/wire/wiretest"
	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"

	"github.com/gobwas/ws"
)

// upgradeRequest is a good request with the sample key of RFC 6455, 1.3, whose
// answer is sampleAccept.
func upgradeRequest(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
}

const sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

var (
	clientFrame = wiretest.Frame
	clientPing  = wiretest.Ping
	clientClose = wiretest.Close
	join        = slices.Concat[[]byte]
)

// requestEnd returns the length of the head at the front of p, empty line included, or
// 0 if it is not complete.
func requestEnd(p []byte, from int) int {
	if at := bytes.Index(p[from:], []byte("\r\n\r\n")); at >= 0 {
		return from + at + 4
	}
	return 0
}

// A rawClient sees every byte of its connection.
type rawClient struct {
	*net.TCPConn
	*bufio.Reader
	t testing.TB
	// last is what was sent last, and saidBye that a close frame was.
	last    []byte
	saidBye bool
}

func (c *rawClient) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// Write notes whether a close frame is sent.
func (c *rawClient) Write(p []byte) (int, error) {
	const head = 6 // of a close frame: its first bytes and clientFrame's mask
	c.last = append(c.last, p...)
	for at := 0; at+head <= len(c.last); at++ {
		c.saidBye = c.saidBye || c.last[at] == 0x88 && bytes.Equal(c.last[at+2:at+head], clientPing("")[2:])
	}
	c.last = c.last[max(0, len(c.last)-head+1):]
	return c.TCPConn.Write(p)
}

// connect opens a connection and sends nothing.
func (s *testServer) connect(t testing.TB) *rawClient {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	return newRawClient(t, c)
}

func newRawClient(t testing.TB, c net.Conn) *rawClient {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(patience.Deadline())
	return &rawClient{TCPConn: c.(*net.TCPConn), Reader: bufio.NewReaderSize(c, 1<<10), t: t}
}

// upgrade is connect with a good request for path, and frames right behind it.
func (s *testServer) upgrade(t testing.TB, path string, frames ...[]byte) *rawClient {
	t.Helper()
	c := s.connect(t)
	c.send(join(append([][]byte{[]byte(upgradeRequest(path))}, frames...)...))
	c.expectUpgrade()
	return c
}

func (c *rawClient) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *rawClient) response() *http.Response {
	c.t.Helper()
	r, err := http.ReadResponse(c.Reader, &http.Request{Method: "GET"})
	if err != nil {
		c.t.Fatalf("no HTTP response: %v", err)
	}
	return r
}

func (c *rawClient) expectUpgrade() {
	c.t.Helper()
	if r := c.response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Accept") != sampleAccept {
		c.t.Fatalf("upgrade: %s %v", r.Status, r.Header)
	}
}

// A wireFrame is a server's frame; for a close frame the payload's text is
// left out and code is set.
type wireFrame struct {
	opcode  ws.OpCode
	payload string
	code    uint16
}

func (c *rawClient) frame() (wireFrame, error) {
	f, err := wiretest.ReadFrame(c.Reader)
	if err != nil {
		return wireFrame{}, err
	}
	if err := ws.CheckHeader(f.Header, ws.StateClientSide); err != nil {
		return wireFrame{}, fmt.Errorf("malformed frame %+v: %w", f.Header, err)
	}
	if f.Header.OpCode == ws.OpClose && len(f.Payload) >= 2 {
		return wireFrame{opcode: ws.OpClose, code: binary.BigEndian.Uint16(f.Payload)}, nil
	}
	return wireFrame{opcode: f.Header.OpCode, payload: string(f.Payload)}, nil
}

// frames returns all frames to the end of the stream, which must be clean. A close
// frame is answered, unless the client has sent its own, as the server waits for that.
func (c *rawClient) frames() (all []wireFrame) {
	c.t.Helper()
	for {
		f, err := c.frame()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			c.t.Fatalf("after %d frames: %v", len(all), err)
		}
		if f.opcode == ws.OpClose && !c.saidBye {
			c.Write(clientFrame(0x88, nil))
			c.CloseWrite() // in the middle of a frame, the server does not see it
		}
		all = append(all, f)
	}
}

func (c *rawClient) expect(want ...wireFrame) {
	c.t.Helper()
	for i, w := range want {
		if got, err := c.frame(); err != nil || got != w {
			c.t.Fatalf("frame %d: got %.80v, %v; want %.80v", i, got, err, w)
		}
	}
}

func waitFor(t testing.TB, what string, isDone func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience.Guard); !isDone(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// onLoops runs f on each loop's own thread, one after the other.
func (s *testServer) onLoops(f func(l *poller.Loop, server *Server)) {
	for i, l := range s.poller.Loops() {
		done := make(chan struct{})
		l.Run(func(l *poller.Loop) { f(l, s.servers[i]); close(done) })
		<-done
	}
}

// requestBytes is how much of requests is kept.
func (s *testServer) requestBytes() (n int) {
	s.onLoops(func(_ *poller.Loop, server *Server) {
		for _, c := range server.cold {
			n += len(c.request)
		}
	})
	return n
}

// ticks makes every loop look at its time-outs now.
func (s *testServer) ticks() { s.onLoops(func(l *poller.Loop, _ *Server) { l.TickNow() }) }

func (s *testServer) sum(of func(*Server) int64) (n int64) {
	for _, server := range s.servers {
		n += of(server)
	}
	return n
}

// counts are all close counters that are not 0.
func (s *testServer) counts() map[reasons.Reason]int {
	counts := make(map[reasons.Reason]int)
	for _, r := range append(reasons.All(), reasons.None) {
		if n := s.closes(r); n > 0 {
			counts[r] = int(n)
		}
	}
	return counts
}

func (s *testServer) accepted() (n uint64) {
	for _, l := range s.poller.Loops() {
		n += l.Stats().Accepted.Load()
	}
	return n
}

// checkNothingLeft waits until all connections are gone and checks that every
// one has its reason and left nothing behind.
func (s *testServer) checkNothingLeft(t testing.TB) {
	t.Helper()
	var accepted, ended uint64
	waitFor(t, "all connections are gone", func() bool {
		before := s.accepted() // one that is accepted meanwhile is in none of the others
		open := int64(0)
		for _, l := range s.poller.Loops() {
			open += l.Stats().Connections.Load()
		}
		ended = 0
		for _, n := range s.counts() {
			ended += uint64(n)
		}
		accepted = s.accepted()
		return open == 0 && accepted == before
	})
	if ended != accepted || s.closes(reasons.None) != 0 {
		t.Errorf("%d connections were accepted, and the reasons are %v", accepted, s.counts())
	}
	for what, of := range map[string]func(*Server) int64{
		"Open":       func(s *Server) int64 { return s.Stats().Open.Load() },
		"OpenEvents": func(s *Server) int64 { return s.Stats().OpenEvents.Load() },
		"OpenPolls":  func(s *Server) int64 { return s.Stats().OpenPolls.Load() },
		"HTTP":       func(s *Server) int64 { return s.Stats().HTTP.Load() },
		"TwoWay":     func(s *Server) int64 { return s.Stats().TwoWay.Load() },
		"Pinned":     func(s *Server) int64 { return s.Stats().Pinned.Load() },
		"Unfinished": func(s *Server) int64 { return s.Stats().Unfinished.Load() },
		"Lingering":  func(s *Server) int64 { return s.Stats().Lingering.Load() },
		"Paused":     func(s *Server) int64 { return s.Stats().PublishPaused.Load() },
		"Members":    func(s *Server) int64 { return s.ChannelStats().Members.Load() },
		"Channels":   func(s *Server) int64 { return s.ChannelStats().Channels.Load() },
		"Logs":       func(s *Server) int64 { return s.ChannelStats().Logs.Load() },
		"LogBytes":   func(s *Server) int64 { return s.ChannelStats().LogBytes.Load() },
		"Blocked":    func(s *Server) int64 { return s.ChannelStats().Blocked.Load() },
	} {
		if n := s.sum(of); n != 0 {
			t.Errorf("%s is %d and should be 0", what, n)
		}
	}
	if n := s.shared.Open(); n != 0 {
		t.Errorf("Shared.Open is %d and should be 0", n)
	}
	s.onLoops(func(_ *poller.Loop, server *Server) {
		if len(server.cold) != 0 || server.exchange.requestBytes != 0 || server.inboundBytes != 0 || server.outbox.owedBytes != 0 || len(server.outbox.pongs) != 0 || server.outbox.pins.Frames() != 0 {
			t.Errorf("left over: %d cold, %d request bytes, %d bytes of messages, %d owed, %d bytes of pongs, %d pins", len(server.cold),
				server.exchange.requestBytes, server.inboundBytes, server.outbox.owedBytes, len(server.outbox.pongs), server.outbox.pins.Frames())
		}
		for _, c := range server.coldSpares {
			if c.request != nil || c.owes() || !c.in.Between() {
				t.Errorf("a spare is not blank: %+v", c)
			}
		}
	})
}

// A testKernel is Linux with a clock that the test may hold, a count of writes,
// and sockets that are full when the test says so.
type testKernel struct {
	epoll.Linux
	clock atomic.Int64 // 0: the real one
	sends atomic.Int64
	// room is how many bytes more sockets take, plus 1; 0: as many as they can.
	room      atomic.Int64
	interrupt atomic.Bool // the next read is interrupted
}

func (k *testKernel) Now() int64 {
	if now := k.clock.Load(); now != 0 {
		return now
	}
	return k.Linux.Now()
}

func (k *testKernel) Send(fd int, p []byte) (int, syscall.Errno) {
	k.sends.Add(1)
	if room := k.room.Load(); room > 0 {
		if room == 1 {
			return 0, syscall.EAGAIN
		}
		p = p[:min(int64(len(p)), room-1)]
		k.room.Add(-int64(len(p)))
	}
	return k.Linux.Send(fd, p)
}

func (k *testKernel) Recv(fd int, p []byte) (int, syscall.Errno) {
	if k.interrupt.CompareAndSwap(true, false) {
		return 0, syscall.EINTR
	}
	return k.Linux.Recv(fd, p)
}

func (k *testKernel) install(settings *epoll.Config, _ *Shared) { settings.Kernel = k }

// step moves a held clock and has the loops tick at the new time.
func (s *testServer) step(k *testKernel, by time.Duration) {
	k.clock.Add(int64(by))
	nothing := func(*poller.Loop, *Server) {}
	s.onLoops(nothing) // the turn after this one sees the new time
	s.ticks()
	s.onLoops(nothing) // the tick is over
}

// cutFrame cuts the first frame of a server off a stream. isWhole is false if not all of
// it is there.
func cutFrame(stream []byte) (f ws.Frame, rest []byte, isWhole bool, err error) {
	r := bytes.NewReader(stream)
	f.Header, err = ws.ReadHeader(r)
	at := len(stream) - r.Len()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return f, stream, false, nil
	case err != nil, int64(r.Len()) < f.Header.Length:
		return f, stream, false, err
	}
	end := at + int(f.Header.Length)
	f.Payload = stream[at:end]
	return f, stream[end:], true, nil
}
