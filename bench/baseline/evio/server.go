package main

import (
	"bytes"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/tidwall/evio"

	"c10m/bench/baseline/feed"
)

// inputBytesMax bounds what is kept of a handshake or a frame that is not
// complete; nothing that a subscriber has to say is longer.
const inputBytesMax = 8192

// A server is the channels and their members.
type server struct {
	// Guarded by mu.
	mu       sync.RWMutex
	channels map[string]map[evio.Conn]*member
}

// A member is one connection, in its context.
type member struct {
	// Owned by the loop.
	input   evio.InputStream
	channel string // empty until the handshake is done

	// Guarded by mu.
	mu     sync.Mutex
	outbox [][]byte // frames that the next Wake takes, shared by all members
}

func newServer() *server { return &server{channels: map[string]map[evio.Conn]*member{}} }

func (s *server) opened(c evio.Conn) (out []byte, options evio.Options, action evio.Action) {
	c.SetContext(&member{})
	return nil, evio.Options{ReuseInputBuffer: true}, evio.None
}

func (s *server) closed(c evio.Conn, _ error) evio.Action {
	m, ok := c.Context().(*member)
	if !ok || m.channel == "" {
		return evio.None
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.channels[m.channel], c)
	if len(s.channels[m.channel]) == 0 {
		delete(s.channels, m.channel)
	}
	return evio.None
}

// publish puts a message into every member's outbox and wakes it.
func (s *server) publish(channel string, payload []byte) {
	frame := ws.NewBinaryFrame(payload)
	if utf8.Valid(payload) {
		frame = ws.NewTextFrame(payload)
	}
	encoded := ws.MustCompileFrame(frame)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c, m := range s.channels[channel] {
		m.mu.Lock()
		m.outbox = append(m.outbox, encoded)
		m.mu.Unlock()
		c.Wake()
	}
}

// data is a Wake if there is no input, and bytes of the client otherwise.
func (s *server) data(c evio.Conn, in []byte) (out []byte, action evio.Action) {
	m := c.Context().(*member)
	if in == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		out = bytes.Join(m.outbox, nil)
		m.outbox = m.outbox[:0]
		return out, evio.None
	}
	rest := m.input.Begin(in)
	if m.channel == "" {
		rest, out, action = s.handshake(c, m, rest)
	}
	if m.channel != "" && action == evio.None {
		var answers []byte
		rest, answers, action = frames(rest)
		out = append(out, answers...)
	}
	if len(rest) > inputBytesMax {
		return out, evio.Close
	}
	m.input.End(rest)
	return out, action
}

// handshake upgrades once the request is complete.
func (s *server) handshake(c evio.Conn, m *member, in []byte) (rest, out []byte, action evio.Action) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		return in, nil, evio.None
	}
	end += len("\r\n\r\n")
	var response bytes.Buffer
	channel := ""
	upgrader := ws.Upgrader{OnRequest: func(target []byte) (err error) {
		if channel, err = feed.ChannelOf(string(target)); err != nil {
			err = ws.RejectConnectionError(ws.RejectionStatus(400), ws.RejectionReason(err.Error()))
		}
		return err
	}}
	request := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(in[:end]), &response}
	if _, err := upgrader.Upgrade(request); err != nil {
		return nil, response.Bytes(), evio.Close
	}
	m.channel = channel
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels[channel] == nil {
		s.channels[channel] = map[evio.Conn]*member{}
	}
	s.channels[channel][c] = m
	return in[end:], response.Bytes(), evio.None
}

// frames answers pings and closes, and passes over everything else.
func frames(in []byte) (rest, out []byte, action evio.Action) {
	for {
		r := bytes.NewReader(in)
		header, err := ws.ReadHeader(r)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return in, out, evio.None
		}
		if err != nil || ws.CheckHeader(header, ws.StateServerSide) != nil || header.Length > inputBytesMax {
			return nil, out, evio.Close
		}
		begin := len(in) - r.Len()
		end := begin + int(header.Length)
		if end > len(in) {
			return in, out, evio.None
		}
		payload := in[begin:end]
		in = in[end:]
		ws.Cipher(payload, header.Mask, 0)
		switch header.OpCode {
		case ws.OpPing:
			out = append(out, ws.MustCompileFrame(ws.NewPongFrame(payload))...)
		case ws.OpClose:
			return nil, append(out, ws.MustCompileFrame(ws.NewCloseFrame(payload))...), evio.Close
		}
	}
}
