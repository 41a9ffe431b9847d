package redisbus

import (
	"context"
	"errors"
)

// ErrUnpublished is what a Publication's error is (errors.Is) if the message was
// surely not published. With another error nobody knows: the answer is missing.
var ErrUnpublished = errors.New("the message was not published")

// unpublished is an ErrUnpublished with the reason for its text.
type unpublished string

func (u unpublished) Error() string        { return string(u) }
func (u unpublished) Is(target error) bool { return target == ErrUnpublished }

// errNotReached is of the messages behind those that failed.
const errNotReached = unpublished("a message before it failed")

// PublishAll publishes a batch in order, as PublishBatch does, but hands the bus
// as much at once as an Uplink does, and no more once some of it failed: what
// follows is then ErrUnpublished. Any goroutine may call it, and it may block as
// long as the bus does.
func PublishAll(ctx context.Context, bus Publishable, batch []*Publication) {
	for len(batch) > 0 {
		n := portion(batch)
		bus.PublishBatch(ctx, batch[:n])
		failed := false
		for _, p := range batch[:n] {
			failed = failed || p.Err != nil
		}
		batch = batch[n:]
		if failed {
			for _, p := range batch {
				p.Err = errNotReached
			}
			return
		}
	}
}

// ID is the id that the message has here (channel.Message), empty where Connections
// is not known.
func (p *Publication) ID() string {
	switch {
	case p.first != nil:
		return p.first.id
	case p.receipt == nil:
		return ""
	}
	return p.receipt.ID()
}

// Connections waits until each loop has said how many of its connections the
// message goes to, which is one turn of the busiest loop, and returns the sum. It
// is not known for a message that failed, and at a real Redis, from where the
// message comes later like everybody's. One goroutine may call it, after
// PublishBatch.
func (p *Publication) Connections() (n int, known bool) {
	switch {
	case p.first != nil:
		return p.first.connections, p.Err == nil
	case p.receipt == nil:
		return 0, false
	}
	return p.receipt.Wait(), true
}
