package redisbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"c10m/bus"

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

// PublishBatch implements bus.Publishable: a pipeline of PUBLISH. While health is red
// everything fails at once, since nobody here would hear what is published.
func (r *Redis) PublishBatch(ctx context.Context, batch []*bus.Publication) {
	if len(batch) == 0 {
		return
	}
	if reason, err := r.refuses(); err != nil {
		for _, p := range batch {
			p.Err = err
		}
		r.count.Unpublished[reason].Add(uint64(len(batch)))
		return
	}
	pipeline := r.publishing.Pipeline()
	begun := &firstPayload{bytes: batch[0].Payload}
	answers := make([]*redis.IntCmd, len(batch))
	for i, p := range batch {
		var payload any = p.Payload
		if i == 0 {
			payload = begun
		}
		answers[i] = pipeline.Publish(ctx, string(p.Channel), payload)
		answers[i].SetVal(unanswered)
	}
	var role *redis.Cmd
	if r.tellsRole.Load() {
		// Last, since a master that is demoted has published what came before.
		role = pipeline.Do(ctx, "role")
	}
	_, err := pipeline.Exec(ctx)
	sent := attempt{began: begun.isWritten, err: err, replica: r.replicaNow(role)}
	for i, p := range batch {
		var reason bus.PublishFailure
		p.Subscribers = int(max(0, answers[i].Val()))
		if reason, p.Err = sent.outcome(answers[i].Err(), isAnswered(answers, i)); p.Err != nil {
			r.count.Unpublished[reason].Add(1)
		}
	}
	if sent.replica != nil {
		r.wasReplica.Store(true)
	}
	if cause := sent.trouble(answers); cause != nil && !r.isClosing.Load() {
		r.trouble(fmt.Errorf("it does not take what clients publish: %w", cause))
	}
}

// refuses says why nothing can be published now.
func (r *Redis) refuses() (bus.PublishFailure, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.health.Up:
		return bus.PublishDown, bus.Unpublished(r.health.Reason)
	case r.replicaOf != "":
		return bus.PublishReplica, bus.Unpublished("Redis at " + r.options.Addr + " is a replica, and what is published at it reaches nobody elsewhere: publish at its master " + r.replicaOf)
	}
	return 0, nil
}

// replicaNow returns an error if the Redis that took a batch says that it is no
// master. No answer is none: Redis has answered to the messages themselves.
func (r *Redis) replicaNow(role *redis.Cmd) error {
	if role == nil || role.Err() != nil || role.Val() == nil {
		return nil
	}
	m, err := parseRole(role.Val())
	if err == nil && m.role == roleReplica {
		err = newRoleError(false, "it is a replica of %s now, so what was published at it reached nobody elsewhere", m.master)
	}
	return err
}

// firstPayload is the payload of a batch's first message. go-redis asks for it when it
// writes the batch to a connection that is ready, and never before: if it was not
// asked for, nothing of the batch has left.
type firstPayload struct {
	bytes     []byte
	isWritten bool
}

func (f *firstPayload) MarshalBinary() ([]byte, error) {
	f.isWritten = true
	return f.bytes, nil
}

// unanswered is the value of a PUBLISH whose reply go-redis did not begin to read.
const unanswered = -1

// isAnswered reports whether the reply to a PUBLISH was read and is a number. The
// error of the command does not say it: go-redis leaves it nil if there was no
// connection for the batch, and sets it for those that were answered when the
// connection ends behind them. So it was read if it is above 0, which no failed
// reading leaves, or if the next one was begun.
func isAnswered(answers []*redis.IntCmd, i int) bool {
	value := answers[i].Val()
	return value > 0 || value == 0 && (answers[i].Err() == nil || i+1 < len(answers) && answers[i+1].Val() != unanswered)
}

var errNoAnswer = errors.New("Redis did not answer")

// An attempt is what became of a pipeline as a whole.
type attempt struct {
	began   bool  // its first byte may have been sent
	err     error // of Exec
	replica error // the member says that it is no master
}

// outcome decides what became of one message, by the error of its command and whether
// its reply was read. What is not known is not confirmed.
func (a *attempt) outcome(err error, answered bool) (bus.PublishFailure, error) {
	said, isReply := err.(redis.Error) // Redis's own, not one that wraps it
	switch {
	case !a.began:
		return bus.PublishUnreached, bus.Unpublished(bus.Clip(cmp.Or(err, a.err, errNoAnswer).Error()))
	case isReply && !errors.Is(err, redis.Nil):
		return bus.PublishRefused, bus.Unpublished(bus.Clip(said.Error())) // as with NOPERM
	case isReply, !answered: // null is no answer to PUBLISH
		return bus.PublishUnconfirmed, cmp.Or(err, a.err, errNoAnswer)
	case a.replica != nil:
		return bus.PublishUnconfirmed, a.replica
	}
	return 0, nil
}

// trouble returns the error that says something about the bus and not about one
// message. A user may be forbidden single channels, and all connections may be busy;
// an answer that is missing is for the next probe to explain.
func (a *attempt) trouble(answers []*redis.IntCmd) error {
	if a.replica != nil {
		return a.replica
	}
	if !a.began && a.err != nil {
		if errors.Is(a.err, redis.ErrPoolTimeout) || errors.Is(a.err, context.Canceled) {
			return nil
		}
		return a.err
	}
	for _, answer := range answers {
		if said, isReply := answer.Err().(redis.Error); isReply && !redis.IsPermissionError(said) && !errors.Is(said, redis.Nil) {
			return said
		}
	}
	return nil
}
