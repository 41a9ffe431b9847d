package load

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// The same stream, cut at every byte, holds the same stamped payloads. Around
// them are things that look like the beginning of one.
func TestScanEverySplit(t *testing.T) {
	const end = '\r'
	stream := []byte("cc10c10m/1 c10m/1 00000000000000zz 0000000000000000 c10m/")
	for i, size := range []int{StampBytes, StampBytes + 1, 300} {
		stream = AppendStamped(append(stream, "MSG c 1\r\n"...), uint64(i+1), int64(10*i), size)
		stream = append(stream, "\r\nc10m"...)
	}
	lost := AppendStamped(nil, 9, 9, 100)
	lost[70] ^= 1
	stream = append(append(stream, lost...), "\r\nc1"...)
	for cut := range len(stream) + 1 {
		found := ""
		s := &scan{}
		for _, piece := range [][]byte{bytes.Clone(stream[:cut]), bytes.Clone(stream[cut:])} {
			for rest := piece; len(rest) > 0; {
				n, done := s.take(rest, end)
				rest = rest[n:]
				if done {
					found += fmt.Sprintf("%d@%d:%d,%v ", s.digest.sequence, s.digest.nanos, s.digest.length, s.digest.corrupt)
					s.reset()
				}
			}
			for i := range piece {
				piece[i] = '#' // the buffer belongs to the next connection now
			}
		}
		if want := "1@0:40,false 2@10:41,false 3@20:300,false 9@9:70,true "; found != want {
			t.Fatalf("cut after %d of %d bytes: %q instead of %q", cut, len(stream), found, want)
		}
		if s.idle() {
			t.Fatalf("cut after %d: the end of the stream begins a stamp, and is forgotten", cut)
		}
	}
}

// A foreigner is a server of another dialect: it sends hello with its 101,
// reads the greeting, and then does what script says.
type foreigner struct {
	listener net.Listener
	running  sync.WaitGroup

	mu        sync.Mutex
	connected int
	conns     []net.Conn
	paths     map[string]bool
	greetings map[string]bool
}

func foreign(t *testing.T, protocol, hello string, script func(conn net.Conn, number int)) *foreigner {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &foreigner{listener: listener, paths: map[string]bool{}, greetings: map[string]bool{}}
	f.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.running.Go(func() { f.serve(t, conn, protocol, hello, script) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		f.mu.Lock()
		for _, conn := range f.conns {
			conn.Close()
		}
		f.mu.Unlock()
		f.running.Wait()
	})
	return f
}

func (f *foreigner) serve(t *testing.T, conn net.Conn, protocol, hello string, script func(net.Conn, int)) {
	path := ""
	upgrader := ws.Upgrader{
		Protocol:  func(p []byte) bool { return string(p) == protocol },
		OnRequest: func(uri []byte) error { path = string(uri); return nil },
	}
	chosen, err := upgrader.Upgrade(conn)
	if err != nil || chosen.Protocol != protocol {
		t.Errorf("upgrade: %v, protocol %q", err, chosen.Protocol)
		return
	}
	conn.Write([]byte(hello))
	header, err := ws.ReadHeader(conn)
	if err != nil || !header.Masked || header.Length > 1000 {
		t.Errorf("greeting: %v, %+v", err, header)
		return
	}
	greeting := make([]byte, header.Length)
	if _, err := io.ReadFull(conn, greeting); err != nil {
		t.Error(err)
		return
	}
	ws.Cipher(greeting, header.Mask, 0)
	f.mu.Lock()
	number := f.connected
	f.connected++
	f.conns = append(f.conns, conn)
	f.paths[path] = true
	f.greetings[string(greeting)] = true
	f.mu.Unlock()
	script(conn, number)
}

func (f *foreigner) spread(connections int) Spread {
	return Spread{Host: netip.MustParseAddr("127.0.0.1"), PerPort: 50_000, Connections: connections,
		FirstPort: f.listener.Addr().(*net.TCPAddr).Port}
}

