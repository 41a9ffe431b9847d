package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"c10m/bus"
	"c10m/channel"
	"c10m/conn"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/redisbus"

	"github.com/gobwas/ws"
	"go.uber.org/zap"
)

// messageBytesDefault is that of --message-bytes.
const messageBytesDefault = 1 << 20

// A server is the rooms of a 10m-server on a port of the kernel's choice.
type server struct {
	poller  *poller.Poller
	servers []*conn.Server
	address string
}

// start runs a server whose clients hear what they say through an embedded bus, up to
// so many bytes a message.
func start(t *testing.T, mode wire.FrameMode, messageBytesMax int) *server {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: free.Addr().String()}
	free.Close()
	uplink := bus.NewUplink(64<<20, zap.NewNop())
	// No pings, so that all that is heard is an answer.
	shared := conn.NewShared(conn.Config{
		ConnectionsMax:  1 << 20,
		Channel:         channel.Config{LogBytes: 4 * messageBytesMax, LogAge: patience.Guard, LogBytesTotal: 256 << 20},
		NewPublisher:    func(f channel.Feedback) channel.Publisher { return uplink.Queue(f) },
		PublishBytesMax: messageBytesMax, InboundBytesTotal: 256 << 20,
	})
	var posters []channel.Poster
	s.poller = poller.New(poller.Config{Loops: 2, NewHandler: func(l *poller.Loop) poller.Handler {
		server := conn.NewServer(shared, l)
		s.servers, posters = append(s.servers, server), append(posters, server)
		return server
	}})
	t.Cleanup(s.poller.Stop)
	if _, err = epoll.Start(s.poller, epoll.Config{
		Loops: 2, DescriptorsMax: 1 << 20,
		Listen:  epoll.Listeners(conn.TagHTTP, netip.MustParseAddrPort(s.address)),
		Options: epoll.ListenOptions{WriteDeadline: 30 * time.Second, DeferAccept: true},
	}); err != nil {
		t.Fatal(err)
	}
	hub := channel.NewHub(posters, conn.HubConfig(mode, messageBytesMax, poller.Now))
	embedded, err := redisbus.ListenEmbedded(redisbus.EmbeddedConfig{Addr: "127.0.0.1:0"}, hub, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	uplink.Start(embedded, hub)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
		defer cancel()
		if err := errors.Join(uplink.Close(ctx), embedded.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// hasRead returns when every loop has read what was in its sockets before.
func (s *server) hasRead() {
	// Twice, since the first may be run in a turn that has not seen it all.
	for range 2 {
		for _, l := range s.poller.Loops() {
			done := make(chan struct{})
			l.Run(func(*poller.Loop) { close(done) })
			<-done
		}
	}
}

func (s *server) accepted() (n uint64) {
	for _, l := range s.poller.Loops() {
		n += l.Stats().Accepted.Load()
	}
	return n
}

// checkNothingLeft waits until all connections are gone, and checks that each
// ended with one reason.
func (s *server) checkNothingLeft(t *testing.T) {
	t.Helper()
	var accepted, ended uint64
	patience.Eventually(t, "no connection is left over", func() bool {
		before := s.accepted() // one that is accepted meanwhile is in none of the others
		open := int64(0)
		ended = 0
		for i, l := range s.poller.Loops() {
			open += l.Stats().Connections.Load()
			for _, reason := range reasons.All() {
				ended += s.servers[i].Stats().Closes[reason].Load()
			}
		}
		accepted = s.accepted()
		return open == 0 && accepted == before
	})
	if accepted != ended {
		t.Errorf("%d connections were accepted, and %d have a reason for their end", accepted, ended)
	}
}

// upgradeRequest is a good request with the sample key of RFC 6455, 1.3.
func upgradeRequest(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
}

// readFrame reads a frame of a server that is trusted with its length.
func readFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

func closePayload(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}
