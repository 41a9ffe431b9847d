// Package feed is the way from a Redis into a baseline server of this module:
// one subscription to all channels, read by the library that users would take.
package feed

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
)

// A Feed is a subscription to every channel of a Redis.
type Feed struct {
	// Fixed after construction.
	client       *redis.Client
	subscription *redis.PubSub
}

// Main is the main function of a baseline: serve has a subscription and the
// address to listen on, and returns why it ended.
func Main(name string, serve func(ctx context.Context, f *Feed, listen string) error) {
	listen := flag.String("listen", "127.0.0.1:10000", "address and port to listen on")
	redis := flag.String("redis", "127.0.0.1:6379", "the Redis to subscribe at")
	flag.Parse()
	ctx := context.Background()
	f, err := Subscribe(ctx, *redis)
	if err == nil {
		err = serve(ctx, f, *listen)
		f.Close()
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}

// Subscribe returns once Redis has confirmed, so that a server which listens
// only then has missed nothing.
func Subscribe(ctx context.Context, address string) (*Feed, error) {
	f := &Feed{client: redis.NewClient(&redis.Options{Addr: address})}
	f.subscription = f.client.PSubscribe(ctx, "*")
	if _, err := f.subscription.Receive(ctx); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot subscribe at the Redis at %s: %w; name another with --redis", address, err)
	}
	return f, nil
}

// Run hands every message to deliver, one after the other, until Redis is gone
// or ctx ends. ReceiveMessage and not Channel: its buffer drops messages when
// deliver is slower than the publisher, while this leaves them to Redis.
func (f *Feed) Run(ctx context.Context, deliver func(channel string, payload []byte)) error {
	for {
		message, err := f.subscription.ReceiveMessage(ctx)
		if err != nil {
			return fmt.Errorf("the subscription ended: %w", err)
		}
		deliver(message.Channel, []byte(message.Payload))
	}
}

// Close ends the subscription.
func (f *Feed) Close() {
	f.subscription.Close()
	f.client.Close()
}
