// Evio is a baseline: a WebSocket fan-out server on tidwall/evio v1.0.8, with
// the handshake and the frames of gobwas/ws and a go-redis subscription.
//
//	evio --listen 127.0.0.1:10000 --redis 127.0.0.1:6379
//
// It is what evio's own API leads to. Data may only be written by returning it
// from the Data event, and Wake is the way to get one from another goroutine,
// so a message is put into the outbox of every member, and every member is
// woken. evio's settings are a loop per core (NumLoops -1), its default balance
// (Random; LeastConnections halved the connect rate, 5,400 to 7,500 a second
// against 10,500 to 12,800), and the input buffer shared.
//
// # Known faults of evio, which no user of it can mend
//
//   - A Wake while a write is pending replaces the bytes that were not written
//     yet (loopWake assigns to the connection's buffer; issue 72). So as soon
//     as a second message to a connection comes before the first is in its
//     socket, messages are lost, and a connection may break in the middle of a
//     frame. With one message under way it is exact.
//   - An error of accept(2), EMFILE among them, ends the loop, and Serve.
//   - A client that sends while it does not read makes the loop spin: whatever
//     the event, a connection with unsent bytes is written to.
//   - A failing epoll_ctl panics.
//   - Every Wake is a write to the loop's eventfd, one per delivery.
package main

import (
	"context"
	"fmt"

	"github.com/tidwall/evio"

	"c10m/bench/baseline/feed"
)

func main() { feed.Main("evio", serve) }

func serve(ctx context.Context, f *feed.Feed, listen string) error {
	s := newServer()
	ended := make(chan error, 2)
	go func() { ended <- f.Run(ctx, s.publish) }()
	go func() {
		err := evio.Serve(evio.Events{
			NumLoops:    -1,
			LoadBalance: evio.Random,
			Opened:      s.opened,
			Closed:      s.closed,
			Data:        s.data,
		}, "tcp://"+listen)
		if err == nil {
			err = fmt.Errorf("an accept or an epoll failed, and evio does not say how")
		}
		ended <- err
	}()
	return <-ended
}
