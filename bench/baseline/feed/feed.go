// Package feed is the way from a Redis into a baseline server of this module:
// one subscription to all channels, read by the library that users would take.
package feed

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// A Feed is a subscription to every channel of a Redis.
type Feed struct {
	// Fixed after construction.
	client       *redis.Client
	subscription *redis.PubSub
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
