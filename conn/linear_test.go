package conn

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/admission"
	"c10m/poller"
	"c10m/poller/epoll"
)

// What comes in pieces costs in proportion to its bytes, however it is cut: the
// largest message, command, body, head and PROXY header, in pieces of these sizes.
// Cost is counted in what is allocated, and so copied; not in time.
var pieceSizes = []int{1, 2, 7, 64, 1024}

// allocatedPerByteMax is what may be allocated for each byte that comes: memory that
// doubles is twice the bytes, twice of which may have been outgrown; and where
// the runtime rounds up.
const allocatedPerByteMax = 5

// A meter says how much was allocated since it was made.
type meter struct {
	t    testing.TB
	from runtime.MemStats
}

func newMeter(t testing.TB) *meter {
	m := &meter{t: t}
	runtime.ReadMemStats(&m.from)
	return m
}

// check fails if more was allocated than so many bytes are worth; extra is for
// what is there once, whatever comes.
func (m *meter) check(what string, bytes, extra int) bool {
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	allocated, objects := now.TotalAlloc-m.from.TotalAlloc, now.Mallocs-m.from.Mallocs
	if allocated > uint64(allocatedPerByteMax*bytes+extra) {
		m.t.Errorf("%s: %d bytes in %d objects were allocated for %d bytes", what, allocated, objects, bytes)
		return false
	}
	return true
}

// meterLook is how many pieces may come between two looks at the meter: what costs
// the square is to fail, and not to last for hours.
const meterLook = 1 << 13

// reads gives a connection of the loop a stream as so many reads of this size, on the
// loop's thread, and reports whether that cost no more than it may.
func (m *meter) reads(server *Server, fd uint32, stream []byte, size int, what string, extra int) {
	worth := len(stream)
	for n := 0; len(stream) > 0; n++ {
		piece := stream[:min(size, len(stream))]
		stream = stream[len(piece):]
		server.received(fd, copy(server.scratch[:], piece), 0)
		if n%meterLook == 0 && !m.check(what, worth, extra) {
			return
		}
	}
	m.check(what, worth, extra)
}

// fragments is a message in frames of so many bytes.
func fragments(first byte, payload []byte, size int) []byte {
	frames := make([]byte, 0, len(payload)*(size+6)/size+16)
	for len(payload) > size {
		frames = append(frames, clientFrame(first, payload[:size])...)
		payload, first = payload[size:], 0
	}
	return append(frames, clientFrame(0x80|first, payload)...)
}

// onConnection calls f on the loop with the server's only connection.
func (s *testServer) onConnection(t *testing.T, f func(server *Server, fd uint32)) {
	t.Helper()
	waitFor(t, "the connection is accepted", func() bool { return s.poller.Loops()[0].Stats().Connections.Load() == 1 })
	s.onLoops(func(l *poller.Loop, server *Server) { l.Walk(0, 1, func(fd uint32) { f(server, fd) }) })
}

func TestMessagesInPiecesCostByTheByte(t *testing.T) {
	const size = 1 << 20
	payload := bytes.Repeat([]byte("é"), size/2)
	pub := append([]byte("PUB news\n"), payload...)
	publisher := &countingPublisher{}
	config := testConfig()
	config.NewPublisher = func(channel.Feedback) channel.Publisher { return publisher }
	config.PublishBytesMax, config.InboundBytesTotal = size, 2*size+1<<16
	s := startServer(t, 1, config)
	for _, way := range []struct {
		name, request string
		message       []byte
	}{
		{"raw", upgradeRequest("/news"), payload},
		{"c10m.v1", string(twoWayRequest("/")), pub},
	} {
		c := s.connect(t)
		c.send([]byte(way.request))
		if r := c.response(); r.StatusCode != 101 {
			t.Fatal(r.Status)
		}
		for _, piece := range pieceSizes {
			*publisher = countingPublisher{}
			fragmented, whole := fragments(1, way.message, piece), clientFrame(0x81, way.message)
			s.onConnection(t, func(server *Server, fd uint32) {
				newMeter(t).reads(server, fd, fragmented, scratchBytes, fmt.Sprintf("%s, frames of %d bytes", way.name, piece), 1<<20)
				newMeter(t).reads(server, fd, whole, piece, fmt.Sprintf("%s, reads of %d bytes", way.name, piece), 1<<20)
				newMeter(t).reads(server, fd, fragmented, 7, fmt.Sprintf("%s, frames of %d bytes in reads of 7", way.name, piece), 1<<20)
				if held := server.inboundBytes; held != 0 {
					t.Errorf("%s: %d bytes are kept after the message", way.name, held)
				}
			})
			if publisher.messages != 3 || publisher.bytes != 3*size {
				t.Fatalf("%s in pieces of %d: %d messages of %d bytes were published", way.name, piece, publisher.messages, publisher.bytes)
			}
		}
		c.Close()
		s.checkNothingLeft(t)
	}
}

