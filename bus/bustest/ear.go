package bustest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"c10m/bus"
	"c10m/channel"
	"c10m/internal/patience"

	"go.uber.org/zap"
)

// An Ear is a bus.Feedback that writes down what it is told.
type Ear struct {
	mu       sync.Mutex
	failed   []uint64
	outcomes []channel.Outcome
	rooms    int
}

// Room implements bus.Feedback.
func (e *Ear) Room() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rooms++
}

// Published implements bus.Feedback.
func (e *Ear) Published(outcomes []channel.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outcomes = append(e.outcomes, outcomes...)
}

// PublishFailed implements bus.Feedback.
func (e *Ear) PublishFailed(failed []channel.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range failed {
		if o.Fate == channel.FatePublished || len(o.Channel) == 0 {
			panic("a failure that is none")
		}
		e.failed = append(e.failed, o.From)
	}
}

// Rooms is how often there was room.
func (e *Ear) Rooms() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rooms
}

// Failed names the senders that were told of a failure, in order.
func (e *Ear) Failed() []uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.failed)
}

// Outcomes are those that came, in order.
func (e *Ear) Outcomes() []channel.Outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.outcomes)
}

// StartUplink has an Uplink publish until the test ends, with a queue for each ear.
// counter may be nil if nobody waits for answers.
func StartUplink(t testing.TB, to bus.Publishable, counter bus.Counter, queueBytesMax int, ears ...*Ear) (*bus.Uplink, []*bus.UplinkQueue) {
	t.Helper()
	u := bus.NewUplink(queueBytesMax, zap.NewNop())
	var queues []*bus.UplinkQueue
	for _, ear := range ears {
		queues = append(queues, u.Queue(ear))
	}
	u.Start(to, counter)
	t.Cleanup(func() { Close(t, u) })
	return u, queues
}

// Close ends an Uplink, which publishes what is left, or a bus.
func Close(t testing.TB, c interface{ Close(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}
