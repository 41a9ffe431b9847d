package bus

import (
	"context"
	"sync"
	"time"

	"c10m/channel"
)

// A Bus is what main and admin see of a driver. All methods may be called from any
// goroutine.
type Bus interface {
	Publishable
	// Health is a snapshot of whether published messages reach this server.
	Health() Health
	// Stats is a snapshot of the counters, read one by one.
	Stats() Stats
	// Close ends the bus and waits for its goroutines until ctx is done, whose
	// error it then returns. A second call does nothing.
	Close(ctx context.Context) error
}

// A Publishable is what can be published to: a Bus, and Repeats in front of one.
type Publishable interface {
	// PublishBatch publishes in order and says in each Publication what became of
	// it. It may block as long as the bus does. Any goroutine may call it.
	PublishBatch(ctx context.Context, batch []*Publication)
}

// A Door is the way into the loops. channel.Hub is one; tests bring their own.
// A driver calls it from many goroutines at once.
type Door interface {
	Counter
	// Publish hands a message to the loops and copies what it keeps: both
	// slices are the caller's again on return. Two calls from one goroutine
	// arrive in call order. It may block, which is the backpressure of the
	// loops on the publishers. An error means that nobody gets the message;
	// its text is shown to the publisher.
	Publish(channel, payload []byte) (*channel.Receipt, error)
	// Channels lists channels with at least one WebSocket connection for which
	// match returns true, at most max of them. match keeps nothing, never
	// blocks, and takes time linear in the name's length.
	Channels(match func(name string) bool, max int) []string
}

var _ Door = (*channel.Hub)(nil)

// A Counter knows how many WebSocket connections each channel has here, in the
// order asked.
type Counter interface{ Count(channels []string) []int }

// Health says whether a message published now reaches this server's clients.
type Health struct {
	// Up is true while the bus is known to work.
	Up bool
	// Since is when Up last changed.
	Since time.Time
	// Reason is one sentence for the operator. Empty while up.
	Reason string
	// Gaps counts the times that the subscription was, or may have been,
	// interrupted after it had been up. A broker without a log cannot say what was lost.
	Gaps uint64
	// GapFrom and GapTo bound the latest gap: the last sign of life before it,
	// and the confirmed subscription after it. Messages published between them
	// may be lost. GapTo is zero while the gap is open; both are without one.
	GapFrom, GapTo time.Time
}

// Set notes whether the bus works, and the reason if not.
func (h *Health) Set(up bool, reason string) {
	if h.Up != up {
		h.Since = time.Now()
	}
	h.Up, h.Reason = up, reason
}

// WaitFor waits for goroutines until ctx is done, whose error it then returns.
func WaitFor(ctx context.Context, goroutines *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		goroutines.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A Gap is a time in which messages may have been published that did not reach
// this server: from the last sign of life of a subscription, or the start, to
// the confirmation of the next one that worked.
type Gap struct{ From, To time.Time }

// A message on a channel that begins with channel.Reserved never reaches the Door:
// no WebSocket client may subscribe to one (its path would be the server's own page).
// They are for what servers say to each other, and to themselves.

// ProbePrefix begins the channel on which one server hears itself.
const ProbePrefix = channel.Reserved + "c10m/probe/"
