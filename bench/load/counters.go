package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A failure is why a connection could not be made.
type failure uint8

const (
	failedRefused failure = iota
	failedReset
	failedTimedOut
	failedNoPort
	failedNoDescriptor
	failedOther
	failedStatus
	failedUpgrade
	failures
)

// failureKinds names them; final ones are not tried again.
var failureKinds = [failures]struct {
	name  string
	final bool
}{
	failedRefused:      {"refused", false},
	failedReset:        {"reset", false},
	failedTimedOut:     {"timed out", false},
	failedNoPort:       {"no free source port", false},
	failedNoDescriptor: {"no descriptor or memory", false},
	failedOther:        {"other", false},
	failedStatus:       {"upgrade refused", true},
	failedUpgrade:      {"bad upgrade", true},
}

// failureOf sorts the errors of connect(2).
func failureOf(errno syscall.Errno) failure {
	switch errno {
	case unix.ECONNREFUSED:
		return failedRefused
	case unix.ECONNRESET, unix.EPIPE, unix.ECONNABORTED:
		return failedReset
	case unix.ETIMEDOUT:
		return failedTimedOut
	case unix.EADDRNOTAVAIL, unix.EADDRINUSE:
		return failedNoPort
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC:
		return failedNoDescriptor
	}
	return failedOther
}

// Counters are what a loop has seen, or all loops together.
type Counters struct {
	Opened   int `json:"opened"`    // upgraded, ever
	Open     int `json:"open"`      // upgraded and neither closed nor lost
	UnderWay int `json:"under_way"` // connecting or waiting for the 101
	Waiting  int `json:"waiting"`   // for a retry
	GaveUp   int `json:"gave_up"`   // failed for good
	Retries  int `json:"retries"`

	ReturnCounters
	// OpenedAtNanos is when the last one opened, those that came back aside
	// (CLOCK_MONOTONIC).
	OpenedAtNanos int64 `json:"-"`

	Failures map[string]uint64 `json:"failures"` // tries that failed, by kind
	Closes   map[uint16]uint64 `json:"closes"`   // close frames, by code (RFC 6455 section 7.4)
	Dropped  uint64            `json:"dropped"`  // ended without a close frame
	Broken   map[string]uint64 `json:"broken"`   // breaches of RFC 6455, by kind
	Problem  string            `json:"problem"`  // one example of "bad upgrade" or "other"

	Text    uint64 `json:"text_messages"`
	Binary  uint64 `json:"binary_messages"`
	Bytes   uint64 `json:"payload_bytes"`
	Stamped uint64 `json:"stamped_messages"`
	Pings   uint64 `json:"pings"`
	Pongs   uint64 `json:"pongs_sent"`

	Lost       uint64 `json:"lost"` // so far; Client.Missing knows the tail
	Duplicated uint64 `json:"duplicated"`
	OutOfOrder uint64 `json:"out_of_order"`
	Forgotten  uint64 `json:"gaps_forgotten"`
	Corrupt    uint64 `json:"corrupt"` // wrong filler, or a text that is not UTF-8
	// LastAtNanos is when the last stamped message came (CLOCK_MONOTONIC).
	LastAtNanos int64 `json:"-"`

	Complete int `json:"complete"` // connections that reached Config.Expect
	Surplus  int `json:"surplus"`  // connections that got more than that
}

func newCounters() Counters {
	return Counters{Failures: map[string]uint64{}, Closes: map[uint16]uint64{}, Broken: map[string]uint64{}}
}

// Delivered is the number of stamped messages that arrived, each once.
func (c *Counters) Delivered() uint64 { return c.Stamped - c.Duplicated }

// Messages is the number of data messages, of both kinds.
func (c *Counters) Messages() uint64 { return c.Text + c.Binary }

// clone copies the maps too.
func (c *Counters) clone() Counters {
	copied := *c
	copied.Failures, copied.Closes, copied.Broken = maps.Clone(c.Failures), maps.Clone(c.Closes), maps.Clone(c.Broken)
	return copied
}

func (c *Counters) add(o *Counters) {
	c.Opened += o.Opened
	c.Open += o.Open
	c.UnderWay += o.UnderWay
	c.Waiting += o.Waiting
	c.GaveUp += o.GaveUp
	c.Retries += o.Retries
	c.OpenedAtNanos = max(c.OpenedAtNanos, o.OpenedAtNanos)
	c.ReturnCounters.add(&o.ReturnCounters)
	addMap(c.Failures, o.Failures)
	addMap(c.Closes, o.Closes)
	addMap(c.Broken, o.Broken)
	c.Dropped += o.Dropped
	if o.Problem != "" {
		c.Problem = o.Problem
	}
	c.Text += o.Text
	c.Binary += o.Binary
	c.Bytes += o.Bytes
	c.Stamped += o.Stamped
	c.Pings += o.Pings
	c.Pongs += o.Pongs
	c.Lost += o.Lost
	c.Duplicated += o.Duplicated
	c.OutOfOrder += o.OutOfOrder
	c.Forgotten += o.Forgotten
	c.Corrupt += o.Corrupt
	c.LastAtNanos = max(c.LastAtNanos, o.LastAtNanos)
	c.Complete += o.Complete
	c.Surplus += o.Surplus
}

func addMap[K comparable](to, from map[K]uint64) {
	for k, n := range from {
		to[k] += n
	}
}

// Fault says in a few words what went wrong, or nothing if all is well:
// everything that a correct server and a healthy host never show.
func (c *Counters) Fault() string {
	var faults []string
	note := func(n uint64, what string) {
		if n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", n, what))
		}
	}
	note(uint64(c.GaveUp), "connections not made")
	note(c.Dropped, "dropped without a close")
	for _, code := range slices.Sorted(maps.Keys(c.Closes)) {
		note(c.Closes[code], fmt.Sprintf("closed with %d", code))
	}
	for _, kind := range slices.Sorted(maps.Keys(c.Broken)) {
		note(c.Broken[kind], kind)
	}
	note(c.Lost, "lost")
	note(c.Duplicated, "duplicated")
	note(c.OutOfOrder, "out of order")
	note(c.Corrupt, "corrupt")
	note(uint64(c.Surplus), "connections got too many")
	return strings.Join(faults, ", ")
}
