package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"c10m/conn/walks"

	"github.com/gobwas/ws"
)

// A toldSocket is a WebSocket of a told world, and ends with it. It knows the code with
// which it was closed, and the notice before a drain.
type toldSocket struct {
	*bufio.Reader
	net.Conn
	stop   func() bool
	notice func()
}

func (s *toldSocket) Read(p []byte) (int, error) { return s.Reader.Read(p) }

func (s *toldSocket) Close() error {
	s.stop()
	return s.Conn.Close()
}

// A closedWith is the end of a WebSocket.
type closedWith ws.StatusCode

func (c closedWith) Error() string { return fmt.Sprintf("closed with %d", ws.StatusCode(c)) }

func (w *toldWorld) dial(path string, protocols ...string) (*toldSocket, error) {
	c, early, _, err := ws.Dialer{Protocols: protocols}.Dial(w.over, fmt.Sprintf("ws://127.0.0.1:%d/%s", w.port, path))
	if err != nil {
		return nil, err
	}
	if early == nil {
		early = bufio.NewReader(c)
	}
	return &toldSocket{Reader: early, Conn: c, stop: context.AfterFunc(w.over, func() { c.Close() })}, nil
}

func (s *toldSocket) say(op ws.OpCode, payload []byte) error {
	return ws.WriteFrame(s.Conn, ws.MaskFrame(ws.NewFrame(op, true, payload)))
}

// next is the next message. The error is a closedWith; it is without a code if nobody said
// goodbye.
func (s *toldSocket) next() (payload []byte, err error) {
	for {
		header, err := ws.ReadHeader(s.Reader)
		if err != nil || header.Length > 1<<20 || !header.Fin {
			return nil, closedWith(noCloseCode)
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(s.Reader, payload); err != nil {
			return nil, closedWith(noCloseCode)
		}
		switch header.OpCode {
		case ws.OpPing:
			s.say(ws.OpPong, payload)
			if string(payload) == walks.DrainNotice && s.notice != nil {
				s.notice()
			}
		case ws.OpClose:
			s.say(ws.OpClose, payload)
			if len(payload) < 2 {
				return nil, closedWith(ws.StatusNoStatusRcvd)
			}
			return nil, closedWith(binary.BigEndian.Uint16(payload))
		case ws.OpText, ws.OpBinary:
			return payload, nil
		}
	}
}

// A successor is a next connection, and the last number that was begun when it was there.
type successor struct {
	*toldSocket
	from int
}

// plainWay is a plain WebSocket that does what the README asks of a client: on the notice
// of a drain it opens its next connection, and keeps both until the first is closed.
func (w *toldWorld) plainWay(e *toldEar) func() {
	e.isMember = true
	return func() {
		s, err := w.dial(e.channel)
		if err != nil {
			return
		}
		at := &successor{s, w.begun(e.channel)}
		e.note(noteFrom, at.from)
		var had map[string]bool // on the connection before
		for at != nil {
			at, had = e.hear(at, had)
		}
	}
}

// hear notes what comes on a connection, but for what the one before brought already, and
// returns the next connection, if there is one.
func (e *toldEar) hear(at *successor, had map[string]bool) (next *successor, came map[string]bool) {
	w := e.world
	over, end := context.WithCancel(w.over)
	defer at.Close()
	found := make(chan *successor, 1)
	isMoving := false
	at.notice = func() {
		if !isMoving {
			isMoving = true
			go func() { found <- w.findSuccessor(over, e.channel) }()
		}
	}
	came = make(map[string]bool)
	last := 0
	payload, err := at.next()
	for ; err == nil; payload, err = at.next() {
		came[string(payload)] = true
		if !had[string(payload)] {
			e.message(string(payload))
		}
		last, _ = strconv.Atoi(string(payload))
	}
	end()
	if isMoving {
		next = <-found
	}
	var code closedWith
	errors.As(err, &code)
	switch isInTime := next != nil && last > next.from; {
	case w.over.Err() != nil:
	case isInTime && e.world.ended(e.way, ws.StatusCode(code)) == endsWhole:
		// It had something on this connection that was published when the next was
		// there, so there is nothing that neither brings.
		w.mu.Lock()
		w.takeovers++
		w.mu.Unlock()
		return next, came
	case !isInTime:
		e.end(ws.StatusCode(code))
	default:
		e.gap()
	}
	if next != nil {
		e.note(noteFrom, next.from)
	}
	return next, came
}

// findSuccessor connects to whoever takes newcomers now, until over.
func (w *toldWorld) findSuccessor(over context.Context, channel string) *successor {
	for over.Err() == nil {
		if s, err := w.dial(channel); err == nil {
			return &successor{s, w.begun(channel)}
		}
		w.sleep(20)
	}
	return nil
}
