package channel

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"c10m/poller"
)

// A Poster is one loop, as publishers see it.
type Poster interface {
	// Post is poller.Loop's.
	Post(letter *poller.Letter) bool
	// Wants is Registry's: a loop without members of a channel is not woken.
	Wants(hash uint32) bool
}

// Framer makes the frame of a payload, which is the frame's end. It must not keep
// or return payload.
type Framer func(payload []byte) []byte

// HubConfig does not change in the life of a Hub.
type HubConfig struct {
	// Frame makes what members get whose format is Framed.
	Frame Framer
	// Formats are the others, by number. Nobody may subscribe in one that is not there.
	Formats [FormatsMax]Shape
	// PayloadBytesMax is the longest payload that is taken.
	PayloadBytesMax int
	// Now is the clock of the loops, in nanoseconds.
	Now func() int64
	// History keeps messages for those who come back; nil keeps none.
	History *History
}

// A Hub is the one door through which messages enter the loops. Any goroutine
// may call its methods, but no loop.
type Hub struct {
	// Fixed after construction.
	loops  []Poster
	config HubConfig
	life   string // of this process, in the ids of its messages

	// Publishers of one channel take turns, so that all loops see its messages in one
	// order. No loop ever takes these locks. cut is held by all of them, and by
	// Interrupted alone; it comes first.
	cut   sync.RWMutex
	order Order

	// Shared: atomic.
	stats  HubStats
	number atomic.Uint64 // of the latest message
	// unbroken is the number before which no position can be continued: Interrupted.
	unbroken atomic.Uint64
}

// HubStats count what came to the door.
type HubStats struct {
	Messages  atomic.Uint64
	Bytes     atomic.Uint64 // of payload
	TooBig    atomic.Uint64 // refused
	Waits     atomic.Uint64 // times that a publisher waited for a full mailbox
	Spared    atomic.Uint64 // posts not made, since the loop has no member of the channel
	Shortcuts atomic.Uint64 // messages that a loop published by itself (Shortcut)

	// What the history keeps now, and what it dropped, by the limit it was over.
	HistoryMessages, HistoryBytes, HistoryChannels              atomic.Int64
	HistoryDroppedCount, HistoryDroppedAge, HistoryDroppedBytes atomic.Uint64

	Resumed       atomic.Uint64 // positions that were continued
	PositionsGone atomic.Uint64 // positions that could not be, and were told so
}

// NewHub makes the door to these loops.
func NewHub(loops []Poster, config HubConfig) *Hub {
	h := &Hub{loops: loops, config: config, life: newLife()}
	if config.History != nil {
		config.History.open(h)
	}
	return h
}

// Stats returns the counters.
func (h *Hub) Stats() *HubStats { return &h.stats }

// ErrTooBig says that a payload is longer than the hub takes.
type ErrTooBig struct{ Bytes, BytesMax int }

func (e ErrTooBig) Error() string {
	return fmt.Sprintf("the message has %d bytes, and the limit is %d (--message-bytes)", e.Bytes, e.BytesMax)
}

// Publish frames payload and posts it to the loops that have members of the
// channel. It keeps neither argument.
// Messages of one caller to one channel arrive in the order of the calls, and
// all connections see the messages of one channel in one order. It waits while
// a loop's mailbox is full, and returns ErrTooBig without having posted
// anything. A name that nobody can subscribe to has no members.
func (h *Hub) Publish(name, payload []byte) (*Receipt, error) {
	if len(payload) > h.config.PayloadBytesMax {
		h.stats.TooBig.Add(1)
		return nil, ErrTooBig{len(payload), h.config.PayloadBytesMax}
	}
	h.stats.Messages.Add(1)
	h.stats.Bytes.Add(uint64(len(payload)))
	if !ValidName(name) {
		return NewReceipt(0), nil
	}
	return h.post(name, h.config.Frame(payload), len(payload)), nil
}

