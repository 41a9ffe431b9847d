package bus

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"c10m/channel"

	"go.uber.org/zap"
)

// An Uplink carries what WebSocket clients publish from the loops to the bus,
// where it takes the way of any other PUBLISH. Each loop has a queue, and each
// queue a goroutine that publishes its messages one after the other, so what one
// connection says to a channel stays in order.
//
// A message that was taken is published once, or its connection is told through
// channel.Feedback that it may be lost. Who waits for an answer gets it in any case. Nothing is
// tried again: if the bus went away in the middle, nobody knows whether it had it, and it
// must not come twice.
type Uplink struct {
	// Fixed after construction.
	queueBytesMax int
	log           *zap.Logger
	ctx           context.Context // ends when Close gives up
	cancel        context.CancelFunc

	mu sync.Mutex
	// Guarded by mu.
	queues   []*UplinkQueue
	failures LogLimit

	counter Counter // fixed by Start

	ended   sync.WaitGroup
	closing atomic.Bool // shared
}

// NewUplink makes an Uplink whose queues may hold so many bytes each, what a
// message takes beside its payload included. Its queues fill until Start.
func NewUplink(queueBytesMax int, log *zap.Logger) *Uplink {
	u := &Uplink{queueBytesMax: queueBytesMax, log: log}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u
}

// Queue makes the queue of one loop. Any goroutine may call it, before Start.
func (u *Uplink) Queue(feedback channel.Feedback) *UplinkQueue {
	q := &UplinkQueue{uplink: u, feedback: feedback, wake: make(chan struct{}, 1)}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.queues = append(u.queues, q)
	return q
}

// Start begins to publish to a bus what is and will be in the queues. counter is asked
// where the bus does not say to how many connections a message goes.
func (u *Uplink) Start(to Publishable, counter Counter) {
	u.mu.Lock()
	u.counter = counter
	defer u.mu.Unlock()
	for _, q := range u.queues {
		u.ended.Go(func() { q.run(to) })
	}
}

// Close publishes what is in the queues, until ctx is done, whose error it then
// returns. The loops must have ended their connections, or at least their feedback
// must still be heard.
func (u *Uplink) Close(ctx context.Context) error {
	u.closing.Store(true)
	u.mu.Lock()
	for _, q := range u.queues {
		q.signal()
	}
	u.mu.Unlock()
	defer u.cancel()
	return WaitFor(ctx, &u.ended)
}

// failed logs that messages were lost, and seldom.
func (u *Uplink) failed(messages int, err error) {
	u.mu.Lock()
	lines := u.failures.Allow(time.Now())
	u.mu.Unlock()
	if lines > 0 {
		u.log.Warn("messages of WebSocket clients could not be published, and the clients were told",
			zap.Int("messages", messages), zap.Uint64("times", lines), zap.String("reason", Clip(err.Error())))
	}
}

// An UplinkQueue is one loop's end of an Uplink. Publish and Full are for that
// loop's thread, which takes no lock for them: the queue is an atomic stack that
// the goroutine takes whole and turns round, as a loop does with its mailbox.
type UplinkQueue struct {
	// Fixed after construction.
	uplink   *Uplink
	feedback channel.Feedback
	wake     chan struct{}

	// Shared: atomic.
	shortcut atomic.Pointer[KeyedShortcut] // nil: every message goes by the queue
	top      atomic.Pointer[Publication]
	count    atomic.Int64
	bytes    atomic.Int64
	asleep   atomic.Bool // the goroutine waits, or is about to; the next message wakes it
	waiting  atomic.Bool // the loop holds its clients back
}

// TakeShortcut has messages go by a shortcut from now on, if that is free and the queue is
// empty: no message overtakes one that its sender said before. Any goroutine may call it.
func (q *UplinkQueue) TakeShortcut(s *KeyedShortcut) { q.shortcut.Store(s) }

// Publish takes a message, whose slices it copies, unless the queue is at
// uplinkHardFactor times its limit. from names the sender to channel.Feedback.
func (q *UplinkQueue) Publish(from uint64, channel, payload []byte) (taken bool) {
	if way := q.shortcut.Load(); way != nil && q.IsQuiet() {
		if _, ok := way.publish(channel, nil, payload, false); ok {
			return true
		}
	}
	return q.put(from, channel, nil, payload, false)
}

// PublishNow publishes a message by the shortcut, past what is in the queue. If it cannot,
// PublishAnswered is the way. The outcome has the arguments.
func (q *UplinkQueue) PublishNow(channel, key, payload []byte) (o channel.Outcome, ok bool) {
	if way := q.shortcut.Load(); way != nil {
		return way.publish(channel, key, payload, true)
	}
	return o, false
}

// PublishAnswered is Publish for a sender who is told with channel.Feedback.Published what
// became of the message, and not with channel.Feedback.PublishFailed. key may be empty; see
// Publication.Key.
func (q *UplinkQueue) PublishAnswered(from uint64, channel, key, payload []byte) (taken bool) {
	return q.put(from, channel, key, payload, true)
}