// seen is what all connections asked for and said, each once.
func (f *foreigner) seen() (paths, greetings []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.paths)), slices.Sorted(maps.Keys(f.greetings))
}

func dialectOf(t *testing.T, name string) *Dialect {
	t.Helper()
	d, err := DialectOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// conversations are what servers say after the greeting: the confirmation and
// three messages, the last two in one piece.
var conversations = []struct {
	dialect, protocol, path, greeting, hello string
	opcode                                   ws.OpCode
	stream                                   func() []byte
	cut                                      func(stream []byte, number int) (frames []byte) // nil: cutFrames
}{
	{
		dialect: "nats", path: "/", opcode: ws.OpBinary,
		greeting: "SUB a/ü 1\r\nPING\r\n",
		hello:    string(ws.MustCompileFrame(ws.NewBinaryFrame([]byte("INFO {\"server_id\":\"X\"} \r\n")))),
		stream: func() []byte {
			b := []byte("PONG\r\nPING\r\n")
			for i, size := range []int{64, StampBytes, 70} {
				b = fmt.Appendf(b, "MSG a/ü 1 %d\r\n", size)
				b = append(AppendStamped(b, uint64(i+1), Nanos(), size), "\r\n"...)
			}
			return b
		},
	},
	{
		dialect: "centrifuge", protocol: "centrifuge-json", path: "/connection/websocket", opcode: ws.OpText,
		greeting: `{"id":2,"subscribe":{"channel":"a/ü"}}`,
		stream: func() []byte {
			b := []byte(`{"id":1,"connect":{"client":"x","ping":300}}` + "\n" + `{"id":2,"subscribe":{}}`)
			for i, size := range []int{64, StampBytes, 70} {
				b = append(b, "\n"+`{"push":{"channel":"a/ü","pub":{"data":"`...)
				b = append(AppendStamped(b, uint64(i+1), Nanos(), size), `"}}}`...)
			}
			return b
		},
	},
	{
		dialect: "c10m.v1", protocol: "c10m.v1", path: "/", greeting: "SUB a%2F%C3%BC", cut: cutMessages,
		stream: func() []byte {
			b := []byte("OK SUB a/%C3%BC x-1")
			for i, size := range []int{64, StampBytes, 70} {
				// What follows is what the filler would go on with.
				b = append(b, "\x00MSG a/%C3%BC x-2\n"...)
				b = AppendStamped(b, uint64(i+1), Nanos(), size)
				b = append(append(b, "\x00"...), fillerAt(uint64(size-StampBytes), 9)...)
				b = append(b, "\x00c10m/1 "...)
			}
			return b
		},
	},
}

// cutFrames makes two frames of a stream whose messages frames do not tell apart.
func cutFrames(opcode ws.OpCode, stream []byte, number int) []byte {
	return append(ws.MustCompileFrame(ws.NewFrame(opcode, true, stream[:number])),
		ws.MustCompileFrame(ws.NewFrame(opcode, true, stream[number:]))...)
}

// cutMessages makes a message of each part of a stream, in two fragments, cut where the
// number says.
func cutMessages(stream []byte, number int) (frames []byte) {
	for message := range bytes.SplitSeq(stream, []byte{0}) {
		cut := number % (len(message) + 1)
		frames = append(frames, ws.MustCompileFrame(ws.NewFrame(ws.OpText, false, message[:cut]))...)
		frames = append(frames, ws.MustCompileFrame(ws.NewFrame(ws.OpContinuation, true, message[cut:]))...)
	}
	return frames
}

// Every connection gets the stream in two frames or messages in two, cut at another
// byte, and those in two writes, cut somewhere.
func TestDialectsEverySplit(t *testing.T) {
	for _, c := range conversations {
		t.Run(c.dialect, func(t *testing.T) {
			connections := len(c.stream()) + 1
			f := foreign(t, c.protocol, c.hello, func(conn net.Conn, number int) {
				stream := c.stream()
				frames := cutFrames(c.opcode, stream, number)
				if c.cut != nil {
					frames = c.cut(stream, number)
				}
				cut := number * 7 % len(frames)
				if number%2 == 0 {
					cut = ws.HeaderSize(ws.Header{Length: int64(number)}) + number // between frames
				}
				cut = min(cut, len(frames))
				conn.Write(frames[:cut])
				time.Sleep(time.Millisecond) // so that it is mostly a read of its own
				conn.Write(frames[cut:])
			})
			client := start(t, Config{Spread: f.spread(connections), Channel: "a/ü", Dialect: dialectOf(t, c.dialect),
				FirstSequence: 1, Expect: 3, Loops: 2})
			connected(t, client)
			s := await(t, client, "all messages", func(s *Snapshot) bool { return s.Complete == connections })
			if s.Stamped != uint64(3*connections) || s.Text+s.Binary != s.Stamped || s.Open != connections || s.Fault() != "" {
				t.Errorf("%d messages, %d stamped, %d open of %d; %s", s.Messages(), s.Stamped, s.Open, connections, s.Fault())
			}
			paths, greetings := f.seen()
			if len(paths) != 1 || paths[0] != c.path || len(greetings) != 1 || !strings.HasSuffix(greetings[0], c.greeting) {
				t.Errorf("paths %q, greetings %q", paths, greetings)
			}
			client.each(func(h *handler) func() {
				held := len(h.partials)
				return func() {
					if held != 0 {
						t.Errorf("%d places in a stamp are kept between messages", held)
					}
				}
			})
		})
	}
}

// A channel that makes the greeting longer than a short frame.
func TestLongGreeting(t *testing.T) {
	f := foreign(t, "", "", func(conn net.Conn, _ int) {
		conn.Write(ws.MustCompileFrame(ws.NewBinaryFrame([]byte("PONG\r\n"))))
	})
	channel := strings.Repeat("x", 255)
	connected(t, start(t, Config{Spread: f.spread(1), Channel: channel, Dialect: dialectOf(t, "nats")}))
	if _, greetings := f.seen(); len(greetings) != 1 || !strings.Contains(greetings[0], "SUB "+channel+" 1\r\n") {
		t.Errorf("%q", greetings)
	}
}

// Who is not confirmed is not open, and the reason is kept.
func TestUnconfirmed(t *testing.T) {
	for _, c := range []struct{ name, kind, problem, answer string }{
		{"refused", "bad upgrade", "Permissions", "-ERR 'Permissions Violation'\r\nPONG\r\nc10m"},
		{"too much", "bad upgrade", "does not confirm", strings.Repeat("INFO ", responseBytesMax/5+1)},
		{"dropped", "reset", "", "PON"},
		{"silent", "timed out", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := foreign(t, "", "", func(conn net.Conn, _ int) {
				if c.answer != "" {
					conn.Write(ws.MustCompileFrame(ws.NewBinaryFrame([]byte(c.answer))))
				}
				if c.name == "dropped" {
					conn.Close()
				}
			})
			client := start(t, Config{Spread: f.spread(3), Channel: "a", Dialect: dialectOf(t, "nats"), HandshakeTimeout: 300 * time.Millisecond})
			s := await(t, client, "all to be decided", (*Snapshot).Decided)
			if s.GaveUp != 3 || s.Opened != 0 || s.Failures[c.kind] != 3 || !strings.Contains(s.Problem, c.problem) || s.UnderWay != 0 {
				t.Errorf("%+v", s.Counters)
			}
		})
	}
}

func TestDialectOf(t *testing.T) {
	for _, name := range append(DialectNames(), "") {
		if d, err := DialectOf(name); err != nil || d.Name == "" {
			t.Errorf("%q: %+v, %v", name, d, err)
		}
	}
	if _, err := DialectOf("irc"); err == nil || !strings.Contains(err.Error(), "c10m, c10m.v1, centrifuge, events, nats, nchan") {
		t.Errorf("an unknown dialect: %v", err)
	}
}
