// Package feed is the way from a Redis into a peer: one subscription to all
// channels. It is a copy in small of c10m/bench/baseline/feed, since this module
// does not need the server's.
package feed

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Run subscribes, calls ready once Redis has confirmed, and then hands every
// message to deliver, one after the other, until Redis is gone.
// ReceiveMessage and not Channel: its buffer drops messages when deliver is
// slower than the publisher, while this leaves them to Redis.
func Run(ctx context.Context, address string, ready func(), deliver func(channel string, payload []byte)) error {
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	subscription := client.PSubscribe(ctx, "*")
	defer subscription.Close()
	if _, err := subscription.Receive(ctx); err != nil {
		return fmt.Errorf("cannot subscribe at the Redis at %s: %w; name another with --redis", address, err)
	}
	ready()
	for {
		message, err := subscription.ReceiveMessage(ctx)
		if err != nil {
			return fmt.Errorf("the subscription ended: %w", err)
		}
		deliver(message.Channel, []byte(message.Payload))
	}
}
