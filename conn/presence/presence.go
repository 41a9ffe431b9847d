// Package presence tells who came to channels and left them: once a second each loop
// publishes to presence:news how many of its connections came to the channel news, how
// many left it, and how many there are now. Only sums are told, so a million who come at
// once are one message for each loop; who wants to know how many there are asks once
// (/-/channels/news) for the parts of all loops, and keeps the latest of each.
package presence

import (
	"math"
	"sync/atomic"
	"time"

	"c10m/channel"
	"c10m/conn/timers"
	"c10m/conn/wire"
	"c10m/poller"
)

// channelsPerTickMax bounds the channels of which a tick tells, about 1 us each.
const channelsPerTickMax = 256

// A Teller is one loop's, and owned by it.
type Teller struct {
	// Fixed after construction.
	Loop     *poller.Loop
	Registry *channel.Registry
	To       channel.Publisher // nil if nobody is told

	next int64 // when it is told again
}

// Tell publishes what has changed and returns when to call it again.
func (t *Teller) Tell() (next int64) {
	if t.To == nil {
		return math.MaxInt64
	}
	now := t.Loop.Now()
	if now < t.next {
		return t.next
	}
	more := t.Registry.Changes(channelsPerTickMax, func(name string, joined, left int, now channel.Part) (taken bool) {
		if t.To.Full() {
			return false
		}
		var room [128]byte
		payload := wire.AppendPresenceChange(room[:0], joined, left, Part(now))
		return t.To.Publish(0, []byte(channel.PresencePrefix+name), payload)
	})
	t.next = now + int64(timers.TickMin)
	if !more {
		t.next = timers.OnBeat(now, int64(time.Second), t.Loop.ID())
	}
	return t.next
}

// Part is a part as it is told.
func Part(p channel.Part) wire.Part {
	return wire.Part{Of: p.Of, Connections: p.Members, Version: p.Version}
}

// Failures are the channel.Feedback of what is told: a message that the bus did not take
// is counted, and nobody is closed for it.
type Failures struct{ Count *atomic.Uint64 }

func (Failures) Room()                       {}
func (Failures) Published([]channel.Outcome) {}

func (f Failures) PublishFailed(failed []channel.Outcome) { f.Count.Add(uint64(len(failed))) }
