package redisbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"c10m/channel"
)

// A loopEar is a Feedback that writes down what it is told.
type loopEar struct {
	mu       sync.Mutex
	failed   []uint64
	outcomes []channel.Outcome
	rooms    int
}

func (e *loopEar) Room() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rooms++
}

func (e *loopEar) Published(outcomes []channel.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outcomes = append(e.outcomes, outcomes...)
}

func (e *loopEar) PublishFailed(failed []channel.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range failed {
		if o.Fate == channel.FatePublished || len(o.Channel) == 0 {
			panic("a failure that is none")
		}
		e.failed = append(e.failed, o.From)
	}
}

// heard waits until the ear has heard enough.
func (e *loopEar) heard(t *testing.T, what string, enough func(*loopEar) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return enough(e)
	})
}

func startUplink(t *testing.T, bus Publishable, queueBytesMax int, ears ...*loopEar) (*Uplink, []*UplinkQueue) {
	t.Helper()
	u := NewUplink(queueBytesMax, nopLog)
	var queues []*UplinkQueue
	for _, ear := range ears {
		queues = append(queues, u.Queue(ear))
	}
	u.Start(bus, nil)
	t.Cleanup(func() { closeUplink(t, u) })
	return u, queues
}

func closeUplink(t *testing.T, u *Uplink) {
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	if err := u.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// What clients say takes the way of a PUBLISH: the Door hears it, RESP
// subscribers hear it, and both in the order in which each loop said it.
func TestUplinkIsAPublish(t *testing.T) {
	door := testDoor()
	b := startEmbedded(t, door, "")
	sub := dialRaw(t, b.Addr().String())
	sub.send(cmd("SUBSCRIBE", "news"))
	sub.readReply()
	ears := []*loopEar{{}, {}, {}}
	u, queues := startUplink(t, b, 8<<20, ears...)
	const each = 1500
	var loops sync.WaitGroup
	for i, q := range queues {
		loops.Go(func() {
			buffer := make([]byte, 0, 32)
			for n := range each {
				buffer = fmt.Appendf(buffer[:0], "%d %d", i, n)
				if !q.Publish(uint64(i), []byte("news"), buffer) {
					t.Errorf("message %d was not taken", n)
				}
				clear(buffer) // the queue keeps nothing that it was lent
			}
		})
	}
	loops.Wait()
	closeUplink(t, u) // publishes what is left
	inOrder := func(next *[3]int, text string) {
		var loop, n int
		if _, err := fmt.Sscanf(text, "%d %d", &loop, &n); err != nil || n != next[loop] {
			t.Fatalf("%q where %d is due: %v", text, next, err)
		}
		next[loop]++
	}
	var atDoor, atSubscriber [3]int
	for _, m := range door.all() {
		inOrder(&atDoor, m.payload)
	}
	for range len(queues) * each {
		push := sub.readReply()
		inOrder(&atSubscriber, strings.Split(strings.TrimSuffix(push, "\r\n"), "\r\n")[6])
	}
	if want := [3]int{each, each, each}; atDoor != want || atSubscriber != want {
		t.Errorf("the Door has %d of each loop, the subscriber %d, want %d", atDoor, atSubscriber, want)
	}
}

// A blockedBus takes nothing until it is let go, and fails what it is told to.
type blockedBus struct {
	gate chan struct{}
	fail error

	mu   sync.Mutex
	took []string
}

func (b *blockedBus) PublishBatch(_ context.Context, batch []*Publication) {
	<-b.gate
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range batch {
		b.took = append(b.took, string(p.Payload))
		p.Err = b.fail
	}
}

// A full queue says so, refuses nothing up to its hard limit, and says when
// there is room.
func TestUplinkFull(t *testing.T) {
	for _, c := range []struct {
		name          string
		payload       string
		queueBytesMax int
		soft, hard    int // messages
	}{
		{"messages", "", 64 << 20, uplinkMessagesMax, uplinkHardFactor * uplinkMessagesMax},
		{"bytes", strings.Repeat("x", 10_000-publicationBytesExtra-1), 200_000, 20, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			bus := &blockedBus{gate: make(chan struct{})}
			ear := &loopEar{}
			_, queues := startUplink(t, bus, c.queueBytesMax, ear)
			q := queues[0]
			for n := range c.hard + 1 {
				if isFull := q.Full(); isFull != (n >= c.soft) {
					t.Fatalf("with %d messages under way, Full is %v", n, isFull)
				}
				if taken := q.Publish(1, []byte("c"), []byte(c.payload)); taken != (n < c.hard) {
					t.Fatalf("message %d was taken: %v", n+1, taken)
				}
			}
			if ear.rooms != 0 {
				t.Fatal("there is room, and nothing was published")
			}
			close(bus.gate)
			ear.heard(t, "there is room", func(e *loopEar) bool { return e.rooms == 1 })
			if q.Full() {
				t.Error("there is room, and Full says no")
			}
			eventually(t, "all is published", func() bool { return q.count.Load() == 0 && q.bytes.Load() == 0 })
			if len(bus.took) != c.hard {
				t.Errorf("the bus has %d messages, and %d were taken", len(bus.took), c.hard)
			}
		})
	}
}

