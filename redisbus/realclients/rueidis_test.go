package realclients

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"c10m/internal/patience"
)

// TestRueidis has what it has by default: it asks for a cluster, RESP3 and CLIENT
// TRACKING, and does not connect where tracking is refused.
func TestRueidis(t *testing.T) {
	atBoth(t, func(t *testing.T, l *line, here int) {
		ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
		defer cancel()
		dial := func() rueidis.Client {
			client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{fmt.Sprint("127.0.0.1:", l.port)}, Password: password})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			return client
		}
		// At a Redis, too, version 1.0.79 panics where this publishes with the client that
		// subscribes.
		client, subscriber := dial(), dial()
		publish := func(channel, message string) rueidis.Completed {
			return client.B().Publish().Channel(channel).Message(message).Build()
		}
		if n, err := client.Do(ctx, publish("news", "plain")).AsInt64(); err != nil || n != int64(here) {
			t.Errorf("PUBLISH: %d %v", n, err)
		}

		messages := map[string]chan string{"news": make(chan string, 2000), "one": make(chan string, 10)}
		subscribed := make(chan rueidis.PubSubSubscription, 10)
		ctx = rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) { subscribed <- s })
		ended := make(chan error, 2)
		for _, subscribe := range []rueidis.Completed{subscriber.B().Subscribe().Channel("news").Build(), subscriber.B().Psubscribe().Pattern("o*").Build()} {
			go func() {
				ended <- subscriber.Receive(ctx, subscribe, func(m rueidis.PubSubMessage) { messages[m.Channel] <- m.Message })
			}()
		}
		confirmed := func() {
			t.Helper()
			for range 2 {
				select {
				case <-subscribed:
				case err := <-ended:
					t.Fatalf("a subscription ended: %v", err)
				case <-ctx.Done():
					t.Fatal("no confirmation")
				}
			}
		}
		next := func(channel, want string) {
			t.Helper()
			select {
			case message := <-messages[channel]:
				if message != want {
					t.Fatalf("message %q, not %q", message, want)
				}
			case <-ctx.Done():
				t.Fatalf("no message %q", want)
			}
		}
		confirmed()

		var pipeline []rueidis.Completed
		for i := range 1000 {
			pipeline = append(pipeline, publish("news", fmt.Sprint(i)))
		}
		for i, reply := range client.DoMulti(ctx, pipeline...) {
			if n, err := reply.AsInt64(); err != nil || n != int64(here+1) {
				t.Fatalf("reply %d of a pipeline: %d %v", i, n, err)
			}
			next("news", fmt.Sprint(i))
		}
		transaction := client.DoMulti(ctx, client.B().Multi().Build(), publish("news", "a"), publish("one", "b"), client.B().Exec().Build())
		replies, err := transaction[3].AsIntSlice()
		if err != nil || fmt.Sprint(replies) != fmt.Sprint([]int{here + 1, 1}) {
			t.Errorf("EXEC: %v %v", replies, err)
		}
		next("news", "a")
		next("one", "b")
		err = client.Dedicated(func(c rueidis.DedicatedClient) error {
			replies := c.DoMulti(ctx, c.B().Watch().Key("k").Build(), c.B().Multi().Build(), publish("news", "c"), c.B().Exec().Build())
			return replies[3].Error()
		})
		if err != nil {
			t.Errorf("WATCH, MULTI: %v", err)
		}
		next("news", "c")

		l.cut()
		confirmed()
		for {
			if n, err := client.Do(ctx, publish("news", "again")).AsInt64(); err == nil && n == int64(here+1) {
				break
			}
			if ctx.Err() != nil {
				t.Fatal("it does not come back")
			}
		}
		next("news", "again")
		if n, err := client.Do(ctx, publish("one", "again")).AsInt64(); err != nil || n != 1 {
			t.Errorf("PUBLISH after a cut: %d %v", n, err)
		}
		next("one", "again")
	})
}

// TestRueidisKeepsNothing: tracking is taken and nothing is ever invalidated, so nothing
// may stay in a client's cache. Each read of a key is refused.
func TestRueidisKeepsNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{startBus(t)}, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 2 {
		reply := client.DoCache(ctx, client.B().Get().Key("k").Cache(), time.Hour)
		if _, ok := rueidis.IsRedisErr(reply.Error()); !ok || reply.IsCacheHit() {
			t.Errorf("a read through the cache: %v", reply.Error())
		}
	}
}
