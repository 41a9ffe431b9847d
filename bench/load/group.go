package load

import (
	"math"
	"sync/atomic"
)

// A Group is a kind of connections that is measured by itself.
type Group uint8

const (
	// Main are the connections of Config.Channel.
	Main Group = iota
	// Probes are Config.Probes others, each on a channel of its own.
	Probes
	// Groups is their number.
	Groups
)

// probeChannel is the channel of a probe, by its index among the probes.
const probeChannel = "probe/%d"

// GroupCounters are what arrived at one group.
type GroupCounters struct {
	Open       int    `json:"open"`
	Stamped    uint64 `json:"stamped_messages"`
	Lost       uint64 `json:"lost"` // so far; Client.Missing knows the tail
	Duplicated uint64 `json:"duplicated"`
	OutOfOrder uint64 `json:"out_of_order"`
	Corrupt    uint64 `json:"corrupt"`
	// LastAtNanos is when the last stamped message came (CLOCK_MONOTONIC).
	LastAtNanos int64 `json:"-"`
}

func (g *GroupCounters) add(o *GroupCounters) {
	g.Open += o.Open
	g.Stamped += o.Stamped
	g.Lost += o.Lost
	g.Duplicated += o.Duplicated
	g.OutOfOrder += o.OutOfOrder
	g.Corrupt += o.Corrupt
	g.LastAtNanos = max(g.LastAtNanos, o.LastAtNanos)
}

// Delivered is the number of messages that arrived, each once.
func (g *GroupCounters) Delivered() uint64 { return g.Stamped - g.Duplicated }

// A group is a loop's part of a Group.
type group struct {
	// Fixed after construction.
	requester requester
	ledger    *ledger

	// Owned by the loop.
	counters GroupCounters
	sequence sequenceChecker
	latency  Latencies
	gone     []gone // lost against the client's will
}

// gone is a connection that the server ended: what is published later, or was
// on its way, has not reached it.
type gone struct {
	index uint32
	next  uint64
}

// A ledger knows the number of the last message of each channel of a group. A
// number is entered before the message is handed to the bus, so whoever reads
// it knows that no later one has left.
type ledger struct {
	// Shared: atomic.
	shared    atomic.Uint64
	own       []atomic.Uint32 // by the index in the group; nil: one channel for all
	published atomic.Uint64
}

func (l *ledger) last(index uint32) uint64 {
	if l.own != nil {
		return uint64(l.own[index].Load())
	}
	return l.shared.Load()
}

func (l *ledger) next(index uint32) uint64 {
	l.published.Add(1)
	if l.own != nil {
		return uint64(l.own[index].Add(1))
	}
	return l.shared.Add(1)
}

// probeStride is the distance between two probes among the numbers: they are
// spread over all loops, ports and source addresses.
func (config *Config) probeStride() int { return config.Spread.Connections / max(config.Probes, 1) }

// place is the group of connection number and its index there. The main
// group's index is the number itself, with holes where probes are.
func (config *Config) place(number uint32) (Group, uint32) {
	if config.Probes > 0 {
		stride := uint32(config.probeStride())
		if number%stride == 0 && number/stride < uint32(config.Probes) {
			return Probes, number / stride
		}
	}
	return Main, number
}

// Members is how many connections a group has when all are there.
func (c *Client) Members(g Group) int {
	if g == Probes {
		return c.config.Probes
	}
	return c.config.Spread.Connections - c.config.Probes
}

// Published is how many messages were handed out for a group.
func (c *Client) Published(g Group) uint64 { return c.ledgers[g].published.Load() }

// Next enters the next message of a channel: that of the main group, or that
// of the group's connection index, if each has its own. Any goroutine may call
// it; messages of one channel have to be published in the order of their
// numbers.
func (c *Client) Next(g Group, index int) Message {
	return Message{Group: g, Connection: index, Sequence: c.ledgers[g].next(uint32(index))}
}

// channelOf is where a message is to be published.
func (c *Client) channelOf(m Message) string { return c.requesters[m.Group].channelOf(m.Connection) }

// Missing counts, for each group, the messages published so far that have
// neither come nor are known as lost: the ends of the connections' sequences.
// After the last message it is what is lost at the tail, once nothing more
// comes. It looks at every connection.
func (c *Client) Missing() (missing [Groups]uint64) {
	c.each(func(h *handler) func() {
		mine := h.missing()
		return func() {
			for g, n := range mine {
				missing[g] += n
			}
		}
	})
	return missing
}

func (h *handler) missing() (missing [Groups]uint64) {
	due := func(g *group, index uint32, next uint64) uint64 {
		next &^= atMost
		if end := g.ledger.last(index) + 1; next != 0 && end > next {
			return end - next
		}
		return 0
	}
	h.loop.Walk(0, math.MaxInt, func(fd uint32) {
		if h.loop.Record(fd).Phase == phaseOpen {
			c := h.connection(fd)
			_, index := h.config.place(c.number)
			missing[c.group] += due(&h.groups[c.group], index, c.next)
		}
	})
	for i := range h.groups {
		for _, lost := range h.groups[i].gone {
			missing[i] += due(&h.groups[i], lost.index, lost.next)
		}
	}
	return missing
}

// firstDue is what the first message of a new connection has to be.
func (h *handler) firstDue(g *group, index uint32) uint64 {
	if h.config.Publishes {
		return (g.ledger.last(index) + 1) | atMost
	}
	return h.config.FirstSequence
}

// left takes an open connection out of the counts. If it went against the
// client's will, what it misses from now on is remembered.
func (h *handler) left(fd uint32, unwanted bool) {
	c := h.connection(fd)
	g := &h.groups[c.group]
	h.counters.Open--
	g.counters.Open--
	if unwanted && h.config.Publishes && len(g.gone) < goneMax {
		_, index := h.config.place(c.number)
		g.gone = append(g.gone, gone{index, c.next})
	}
}

// HasOwnChannels reports whether each connection of a group has a channel of
// its own.
func (c *Client) HasOwnChannels(g Group) bool { return g == Probes || c.OwnChannels() }