func TestBodiesInPiecesCostByTheByte(t *testing.T) {
	const size = 1 << 20
	publisher := &countingPublisher{}
	config := testConfig()
	config.NewPublisher = func(f channel.Feedback) channel.Publisher { publisher.feedback = f; return publisher }
	config.PublishBytesMax, config.InboundBytesTotal = size, size+1<<16
	s := startServer(t, 1, config)
	request := postRequest("/news", strings.Repeat("x", size))
	for _, piece := range pieceSizes {
		publisher.messages, publisher.bytes = 0, 0
		c := s.connect(t)
		c.send([]byte(request[:1]))
		s.onConnection(t, func(server *Server, fd uint32) {
			newMeter(t).reads(server, fd, []byte(request[1:]), piece, fmt.Sprintf("a body in pieces of %d", piece), 1<<20)
			if held := server.inboundBytes; held != 0 {
				t.Errorf("%d bytes are kept after the body", held)
			}
		})
		if publisher.messages != 1 || publisher.bytes != size {
			t.Fatalf("pieces of %d: %d messages of %d bytes were published", piece, publisher.messages, publisher.bytes)
		}
		c.Close()
		s.checkNothingLeft(t)
	}
}

// The longest head, alone and behind the longest PROXY headers.
func TestHeadsInPiecesCostByTheByte(t *testing.T) {
	head := upgradeRequest("/news")
	head = strings.Replace(head, "Host: h\r\n", "Host: h\r\nX: "+strings.Repeat("x", RequestBytesDefault-len(head)-5)+"\r\n", 1)
	line := "PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0001 2001:0db8:0000:0000:0000:0000:0000:0002 65535 65535\r\n"
	binary := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x0f\xf0\xc0\x00\x02\x01\xc0\x00\x02\x02\x0f\xa0\x01\xbb" + strings.Repeat("\x04", 4096-16-12)
	for name, prefix := range map[string]string{"a head": "", "PROXY version 1": line, "PROXY version 2": binary} {
		s := startServer(t, 1, gateConfig(t, access.AddressLimits{Connections: 10}, func(a *admission.Access) { a.ProxyProtocol = prefix != "" }))
		for _, piece := range pieceSizes {
			c := s.from(t, "127.1.0.1")
			stream := []byte(prefix + head)
			c.send(stream[:1])
			s.onConnection(t, func(server *Server, fd uint32) {
				newMeter(t).reads(server, fd, stream[1:], piece, fmt.Sprintf("%s in pieces of %d", name, piece), 64<<10)
				if server.exchange.requestBytes != 0 {
					t.Errorf("%s: %d bytes are kept after the request", name, server.exchange.requestBytes)
				}
			})
			c.expectUpgrade()
			c.Close()
			waitFor(t, "it is gone", func() bool { return s.poller.Loops()[0].Stats().Connections.Load() == 0 })
		}
		s.checkNothingLeft(t)
	}
}

// A countingPublisher copies messages, as channel.Publisher says, and lets go of them.
type countingPublisher struct {
	feedback        channel.Feedback
	messages, bytes int
}

func (p *countingPublisher) Publish(_ uint64, _, payload []byte) bool {
	p.messages++
	p.bytes += len(bytes.Clone(payload))
	return true
}
func (p *countingPublisher) PublishAnswered(from uint64, name, _, payload []byte) bool {
	p.feedback.Published([]channel.Outcome{{From: from, Channel: []byte("news"), Fate: channel.FatePublished}})
	return p.Publish(from, name, payload)
}
func (p *countingPublisher) Full() bool { return false }

// A sizingKernel notes the longest read that is asked for.
type sizingKernel struct {
	epoll.Linux
	longest atomic.Int64
}

func (k *sizingKernel) Recv(fd int, p []byte) (int, syscall.Errno) {
	k.longest.Store(max(k.longest.Load(), int64(len(p))))
	return k.Linux.Recv(fd, p)
}

// One client's share of a turn is bounded: what may be many frames is read in small
// reads, and a long frame in long ones.
func TestOneReadOfFramesIsSmall(t *testing.T) {
	kernel := &sizingKernel{}
	config := testConfig()
	publisher := &countingPublisher{}
	config.NewPublisher = func(channel.Feedback) channel.Publisher { return publisher }
	config.PublishBytesMax, config.InboundBytesTotal = 1<<20, 2<<20
	s := startServer(t, 1, config, func(settings *epoll.Config, _ *Shared) { settings.Kernel = kernel })
	c := s.upgrade(t, "/news")
	kernel.longest.Store(0)
	c.send(join(fragments(2, make([]byte, 50_000), 1), clientPing("done")))
	c.expect(pong("done"))
	if n := kernel.longest.Load(); n > frameReadBytesMax {
		t.Errorf("a read of frames had room for %d bytes", n)
	}
	c.send(join(clientFrame(0x82, make([]byte, 1<<20)), clientPing("done")))
	c.expect(pong("done"))
	if n := kernel.longest.Load(); n != scratchBytes {
		t.Errorf("a read inside a long frame had room for %d bytes", n)
	}
}
