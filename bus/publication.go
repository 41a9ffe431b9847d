package bus

import (
	"context"
	"errors"

	"c10m/channel"
)

// A Publication is a message on its way to the bus, and what became of it there.
type Publication struct {
	// Set by the publisher.
	Channel, Payload []byte
	// Key has the message published once, however often it comes (Repeats). Empty: no key.
	Key []byte

	// Set by PublishBatch. Err says why the bus did not take the message, or that it did
	// not answer. It is ErrUnpublished (errors.Is) if it surely was not published.
	Err error
	// Subscribers is how many others it went to: RESP subscribers, each other server
	// being one. At a real Redis it is what PUBLISH answered, this server included.
	Subscribers int
	// Receipt tells what the loops say of it. nil where the message failed, or where the
	// loops get it later, as from a broker.
	Receipt Receipt

	// The Uplink's.
	from       uint64
	next       *Publication
	isAnswered bool // its sender waits for Feedback.Published
}

// A Receipt is what is known here of a message that the loops have. A channel.Receipt
// is one.
type Receipt interface {
	// ID is the id that the message has here (channel.Message), empty if none.
	ID() string
	// Wait waits until each loop has said how many of its connections the message goes
	// to, which is one turn of the busiest loop, and returns the sum. One goroutine calls it.
	Wait() int
}

var _ Receipt = (*channel.Receipt)(nil)

// ErrUnpublished is what a Publication's error is (errors.Is) if the message was
// surely not published. With another error nobody knows: the answer is missing.
var ErrUnpublished = errors.New("the message was not published")

// Unpublished is an ErrUnpublished with the reason for its text.
type Unpublished string

func (u Unpublished) Error() string        { return string(u) }
func (u Unpublished) Is(target error) bool { return target == ErrUnpublished }

// ErrKeyReused is what a Publication's error is (errors.Is) if its key was given to another
// message of the channel before. Such a message is ErrUnpublished, too.
var ErrKeyReused = errors.New("its key was another message's")

type keyReused struct{}

func (keyReused) Error() string { return ErrKeyReused.Error() }
func (keyReused) Is(target error) bool {
	return target == ErrKeyReused || target == ErrUnpublished
}

// ID is the id that the message has here, empty where it is not known.
func (p *Publication) ID() string {
	if p.Receipt == nil {
		return ""
	}
	return p.Receipt.ID()
}

// Connections waits for the loops (Receipt.Wait) and returns how many connections the
// message goes to. It is not known for a message that failed, and where the loops get
// it later. One goroutine may call it, after PublishBatch.
func (p *Publication) Connections() (n int, known bool) {
	if p.Receipt == nil || p.Err != nil {
		return 0, false
	}
	return p.Receipt.Wait(), true
}

// CountConnections returns to how many connections each message went. Where the bus does
// not say, as a broker from where messages come later, it is how many the channel has now,
// which counter is asked once for all. It waits for the loops, a turn of the busiest one
// for all messages together. Of a message that failed it is 0.
func CountConnections(messages []*Publication, counter Counter) []int {
	connections := make([]int, len(messages))
	var names []string
	var asked map[string][]int // places, by channel
	for i, p := range messages {
		n, known := p.Connections()
		if connections[i] = n; known || p.Err != nil {
			continue
		}
		if asked == nil {
			asked = make(map[string][]int)
		}
		name := string(p.Channel)
		if asked[name] == nil {
			names = append(names, name)
		}
		asked[name] = append(asked[name], i)
	}
	if names == nil {
		return connections
	}
	for at, n := range counter.Count(names) {
		for _, i := range asked[names[at]] {
			connections[i] = n
		}
	}
	return connections
}

// Fate is what became of a message that was handed to the bus.
func (p *Publication) Fate() channel.Fate {
	switch {
	case p.Err == nil:
		return channel.FatePublished
	case errors.Is(p.Err, ErrKeyReused):
		return channel.FateKeyReused
	case errors.Is(p.Err, ErrUnpublished):
		return channel.FateUnpublished
	}
	return channel.FateUnconfirmed
}

// cost is what it counts against a queue's limit.
func (p *Publication) cost() int64 {
	return int64(len(p.Channel) + len(p.Key) + len(p.Payload) + publicationBytesExtra)
}

// portion is how many messages go to the bus at once.
func portion(batch []*Publication) int {
	bytes := int64(0)
	for i, p := range batch {
		if bytes += p.cost(); i > 0 && (i == uplinkBatchMax || bytes > uplinkBatchBytesMax) {
			return i
		}
	}
	return len(batch)
}

// errNotReached is of the messages behind those that failed.
const errNotReached = Unpublished("a message before it failed")

// PublishAll publishes a batch in order, as PublishBatch does, but hands the bus
// as much at once as an Uplink does, and no more once some of it failed: what
// follows is then ErrUnpublished. Any goroutine may call it, and it may block as
// long as the bus does.
func PublishAll(ctx context.Context, to Publishable, batch []*Publication) {
	for len(batch) > 0 {
		n := portion(batch)
		to.PublishBatch(ctx, batch[:n])
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
