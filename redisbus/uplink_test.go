package redisbus

import (
	"fmt"
	"sync"
	"testing"

	"c10m/bus/bustest"
)

// What clients say takes the way of a PUBLISH: the Door hears it, RESP
// subscribers hear it, and both in one order, in which each loop said it.
func TestUplinkIsAPublish(t *testing.T) {
	door := testDoor()
	b := startEmbedded(t, door, "")
	sub := dialRaw(t, b.Addr().String())
	sub.send(cmd("SUBSCRIBE", "news"))
	sub.readReply()
	u, queues := bustest.StartUplink(t, b, nil, 8<<20, &bustest.Ear{}, &bustest.Ear{}, &bustest.Ear{})
	const each = 1500
	var loops sync.WaitGroup
	for i, q := range queues {
		loops.Go(func() {
			for n := range each {
				if !q.Publish(uint64(i), []byte("news"), fmt.Appendf(nil, "%d %d", i, n)) {
					t.Errorf("message %d was not taken", n)
				}
			}
		})
	}
	loops.Wait()
	bustest.Close(t, u) // publishes what is left
	var next [3]int
	for _, m := range door.All() {
		var loop, n int
		if _, err := fmt.Sscanf(m.Payload, "%d %d", &loop, &n); err != nil || n != next[loop] {
			t.Fatalf("%q where %d is due: %v", m.Payload, next, err)
		}
		next[loop]++
		sub.expect(array("*", bulk("message"), bulk("news"), bulk(m.Payload)))
	}
	if want := [3]int{each, each, each}; next != want {
		t.Errorf("the Door has %d of each loop, want %d", next, want)
	}
}

// Through a real Redis: order, what comes back, and what the sender is told when
// the Redis is killed and when it returns.
func TestUplinkThroughRedis(t *testing.T) {
	server := startRedis(t)
	door := testDoor()
	r := connect(t, "redis://"+server.addr, door, nopLog)
	ear := &bustest.Ear{}
	_, queues := bustest.StartUplink(t, r, door, 8<<20, ear)
	q := queues[0]

	q.Publish(1, []byte("early"), nil) // before it is connected: told, or published
	waitUp(t, r, true)
	const messages = 2000
	var want []doorMessage
	for n := range messages {
		payload := fmt.Append(nil, n)
		want = append(want, bustest.To("news", string(payload)))
		if n < messages-1 {
			q.Publish(2, []byte("news"), payload)
		} else {
			q.PublishAnswered(2, []byte("news"), nil, payload)
		}
	}
	news := func() (got []doorMessage) {
		for _, m := range door.All() {
			if m.Channel == "news" {
				got = append(got, m)
			}
		}
		return got
	}
	eventually(t, "all comes back", func() bool { return len(news()) == messages })
	if got := news(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("not in order")
	}

	eventually(t, "Redis has answered", func() bool { return len(ear.Outcomes()) == 1 })
	server.kill()
	q.Publish(3, []byte("news"), []byte("lost"))
	eventually(t, "the loss is told", func() bool { failed := ear.Failed(); return len(failed) > 0 && failed[len(failed)-1] == 3 })

	server.start()
	waitUp(t, r, true)
	q.Publish(4, []byte("news"), []byte("again"))
	eventually(t, "the first after the return", func() bool { return len(news()) == messages+1 })
	for _, from := range ear.Failed() {
		if from != 1 && from != 3 {
			t.Errorf("a failure names %d, whose messages were published", from)
		}
	}
}
