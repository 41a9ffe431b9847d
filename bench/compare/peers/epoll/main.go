// Epoll is a baseline: gobwas/ws on a plain epoll loop, as in the articles on a
// million WebSockets in Go that most people begin with.
//
//	epoll --listen 127.0.0.1:10000 --redis 127.0.0.1:6379
//
// Connections are net.Conns. They are upgraded by a small pool of goroutines
// with the zero-copy Upgrader and then added to an epoll of ours, so that an
// idle one has neither a goroutine nor a buffer; the loop waits for input and
// hands a readable connection to the pool. A broadcast walks the map of a
// channel and writes to each connection.
//
// Two things are better than in most of the articles' code, since leaving them
// out would flatter us. There is a shard per core, each with its own epoll, map
// and writer, so that a broadcast uses all cores. And the frame is encoded once
// per message, not per connection.
//
// What stays is the design's: each net.Conn is in the runtime's epoll as well,
// a write that does not fit holds up all behind it until its deadline, and a
// message to one connection waits for the broadcast before it.
package main

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"c10m/bench/baseline/feed"
)

func main() { feed.Main("epoll", serve) }

func serve(ctx context.Context, f *feed.Feed, listen string) error {
	workers := newPool(poolWorkersPerCore*runtime.NumCPU(), poolQueueMax)
	shards := make([]*shard, runtime.NumCPU())
	var err error
	for i := range shards {
		if shards[i], err = newShard(workers); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	ended := make(chan error, 2+len(shards))
	for _, s := range shards {
		go func() { ended <- s.wait() }()
		go s.write()
	}
	go func() { ended <- accept(listener, workers, shards) }()
	go func() {
		ended <- f.Run(ctx, func(channel string, payload []byte) {
			frame := ws.NewBinaryFrame(payload)
			if utf8.Valid(payload) {
				frame = ws.NewTextFrame(payload)
			}
			b := broadcast{channel, ws.MustCompileFrame(frame)}
			for _, s := range shards {
				s.broadcasts <- b
			}
		})
	}()
	return <-ended
}

// accept gives each connection to the pool, which upgrades it, and spreads
// them over the shards.
func accept(listener net.Listener, workers pool, shards []*shard) error {
	for i := 0; ; i++ {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("cannot accept: %w", err)
		}
		s := shards[i%len(shards)]
		workers <- func() { s.upgrade(conn) }
	}
}