// Each sender whose message failed is named, once per message, and no other.
func TestUplinkFailures(t *testing.T) {
	bus := &blockedBus{gate: make(chan struct{}), fail: errors.New("no")}
	close(bus.gate)
	ears := []*loopEar{{}, {}}
	u, queues := startUplink(t, bus, 1<<20, ears...)
	for from := range uint64(600) {
		queues[0].Publish(from, []byte("c"), nil)
	}
	closeUplink(t, u)
	for i, from := range ears[0].failed {
		if from != uint64(i) {
			t.Fatalf("failure %d names %d", i, from)
		}
	}
	if len(ears[0].failed) != 600 || len(ears[1].failed) != 0 {
		t.Errorf("%d and %d failures, want 600 and 0", len(ears[0].failed), len(ears[1].failed))
	}
}

// Who waits for an answer gets one for each message, in order, with what is known of
// it; who does not is told of failures as ever.
func TestUplinkAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		fail error
		want channel.Fate
	}{"published": {nil, channel.FatePublished}, "unconfirmed": {errors.New("no"), channel.FateUnconfirmed},
		"unpublished": {unpublished("no"), channel.FateUnpublished}} {
		t.Run(name, func(t *testing.T) {
			bus := &blockedBus{gate: make(chan struct{}), fail: c.fail}
			close(bus.gate)
			ear := &loopEar{}
			u := NewUplink(1<<20, nopLog)
			q := u.Queue(ear)
			u.Start(bus, testDoor())
			var names []string
			for from := range uint64(900) {
				name := fmt.Sprint("c", from%3)
				q.PublishAnswered(from, []byte(name), nil, nil)
				q.Publish(10_000+from, []byte("other"), nil)
				names = append(names, name)
			}
			closeUplink(t, u)
			for i, o := range ear.outcomes {
				if o.From != uint64(i) || o.Fate != c.want || string(o.Channel) != names[i] {
					t.Fatalf("answer %d is %+v", i, o)
				}
				if want := testDoor().Count(names[i : i+1])[0]; c.fail == nil && o.Connections != want {
					t.Fatalf("answer %d says %d connections, and the channel has %d", i, o.Connections, want)
				}
			}
			failures := 0
			if c.fail != nil {
				failures = 900
			}
			if len(ear.outcomes) != 900 || len(ear.failed) != failures || failures > 0 && ear.failed[0] != 10_000 {
				t.Errorf("%d answers, %d failures", len(ear.outcomes), len(ear.failed))
			}
		})
	}
}

// A message beyond the Door's limit fails, and its sender is told.
func TestUplinkRefusedByTheDoor(t *testing.T) {
	b := startEmbedded(t, testDoor(), "")
	ear := &loopEar{}
	_, queues := startUplink(t, b, 8<<20, ear)
	queues[0].Publish(7, []byte("c"), make([]byte, doorPayloadMax+1))
	ear.heard(t, "the refusal", func(e *loopEar) bool { return len(e.failed) == 1 && e.failed[0] == 7 })
}

// Through a real Redis: order, what comes back, and what the sender is told when
// the Redis is killed and when it returns.
func TestUplinkThroughRedis(t *testing.T) {
	server := startRedis(t)
	door := testDoor()
	r := connect(t, "redis://"+server.addr, door, nopLog)
	ear := &loopEar{}
	_, queues := startUplink(t, r, 8<<20, ear)
	q := queues[0]

	q.Publish(1, []byte("early"), nil) // before it is connected: told, or published
	waitUp(t, r, true)
	const messages = 2000
	var want []doorMessage
	for n := range messages {
		want = append(want, doorMessage{"news", fmt.Sprint(n)})
		q.Publish(2, []byte("news"), fmt.Append(nil, n))
	}
	news := func() (got []doorMessage) {
		for _, m := range door.all() {
			if m.channel == "news" {
				got = append(got, m)
			}
		}
		return got
	}
	eventually(t, "all comes back", func() bool { return len(news()) == messages })
	if got := news(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("not in order")
	}

	eventually(t, "Redis has answered", func() bool { return q.count.Load() == 0 })
	server.kill()
	q.Publish(3, []byte("news"), []byte("lost"))
	ear.heard(t, "the loss is told", func(e *loopEar) bool { return len(e.failed) > 0 && e.failed[len(e.failed)-1] == 3 })

	server.start()
	waitUp(t, r, true)
	q.Publish(4, []byte("news"), []byte("again"))
	eventually(t, "the first after the return", func() bool { return len(news()) == messages+1 })
	ear.mu.Lock()
	defer ear.mu.Unlock()
	for _, from := range ear.failed {
		if from != 1 && from != 3 {
			t.Errorf("a failure names %d, whose messages were published", from)
		}
	}
}
