package redisbus

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// newPublishClient is the client that what WebSocket clients say goes through.
// It dials at the first message. Like the subscription it tries nothing twice: a
// PUBLISH whose answer is missing may have been done.
func (r *Redis) newPublishClient() *redis.Client {
	options := r.options
	options.PoolSize = publishConnectionsMax
	options.PoolTimeout = r.cfg.ProbeTimeout
	return redis.NewClient(&options)
}

// PublishBatch implements Publishable: a pipeline of PUBLISH. While health is red
// everything fails at once, since nobody here would hear what is published.
func (r *Redis) PublishBatch(ctx context.Context, batch []*Publication) {
	if health := r.Health(); !health.Up {
		err := unpublished(health.Reason)
		for _, p := range batch {
			p.Err = err
		}
		return
	}
	pipeline := r.publishing.Pipeline()
	answers := make([]*redis.IntCmd, len(batch))
	for i, p := range batch {
		answers[i] = pipeline.Publish(ctx, string(p.Channel), p.Payload)
	}
	// The error of the whole is that of the first that failed: each has its own.
	_, _ = pipeline.Exec(ctx)
	for i, p := range batch {
		p.Err, p.Subscribers = answers[i].Err(), int(answers[i].Val())
		var refused redis.Error
		if errors.As(p.Err, &refused) {
			// Redis itself said no, as with NOPERM.
			p.Err = unpublished(clip(refused.Error()))
		}
	}
}