// post sends one message, or with a nil frame a question, to the loops that have
// its channel.
func (h *Hub) post(name, frame []byte, payloadBytes int) *Receipt {
	receipt := NewReceipt(len(h.loops))
	message := &Message{
		name:         append([]byte(nil), name...),
		hash:         hashName(name),
		frame:        frame,
		payloadBytes: uint32(payloadBytes),
		extra:        messageBytesExtra,
		at:           h.config.Now(),
		receipt:      receipt,
		hub:          h,
	}
	letters := make([]poller.Letter, len(h.loops))
	h.cut.RLock()
	defer h.cut.RUnlock()
	defer h.order.lock(message.hash).Unlock()
	if frame != nil {
		message.number = h.number.Add(1)
		receipt.hub, receipt.number = h, message.number
		h.config.History.keep(message)
	}
	for i, loop := range h.loops {
		if !loop.Wants(message.hash) {
			h.stats.Spared.Add(1)
			receipt.Settle(0)
			continue
		}
		letters[i] = poller.Letter{Body: message, Bytes: message.cost()}
		h.insist(loop, &letters[i])
	}
	return receipt
}

// insist posts a letter, waiting for room if there is none: that is how a
// publisher feels that sweeps are behind.
func (h *Hub) insist(loop Poster, letter *poller.Letter) {
	for pause := 50 * time.Microsecond; !loop.Post(letter); {
		h.stats.Waits.Add(1)
		time.Sleep(pause)
		pause = min(2*pause, publishRetryMillisMax*time.Millisecond)
	}
}

// Count returns the number of connections of each channel.
func (h *Hub) Count(names []string) []int {
	receipts := make([]*Receipt, len(names))
	for i, name := range names {
		receipts[i] = h.post([]byte(name), nil, 0)
	}
	counts := make([]int, len(names))
	for i, receipt := range receipts {
		counts[i] = receipt.Wait()
	}
	return counts
}

// A listing asks every loop for the names of its channels.
type listing struct {
	match func(name string) bool
	max   int
	done  sync.WaitGroup

	mu      sync.Mutex // between the loops of this one listing, held for an append
	batches [][]string // each of at most listedCellsPerTurnMax names
}

// Channels returns at most max names of channels with a connection for which
// match is true. match runs on the loops: it must be quick and must not block.
func (h *Hub) Channels(match func(name string) bool, max int) []string {
	ask := &listing{match: match, max: max}
	ask.done.Add(len(h.loops))
	for _, loop := range h.loops {
		h.insist(loop, &poller.Letter{Body: &listingOfLoop{listing: ask}})
	}
	ask.done.Wait()
	var names []string
	seen := make(map[string]struct{})
	for _, batch := range ask.batches {
		for _, name := range batch {
			if _, twice := seen[name]; !twice && len(names) < max {
				seen[name] = struct{}{}
				names = append(names, name)
			}
		}
	}
	return names
}

// listingOfLoop is one loop's part of a listing. It walks the cells, a slice a
// turn; a channel that comes or goes meanwhile is listed or not.
type listingOfLoop struct {
	*listing
	walk  cellWalk
	found int
}

// list continues the oldest listing.
func (r *Registry) list() {
	if len(r.listings) == 0 {
		return
	}
	ask := r.listings[0]
	var found []string
	for budget := listedCellsPerTurnMax; ask.found < ask.max; {
		c := ask.walk.next(&r.cells, &budget)
		if c == nil {
			break
		}
		if name := string(c.name()); ask.match(name) {
			found = append(found, name)
			ask.found++
		}
	}
	ask.hand(found)
	if ask.walk.over() || ask.found >= ask.max {
		r.listings = slices.Delete(r.listings, 0, 1)
		ask.done.Done()
	}
}

// hand gives a turn's names to the asker, who sorts out doubles: ten million
// names put into one map here would stop the loop for seconds.
func (ask *listingOfLoop) hand(found []string) {
	if len(found) == 0 {
		return
	}
	ask.mu.Lock()
	ask.batches = append(ask.batches, found)
	ask.mu.Unlock()
}
