package loadtest

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/tidwall/redcon"
)

// A Kind is a way to be wrong.
type Kind uint8

const (
	None        Kind = iota
	Lose             // leave a delivery out
	Duplicate        // make it twice
	Reorder          // make it after the connection's next one
	LoseTail         // leave out this one and all later ones of the connection
	Hold             // never let go of a connection that has ended
	CountNobody      // know of no subscribers, as a Redis between servers does
)

// A Fault says what goes wrong, and when.
type Fault struct {
	Kind    Kind
	Channel string // only deliveries of channels that begin with it
	// Only when there have been so many upgrades, and then so many deliveries.
	Upgrades, Deliveries int
	Count                int // how often; 0 is once
}

// A Server runs until the test ends.
type Server struct {
	// Fixed after construction.
	Port  int
	Bus   string // address
	fault Fault

	// Guarded by mu.
	mu          sync.Mutex
	subscribers map[string]map[*subscriber]bool
	upgrades    int
	deliveries  int // since there have been fault.Upgrades
	injected    int
	closes      int // close frames from clients
	last        string
}

type subscriber struct {
	conn net.Conn
	held []byte // a frame that is to come after the next
	mute bool
}

// Start starts a server on loopback.
func Start(t testing.TB, fault Fault) *Server {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	sockets, bus := listen(), listen()
	fault.Count = max(fault.Count, 1)
	s := &Server{Port: sockets.Addr().(*net.TCPAddr).Port, Bus: bus.Addr().String(), fault: fault,
		subscribers: map[string]map[*subscriber]bool{}}
	publishers := redcon.NewServer("", func(conn redcon.Conn, command redcon.Command) {
		name := strings.ToUpper(string(command.Args[0]))
		switch {
		case len(command.Args) == 3 && name == "PUBLISH":
			conn.WriteInt(s.publish(string(command.Args[1]), command.Args[2]))
		case len(command.Args) == 3 && name == "PUBSUB" && strings.EqualFold(string(command.Args[1]), "NUMSUB"):
			conn.WriteArray(2)
			conn.WriteBulk(command.Args[2])
			conn.WriteInt(s.count(string(command.Args[2])))
		default:
			conn.WriteError("ERR only PUBLISH channel message, and PUBSUB NUMSUB channel")
		}
	}, nil, nil)
	var running sync.WaitGroup
	running.Go(func() { publishers.Serve(bus) })
	running.Go(func() {
		for {
			conn, err := sockets.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		sockets.Close()
		publishers.Close()
		s.each(func(c *subscriber) { c.conn.Close() })
		running.Wait()
	})
	return s
}

// Injected is how often something went wrong.
func (s *Server) Injected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.injected
}

// Last is the payload that was published last.
func (s *Server) Last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Closes is how many clients said goodbye.
func (s *Server) Closes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closes
}

func (s *Server) each(visit func(*subscriber)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, channel := range s.subscribers {
		for c := range channel {
			visit(c)
		}
	}
}

// serve is a connection's life.
func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	path := ""
	upgrader := ws.Upgrader{OnRequest: func(uri []byte) error { path = string(uri); return nil }}
	var answer bytes.Buffer
	_, err := upgrader.Upgrade(struct {
		io.Reader
		io.Writer
	}{conn, &answer})
	channel, errPath := url.PathUnescape(strings.TrimPrefix(path, "/"))
	if err != nil || errPath != nil {
		return
	}
	c := &subscriber{conn: conn}
	s.mu.Lock()
	conn.Write(answer.Bytes())
	if s.subscribers[channel] == nil {
		s.subscribers[channel] = map[*subscriber]bool{}
	}
	s.subscribers[channel][c] = true
	s.upgrades++
	s.mu.Unlock()
	code := s.read(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault.Kind != Hold {
		delete(s.subscribers[channel], c)
	}
	if code != 0 {
		s.closes++
		conn.Write(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, ""))))
	}
}

// read goes on until the end of the stream (0) or a close frame (its code).
func (s *Server) read(conn net.Conn) ws.StatusCode {
	for {
		header, err := ws.ReadHeader(conn)
		if err != nil || header.Length > ws.MaxControlFramePayloadSize {
			return 0
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return 0
		}
		if header.OpCode == ws.OpClose {
			ws.Cipher(payload, header.Mask, 0)
			code, _ := ws.ParseCloseFrameData(payload)
			return code
		}
	}
}

// count is how many connections a channel has.
func (s *Server) count(channel string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault.Kind == CountNobody {
		return 0
	}
	return len(s.subscribers[channel])
}

func (s *Server) publish(channel string, payload []byte) (receivers int) {
	frame := ws.MustCompileFrame(ws.NewTextFrame(bytes.Clone(payload)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = string(payload)
	for c := range s.subscribers[channel] {
		s.deliver(c, channel, frame)
		receivers++
	}
	return receivers
}

func (s *Server) deliver(c *subscriber, channel string, frame []byte) {
	if s.upgrades >= s.fault.Upgrades {
		s.deliveries++
	}
	switch {
	case c.mute:
		s.injected++
	case c.held != nil:
		c.conn.Write(append(frame[:len(frame):len(frame)], c.held...))
		c.held = nil
	case s.wrong(channel):
		s.injected++
		switch s.fault.Kind {
		case Duplicate:
			c.conn.Write(append(frame[:len(frame):len(frame)], frame...))
		case Reorder:
			c.held = frame
		case LoseTail:
			c.mute = true
		}
	default:
		c.conn.Write(frame)
	}
}

func (s *Server) wrong(channel string) bool {
	return s.fault.Kind != None && s.fault.Kind < Hold && s.injected < s.fault.Count && strings.HasPrefix(channel, s.fault.Channel) &&
		s.deliveries > s.fault.Deliveries
}