// IsQuiet reports whether nothing is in the queue.
func (q *UplinkQueue) IsQuiet() bool { return q.count.Load() == 0 }

func (q *UplinkQueue) put(from uint64, channel, key, payload []byte, isAnswered bool) (taken bool) {
	if q.over(uplinkHardFactor) {
		return false
	}
	all := make([]byte, len(channel)+len(key)+len(payload))
	n := copy(all, channel)
	k := n + copy(all[n:], key)
	copy(all[k:], payload)
	p := &Publication{Channel: all[:n:n], Key: all[n:k:k], Payload: all[k:], from: from, isAnswered: isAnswered}
	q.count.Add(1)
	q.bytes.Add(p.cost())
	for {
		top := q.top.Load()
		p.next = top
		if q.top.CompareAndSwap(top, p) {
			break
		}
	}
	q.signal()
	return true
}

// Full reports that the queue is at its limit. After a true, channel.Feedback.Room is
// called once there is room again (hasRoom).
func (q *UplinkQueue) Full() bool { return q.announced(func() bool { return q.over(1) }) }

// IsBacklogged reports that so much takes the long way that nobody might find the shortcut
// free again: who says messages without waiting is not to be read from until the queue is
// empty. It is followed by Room as Full is.
func (q *UplinkQueue) IsBacklogged() bool {
	return q.shortcut.Load() != nil && q.announced(func() bool { return q.count.Load() >= shortcutBacklogMax })
}

// announced reports whether clients have to wait. It announces that first and looks again
// second; the goroutine does it the other way round, so one of the two sees the other.
func (q *UplinkQueue) announced(wait func() bool) bool {
	if !wait() {
		return false
	}
	q.waiting.Store(true)
	return wait()
}

func (q *UplinkQueue) hasRoom() bool {
	if q.shortcut.Load() != nil {
		return q.IsQuiet()
	}
	return q.count.Load() <= uplinkMessagesMax/2 && q.bytes.Load() <= int64(q.uplink.queueBytesMax)/2
}

func (q *UplinkQueue) over(factor int64) bool {
	return q.count.Load() >= factor*uplinkMessagesMax || q.bytes.Load() >= factor*int64(q.uplink.queueBytesMax)
}

// signal wakes the goroutine if it sleeps. The channel has room for the one
// token that can be under way, so the send never waits; its lock is held by
// nobody but the goroutine on its way to sleep.
func (q *UplinkQueue) signal() {
	if q.asleep.Load() && q.asleep.CompareAndSwap(true, false) {
		q.wake <- struct{}{}
	}
}

// run publishes until the Uplink is closed and the queue empty.
func (q *UplinkQueue) run(to Publishable) {
	for {
		batch := q.take()
		for len(batch) > 0 {
			n := portion(batch)
			q.publish(to, batch[:n])
			batch = batch[n:]
		}
		if q.top.Load() != nil {
			continue
		}
		q.asleep.Store(true)
		idle := q.top.Load() == nil
		if idle && q.uplink.closing.Load() {
			return
		}
		if idle || !q.asleep.CompareAndSwap(true, false) {
			<-q.wake
		}
	}
}

// take empties the stack, oldest first.
func (q *UplinkQueue) take() (batch []*Publication) {
	for p := q.top.Swap(nil); p != nil; {
		batch = append(batch, p)
		p, p.next = p.next, nil
	}
	slices.Reverse(batch)
	return batch
}

// publish hands a portion to the bus and tells the senders whose messages failed.
func (q *UplinkQueue) publish(to Publishable, batch []*Publication) {
	to.PublishBatch(q.uplink.ctx, batch)
	var failed []channel.Outcome
	var answered []*Publication
	var first error
	lost := 0
	for _, p := range batch {
		q.count.Add(-1)
		q.bytes.Add(-p.cost())
		if p.Err != nil {
			lost++
			if first == nil {
				first = p.Err
			}
		}
		switch {
		case p.isAnswered:
			answered = append(answered, p)
		case p.Err != nil:
			failed = append(failed, channel.Outcome{From: p.from, Channel: p.Channel, Fate: p.Fate()})
		}
	}
	if lost > 0 {
		q.uplink.failed(lost, first)
	}
	if failed != nil {
		q.feedback.PublishFailed(failed)
	}
	if q.hasRoom() && q.waiting.CompareAndSwap(true, false) {
		q.feedback.Room()
	}
	if answered != nil {
		q.feedback.Published(q.outcomes(answered))
	}
}

// outcomes are those of messages whose senders wait for them. It waits for the loops:
// they have had the messages, so those that are published next are not behind them.
func (q *UplinkQueue) outcomes(answered []*Publication) []channel.Outcome {
	all := make([]channel.Outcome, len(answered))
	connections := CountConnections(answered, q.uplink.counter)
	for i, p := range answered {
		all[i] = channel.Outcome{
			From: p.from, Channel: p.Channel, Key: p.Key, Fate: p.Fate(), ID: p.ID(),
			Connections: connections[i], Subscribers: p.Subscribers,
		}
	}
	return all
}
