// Package bustest has what tests of a bus and of those who use one need: a Door without
// loops, and a driver in memory.
package bustest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"c10m/bus"
	"c10m/channel"
	"c10m/internal/patience"
)

// PayloadBytesMax is where a Door refuses.
const PayloadBytesMax = 1 << 20

// A Message is what came to a Door.
type Message struct{ Channel, Payload string }

// To is a Message.
func To(channel, payload string) Message { return Message{channel, payload} }

// A Door is a bus.Door with a fixed number of WebSockets in each channel. It records
// what comes, and keeps nothing that it was lent.
type Door struct {
	// Fixed once somebody publishes.
	Members  map[string]int
	Discard  bool                         // record nothing, for benchmarks
	Before   func(channel string)         // called at the begin of Publish, with no lock held
	After    func()                       // called at its end, with no lock held
	Receipts func(n int) *channel.Receipt // by default settled at once

	mu       sync.Mutex
	messages []Message
	times    map[string]int // by payload
	arrived  chan struct{}  // replaced at every message
}

var _ bus.Door = (*Door)(nil)

// NewDoor makes a Door.
func NewDoor(members map[string]int) *Door {
	return &Door{Members: members, times: make(map[string]int), arrived: make(chan struct{})}
}

// Publish implements bus.Door.
func (d *Door) Publish(name, payload []byte) (*channel.Receipt, error) {
	if len(payload) > PayloadBytesMax {
		return nil, fmt.Errorf("the payload has %d bytes, and the limit is %d", len(payload), PayloadBytesMax)
	}
	if d.Before != nil {
		d.Before(string(name))
	}
	if d.After != nil {
		defer d.After()
	}
	if !d.Discard {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.messages = append(d.messages, To(string(name), string(payload)))
		d.times[string(payload)]++
		close(d.arrived)
		d.arrived = make(chan struct{})
		if d.Receipts != nil {
			return d.Receipts(d.Members[string(name)]), nil
		}
	}
	r := channel.NewReceipt(1)
	r.Settle(d.Members[string(name)])
	return r, nil
}

// Count implements bus.Door.
func (d *Door) Count(channels []string) []int {
	counts := make([]int, len(channels))
	for i, name := range channels {
		counts[i] = d.Members[name]
	}
	return counts
}

// Channels implements bus.Door.
func (d *Door) Channels(match func(string) bool, limit int) []string {
	var list []string
	for name, n := range d.Members {
		if n > 0 && len(list) < limit && match(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// All returns the messages so far.
func (d *Door) All() []Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.messages)
}

// Times is how often a payload came.
func (d *Door) Times(payload string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.times[payload]
}

// Wait returns once the messages so far satisfy done.
func (d *Door) Wait(t testing.TB, what string, done func([]Message) bool) {
	t.Helper()
	timeout := time.After(patience.Guard)
	for {
		d.mu.Lock()
		ok, arrived := done(d.messages), d.arrived
		d.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("%s: gave up waiting; the Door has %d messages", what, len(d.All()))
		}
	}
}
