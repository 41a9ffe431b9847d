// Centrifuge is a baseline: the library that Centrifugo is made of, with its
// JSON protocol, its in-memory broker and its WebSocket handler. Messages come
// in from a Redis by go-redis, as they do for the other baselines, and go to
// node.Publish as a JSON string.
//
//	centrifuge --listen 127.0.0.1:10000 --redis 127.0.0.1:6379
//
// Everything is the library's default, but for what its documentation
// recommends for many connections that are mostly idle: a pool of write
// buffers, small read buffers, and commands processed off the read loop, which
// keeps its stack small. Pings come every 5 minutes, as from every server of
// the comparison, instead of every 25 seconds, and a missing pong does not end a
// connection, since the load client does not speak the library's own ping.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"

	"c10m/bench/baseline/feed"
)

const (
	pingInterval  = 5 * time.Minute
	readBufferLen = 512
)

func main() { feed.Main("centrifuge", run) }

// serve starts a node and returns it with what answers its requests.
func serve() (*centrifuge.Node, http.Handler, error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, callback centrifuge.SubscribeCallback) {
			callback(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return nil, nil, err
	}
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:                func(*http.Request) bool { return true },
		ReadBufferSize:             readBufferLen,
		UseWriteBufferPool:         true,
		ProcessCommandsOffReadLoop: true,
		PingPongConfig:             centrifuge.PingPongConfig{PingInterval: pingInterval, PongTimeout: -1},
	})
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", handler)
	return node, mux, nil
}

// publish sends a payload as a JSON string.
func publish(node *centrifuge.Node, channel string, payload []byte) error {
	data, err := json.Marshal(string(payload))
	if err == nil {
		_, err = node.Publish(channel, data)
	}
	return err
}

func run(ctx context.Context, f *feed.Feed, listen string) error {
	node, handler, err := serve()
	if err != nil {
		return err
	}
	ended := make(chan error, 3)
	go func() {
		ended <- f.Run(ctx, func(channel string, payload []byte) {
			if err := publish(node, channel, payload); err != nil {
				ended <- fmt.Errorf("cannot publish: %w", err)
			}
		})
	}()
	go func() { ended <- http.ListenAndServe(listen, handler) }()
	return <-ended
}
