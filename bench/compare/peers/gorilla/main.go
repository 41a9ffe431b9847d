// Gorilla is a baseline: the design of 2016 that most Go servers still have,
// net/http and gorilla/websocket with two goroutines per connection, one that
// reads and one that writes, and go-redis.
//
//	gorilla --listen 127.0.0.1:10000 --redis 127.0.0.1:6379
//
// It follows gorilla's own chat example: a hub, a buffered channel of 256
// messages per client, and a client that has let it fill up is dropped. Where
// gorilla's documentation recommends something for many connections, it is
// done: a PreparedMessage, so that a frame is encoded once and not per
// connection, and a pool of write buffers, so that an idle connection holds
// none. The example's hub is a goroutine; here it is a lock, which spares every
// message a switch.
package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"c10m/bench/baseline/feed"
)

const (
	// Those of gorilla's chat example.
	writeWait     = 10 * time.Second
	readBytesMax  = 512
	sendQueueMax  = 256
	readBufferLen = 1024
	// pingInterval is the same for every server of the comparison.
	pingInterval = 5 * time.Minute
	pongWait     = pingInterval + 30*time.Second
)

func main() { feed.Main("gorilla", serve) }

func serve(ctx context.Context, f *feed.Feed, listen string) error {
	h := &hub{channels: map[string]map[*client]struct{}{}}
	server := &http.Server{Addr: listen, Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 2)
	go func() { ended <- f.Run(ctx, h.publish) }()
	go func() { ended <- server.ListenAndServe() }()
	return <-ended
}

// A hub knows who listens to which channel.
type hub struct {
	// Guarded by mu.
	mu       sync.RWMutex
	channels map[string]map[*client]struct{}
}

// A client is one connection.
type client struct {
	// Fixed after construction.
	conn    *websocket.Conn
	channel string
	send    chan *websocket.PreparedMessage // closed when the client is removed
}

var upgrader = websocket.Upgrader{
	ReadBufferSize:  readBufferLen,
	WriteBufferPool: &sync.Pool{},
	CheckOrigin:     func(*http.Request) bool { return true },
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	c := &client{conn: conn, channel: strings.TrimPrefix(r.URL.Path, "/"), send: make(chan *websocket.PreparedMessage, sendQueueMax)}
	h.mu.Lock()
	if h.channels[c.channel] == nil {
		h.channels[c.channel] = map[*client]struct{}{}
	}
	h.channels[c.channel][c] = struct{}{}
	h.mu.Unlock()
	// New goroutines, so that what net/http keeps for a request goes.
	go c.write()
	go c.read(h)
}

func (h *hub) remove(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	members := h.channels[c.channel]
	if _, ok := members[c]; !ok {
		return
	}
	delete(members, c)
	if len(members) == 0 {
		delete(h.channels, c.channel)
	}
	close(c.send)
}

func (h *hub) publish(channel string, payload []byte) {
	kind := websocket.BinaryMessage
	if utf8.Valid(payload) {
		kind = websocket.TextMessage
	}
	message, err := websocket.NewPreparedMessage(kind, payload)
	if err != nil {
		return
	}
	var slow []*client
	h.mu.RLock()
	for c := range h.channels[channel] {
		select {
		case c.send <- message:
		default:
			slow = append(slow, c)
		}
	}
	h.mu.RUnlock()
	for _, c := range slow {
		h.remove(c)
	}
}

// read answers pings and closes, which gorilla does inside NextReader.
func (c *client) read(h *hub) {
	defer func() {
		h.remove(c)
		c.conn.Close()
	}()
	c.conn.SetReadLimit(readBytesMax)
	c.conn.SetReadDeadline(time.Now().Add(pongWait))
	c.conn.SetPongHandler(func(string) error { return c.conn.SetReadDeadline(time.Now().Add(pongWait)) })
	for {
		if _, _, err := c.conn.NextReader(); err != nil {
			return
		}
	}
}

func (c *client) write() {
	ticker := time.NewTicker(pingInterval)
	defer func() {
		ticker.Stop()
		c.conn.Close()
	}()
	for {
		var err error
		select {
		case message, ok := <-c.send:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if !ok {
				c.conn.WriteMessage(websocket.CloseMessage, nil)
				return
			}
			err = c.conn.WritePreparedMessage(message)
		case <-ticker.C:
			err = c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait))
		}
		if err != nil {
			return
		}
	}
}
