package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"c10m/bench/load"
)

// A span is a run of sequence numbers, both ends included.
type span struct{ first, last uint64 }

// A witness is a WebSocket of its own that remembers which messages of a
// channel came: a load.Client only counts how many did not.
type witness struct {
	// Fixed after construction.
	conn  net.Conn
	ended chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	seen    uint64 // messages
	last    uint64 // the highest number
	missing []span // numbers below it that did not come
	wrong   uint64 // numbers that came again or after a higher one, and what has none
	err     error
}

// aside is a host of loopback that is not 127.0.0.1, for connections of this program
// that come and go all the time: they never take the port of a Redis that is
// down for a moment.
var aside = net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}

// witnessChannel begins to listen. numberOf reads the number of a message.
func witnessChannel(ctx context.Context, address, channel string, numberOf func([]byte) (uint64, bool)) (*witness, error) {
	dialer := ws.Dialer{NetDial: (&net.Dialer{LocalAddr: &aside}).DialContext, Timeout: hangGuard}
	conn, early, _, err := dialer.Dial(ctx, fmt.Sprintf("ws://%s/%s", address, channel))
	if err != nil {
		return nil, err
	}
	if early == nil {
		early = bufio.NewReader(conn)
	}
	w := &witness{conn: conn, ended: make(chan struct{})}
	go w.listen(early, numberOf)
	return w, nil
}

func (w *witness) listen(reader *bufio.Reader, numberOf func([]byte) (uint64, bool)) {
	defer close(w.ended)
	for {
		payload, _, err := wsutil.ReadServerData(readWriter{reader, w.conn})
		w.mu.Lock()
		if err != nil {
			w.err = err
			w.mu.Unlock()
			return
		}
		number, ok := numberOf(payload)
		w.note(number, ok)
		w.mu.Unlock()
	}
}

// readWriter reads what the handshake left over first.
type readWriter struct {
	io.Reader
	io.Writer
}

// note takes a number. Called with mu held.
func (w *witness) note(number uint64, ok bool) {
	w.seen++
	switch {
	case !ok || number <= w.last:
		w.wrong++
		return
	case number > w.last+1:
		w.missing = append(w.missing, span{w.last + 1, number - 1})
	}
	w.last = number
}

// testimony is what a witness says in the end.
type testimony struct {
	seen, last, wrong uint64
	missing           []span
	err               error
}

// told returns what came so far. Any goroutine may call it.
func (w *witness) told() testimony {
	w.mu.Lock()
	defer w.mu.Unlock()
	return testimony{w.seen, w.last, w.wrong, append([]span(nil), w.missing...), w.err}
}

// lost is how many did not come of published ones.
func (t *testimony) lost(published uint64) uint64 {
	lost := published - min(t.last, published)
	for _, s := range t.missing {
		lost += s.last - s.first + 1
	}
	return lost
}

// close says goodbye (RFC 6455, section 7.1.2) and waits for the server's
// answer.
func (w *witness) close() {
	w.conn.SetDeadline(time.Now().Add(garbageTimeout))
	ws.WriteFrame(w.conn, ws.MaskFrameInPlace(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))))
	<-w.ended
	w.conn.Close()
}

// stampNumber reads the number of a stamped message.
func stampNumber(payload []byte) (uint64, bool) {
	number, _, ok := load.ParseStamp(payload)
	return number, ok
}

// markNumber reads the number of a mark.
func markNumber(payload []byte) (uint64, bool) {
	number, err := strconv.ParseUint(string(payload), 10, 64)
	return number, err == nil
}
