package redisbus

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"c10m/bus/bustest"
)

// TestOrder: concurrent publishers to several channels; the Door and every RESP
// subscriber, by pattern too, see one and the same order of each channel, and each
// publisher's own over all channels.
func TestOrder(t *testing.T) {
	const publishers, each = 4, 600
	channels := []string{"a", "b", "c"}
	door := newDoor(nil)
	// Between the Door and the subscribers is where two publishers would swap.
	door.After = runtime.Gosched
	b := startEmbedded(t, door, "")
	subscribers := map[*raw]int{}
	for _, s := range [][]string{{"SUBSCRIBE", "a"}, {"PSUBSCRIBE", "*"}, {"SUBSCRIBE", "c"}, {"PSUBSCRIBE", "?"}} {
		r := dialRaw(t, b.Addr().String())
		r.do(s...)
		subscribers[r] = publishers * each
		if s[0] == "SUBSCRIBE" {
			subscribers[r] /= len(channels)
		}
	}
	var all sync.WaitGroup
	for p := range publishers {
		r := dialRaw(t, b.Addr().String())
		all.Go(func() {
			var send strings.Builder
			for i := range each {
				send.WriteString(cmd("PUBLISH", channels[i%len(channels)], fmt.Sprintf("%d-%d", p, i)))
			}
			_, _ = r.Write([]byte(send.String()))
			for range each {
				if _, err := r.in.ReadString('\n'); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	atDoor := door.All()
	if len(atDoor) != publishers*each {
		t.Fatalf("%d messages", len(atDoor))
	}
	want := ownOrder(t, atDoor)
	for r, n := range subscribers {
		var got []doorMessage
		for range n {
			lines := strings.Split(r.readReply(), "\r\n")
			got = append(got, bustest.To(lines[len(lines)-4], lines[len(lines)-2]))
		}
		for name, messages := range ownOrder(t, got) {
			if !slices.Equal(messages, want[name]) {
				t.Errorf("a subscriber has another order of %s than the Door", name)
			}
		}
	}
}

// ownOrder parts messages by channel, and checks that each publisher's are in its order.
func ownOrder(t *testing.T, messages []doorMessage) map[string][]string {
	t.Helper()
	parted, last := map[string][]string{}, map[string]int{}
	for _, m := range messages {
		parted[m.Channel] = append(parted[m.Channel], m.Payload)
		publisher, number, _ := strings.Cut(m.Payload, "-")
		n, err := strconv.Atoi(number)
		if before, isThere := last[publisher]; err != nil || isThere && n <= before {
			t.Fatalf("%s comes behind %d of its publisher: %v", m.Payload, before, err)
		}
		last[publisher] = n
	}
	return parted
}

// TestAFullLoopHoldsUpOneChannel: while the Door blocks for a channel, peers publish to
// others, what subscribers get goes on, and so do another server's probes.
func TestAFullLoopHoldsUpOneChannel(t *testing.T) {
	const others = 500
	door := newDoor(nil)
	waits, release := make(chan struct{}, 1), make(chan struct{})
	door.Before = func(name string) {
		if name == "hot" {
			waits <- struct{}{}
			<-release
		}
	}
	b := startEmbedded(t, door, "")
	sub, hot, p := dialRaw(t, b.Addr().String()), dialRaw(t, b.Addr().String()), dialRaw(t, b.Addr().String())
	sub.do("PSUBSCRIBE", "*")
	hot.send(cmd("PUBLISH", "hot", "1"))
	<-waits
	pushed := func(name, payload string) string {
		return array("*", bulk("pmessage"), bulk("*"), bulk(name), bulk(payload))
	}
	for i := range others {
		for _, name := range []string{fmt.Sprint("other", i), fmt.Sprint("-/c10m/probe/", i)} {
			if got := p.do("PUBLISH", name, "x"); got != ":1\r\n" {
				t.Fatalf("PUBLISH %s is answered with %q", name, got)
			}
			sub.expect(pushed(name, "x"))
		}
	}
	close(release)
	hot.expect(":1\r\n")
	sub.expect(pushed("hot", "1"))
}
