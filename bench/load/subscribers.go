package load

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Subscribers asks a bus how many subscribers a channel has. The embedded bus of a
// server counts that server's connections; a Redis counts who said SUBSCRIBE, which
// servers of this project do not. One goroutine may ask.
type Subscribers struct {
	client *redis.Client
}

// answerMax bounds the wait for an answer: the loops of a server give it, each when it
// comes to it.
const answerMax = 5 * time.Second

// AskBus connects to address when it is first asked.
func AskBus(address, password string) Subscribers {
	return Subscribers{redis.NewClient(&redis.Options{Addr: address, Password: password, Protocol: 2,
		DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 1,
		DialTimeout: busTimeout, ReadTimeout: answerMax, ContextTimeoutEnabled: true})}
}

// Of returns the number of a channel (PUBSUB NUMSUB).
func (s Subscribers) Of(ctx context.Context, channel string) (int, error) {
	counts, err := s.client.PubSubNumSub(ctx, channel).Result()
	if err != nil {
		return 0, fmt.Errorf("the bus does not say who subscribes to %s: %w", channel, err)
	}
	return int(counts[channel]), nil
}

// Close ends the connection.
func (s Subscribers) Close() error { return s.client.Close() }
