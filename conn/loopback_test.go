package conn

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A testServer is the three rooms together on real sockets, without a bus.
type testServer struct {
	poller  *poller.Poller
	sockets *epoll.Sockets
	hub     *channel.Hub
	shared  *Shared
	servers []*Server
	address string
}

func testConfig() Config {
	return Config{
		PingInterval:   time.Minute,
		ConnectionsMax: 1 << 20,
		Channel: channel.Config{
			LogBytes: 1 << 20, LogAge: 30 * time.Second, LogBytesTotal: 64 << 20,
		},
	}
}

// startServer runs the rooms on a free port of 127.0.0.1.
func startServer(t testing.TB, loops int, config Config, options ...func(*epoll.Config, *Shared)) *testServer {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	s := &testServer{shared: NewShared(config), address: address}
	settings := epoll.Config{
		Loops:          loops,
		DescriptorsMax: 1 << 20,
		Listen:         epoll.Listeners(TagHTTP, netip.MustParseAddrPort(address)),
		Options:        epoll.ListenOptions{WriteDeadline: 30 * time.Second, DeferAccept: true},
	}
	for _, option := range options {
		option(&settings, s.shared)
	}
	s.poller = poller.New(poller.Config{Loops: loops, NewHandler: func(l *poller.Loop) poller.Handler {
		server := NewServer(s.shared, l)
		s.servers = append(s.servers, server)
		return server
	}})
	t.Cleanup(s.poller.Stop)
	if s.sockets, err = epoll.Start(s.poller, settings); err != nil {
		t.Fatal(err)
	}
	var posters []channel.Poster
	for _, server := range s.servers {
		posters = append(posters, server)
	}
	hub := HubConfig(wire.FrameAuto, 1<<20, poller.Now)
	hub.History = config.History
	s.hub = channel.NewHub(posters, hub)
	return s
}

func (s *testServer) receipt(t testing.TB, name, payload string) *channel.Receipt {
	t.Helper()
	receipt, err := s.hub.Publish([]byte(name), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// publish returns to how many connections a message goes, publishID its id.
func (s *testServer) publish(t testing.TB, name, payload string) int {
	t.Helper()
	return s.receipt(t, name, payload).Wait()
}

func (s *testServer) publishID(t testing.TB, name, payload string) string {
	t.Helper()
	return s.receipt(t, name, payload).ID()
}

// closes is the number of connections that ended for a reason, on all loops.
func (s *testServer) closes(reason reasons.Reason) (n uint64) {
	for _, server := range s.servers {
		n += server.Stats().Closes[reason].Load()
	}
	return n
}

func (s *testServer) dial(t testing.TB, path string) net.Conn {
	t.Helper()
	dialer := ws.Dialer{Timeout: 10 * time.Second}
	c, buffered, _, err := dialer.Dial(context.Background(), "ws://"+s.address+"/"+path)
	if err != nil {
		t.Fatalf("dial %q: %v", path, err)
	}
	if buffered != nil {
		c = &bufferedConn{Conn: c, first: buffered}
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(patience.Deadline())
	return c
}

type bufferedConn struct {
	net.Conn
	first interface{ Read([]byte) (int, error) }
}

func (b *bufferedConn) Read(p []byte) (int, error) {
	if b.first != nil {
		if n, err := b.first.Read(p); err == nil {
			return n, nil
		}
		b.first = nil
	}
	return b.Conn.Read(p)
}

func TestPublishReachesMembersOfItsChannelOnly(t *testing.T) {
	s := startServer(t, 2, testConfig())
	var clients []net.Conn
	for range 50 {
		clients = append(clients, s.dial(t, "news"))
	}
	other := s.dial(t, "sport%2F1")
	if n := s.publish(t, "news", "hello"); n != 50 {
		t.Fatalf("publish to 50 members returned %d", n)
	}
	if n := s.publish(t, "sport/1", "goal\xff"); n != 1 {
		t.Fatalf("publish to one member returned %d", n)
	}
	if n := s.publish(t, "nobody", "x"); n != 0 {
		t.Fatalf("publish to nobody returned %d", n)
	}
	for _, c := range clients {
		if got, op, err := wsutil.ReadServerData(c); err != nil || string(got) != "hello" || op != ws.OpText {
			t.Fatalf("got %q %v %v", got, op, err)
		}
	}
	if got, op, err := wsutil.ReadServerData(other); err != nil || string(got) != "goal\xff" || op != ws.OpBinary {
		t.Fatalf("got %q %v %v", got, op, err)
	}
	if names := s.hub.Channels(func(name string) bool { return strings.HasPrefix(name, "s") }, 10); len(names) != 1 || names[0] != "sport/1" {
		t.Fatalf("channels %q", names)
	}
	if counts := s.hub.Count([]string{"news", "nobody"}); counts[0] != 50 || counts[1] != 0 {
		t.Fatalf("counts %v", counts)
	}
}

func TestManyMessagesInOrder(t *testing.T) {
	s := startServer(t, 2, testConfig())
	const clients, messages = 100, 500
	var done sync.WaitGroup
	for range clients {
		c := s.dial(t, "news")
		done.Add(1)
		go func() {
			defer done.Done()
			for i := range messages {
				got, err := wsutil.ReadServerText(c)
				if err != nil || len(got) != i%300+1 {
					t.Errorf("message %d: %d bytes, %v", i, len(got), err)
					return
				}
			}
		}()
	}
	for i := range messages {
		s.hub.Publish([]byte("news"), []byte(strings.Repeat("x", i%300+1)))
	}
	done.Wait()
}
