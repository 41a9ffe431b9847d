package channel

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"c10m/internal/trylock"
)

// HistoryConfig says how much is kept of what everybody has had already. The zero
// value keeps nothing.
type HistoryConfig struct {
	// Messages is how many of the latest messages of each channel are kept.
	Messages int
	// Age is how long a message is kept; 0 is for ever.
	Age time.Duration
	// BytesTotal bounds what all channels keep together (Message.cost); the oldest
	// messages of all go first. 0 is no bound.
	BytesTotal int
	// Start runs work, which answers questions, beside its caller; nil is a
	// goroutine. A simulation runs it between two turns of its loop.
	Start func(work func())
}

// A History keeps the latest messages of channels for clients that come back with
// a position, and answers where a position stands. It is publishers' and never a
// loop's: a loop only leaves its questions (Ask), or keeps a message if nobody else is at it (Shortcut).
//
// A message is known to be missing by number: of each channel the latest number
// that was dropped is kept with what it still has, and when it has nothing left
// in one of a fixed number of buckets, by the hash of its name. So a position is
// never taken for whole when it is not; one on a channel that has been quiet for
// longer than its messages are kept may be told it is gone though it is not.
type History struct {
	// Fixed after construction.
	config HistoryConfig

	// Guarded by mu, which publishers take under their channel's lock.
	mu             sync.Mutex
	channels       map[string]*past
	oldest, newest *kept // of all channels
	bytes          int
	forgotten      [forgottenBuckets]uint64
	expiring       bool // a timer runs for the oldest

	asking questions

	stats *HubStats // the hub's, from open on
}

// past is what is kept of one channel.
type past struct {
	name    string
	hash    uint32
	kept    []*kept
	dropped uint64 // number of the latest message that is not kept any more
}

// kept is a message in the order of all channels.
type kept struct {
	message      *Message
	of           *past
	older, newer *kept
}

// NewHistory makes a history. One that keeps nothing still answers questions.
func NewHistory(config HistoryConfig) *History {
	if config.Start == nil {
		config.Start = func(work func()) { go work() }
	}
	return &History{config: config, channels: make(map[string]*past)}
}

// Keeps reports whether anything is kept, so that a position may be continued. A nil
// History keeps nothing. Any goroutine may call it.
func (h *History) Keeps() bool { return h.Kept() > 0 }

// Kept is how many messages of each channel are kept. Any goroutine may call it.
func (h *History) Kept() int {
	if h == nil {
		return 0
	}
	return h.config.Messages
}

// keep adds a message that is about to be posted. Its publisher has
// locked its channel.
func (h *History) keep(message *Message) {
	if h.Keeps() {
		h.mu.Lock()
		h.keepAndUnlock(message)
	}
}

// tryLock is for a loop, which waits for nobody. keepAndUnlock comes after it, and does
// nothing where nothing is kept.
func (h *History) tryLock() bool {
	return !h.Keeps() || trylock.Lock(&h.mu)
}

func (h *History) keepAndUnlock(message *Message) {
	if !h.Keeps() {
		return
	}
	defer h.mu.Unlock()
	p := h.channels[string(message.name)]
	if p == nil {
		p = &past{name: string(message.name), hash: message.hash, dropped: *h.bucket(message.hash)}
		h.channels[p.name] = p
		h.stats.HistoryChannels.Add(1)
	}
	k := &kept{message: message, of: p, older: h.newest}
	if h.newest != nil {
		h.newest.newer = k
	} else {
		h.oldest = k
	}
	h.newest = k
	p.kept = append(p.kept, k)
	h.count(message, 1)
	if len(p.kept) > h.config.Messages {
		h.drop(p.kept[0], &h.stats.HistoryDroppedCount)
	}
	for h.config.BytesTotal > 0 && h.bytes > h.config.BytesTotal {
		h.drop(h.oldest, &h.stats.HistoryDroppedBytes)
	}
	h.expire(message.at)
}

// drop forgets the oldest message of a channel.
func (h *History) drop(k *kept, reason *atomic.Uint64) {
	p := k.of
	if p.kept[0] != k {
		panic("BUG: a message is dropped before an older one of its channel")
	}
	p.kept[0] = nil
	p.kept = p.kept[1:]
	p.dropped = k.message.number
	if k.older != nil {
		k.older.newer = k.newer
	} else {
		h.oldest = k.newer
	}
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		h.newest = k.older
	}
	h.count(k.message, -1)
	reason.Add(1)
	if len(p.kept) == 0 {
		b := h.bucket(p.hash)
		*b = max(*b, p.dropped)
		delete(h.channels, p.name)
		h.stats.HistoryChannels.Add(-1)
	}
}

func (h *History) count(message *Message, sign int) {
	bytes := sign * (message.cost() + keptBytesExtra)
	h.bytes += bytes
	h.stats.HistoryBytes.Add(int64(bytes))
	h.stats.HistoryMessages.Add(int64(sign))
}

func (h *History) bucket(hash uint32) *uint64 { return &h.forgotten[hash%forgottenBuckets] }

// expire drops what is too old, and has a timer do the same when the next one is.
func (h *History) expire(now int64) {
	if h.config.Age == 0 {
		return
	}
	for h.oldest != nil && now-h.oldest.message.at >= int64(h.config.Age) {
		h.drop(h.oldest, &h.stats.HistoryDroppedAge)
	}
	if h.oldest == nil || h.expiring {
		return
	}
	h.expiring = true
	// Not earlier than a share of the age, or each message would be a timer.
	wait := max(time.Duration(h.oldest.message.at-now)+h.config.Age, h.config.Age/expiresPerAge)
	clock := h.oldest.message.hub.config.Now
	time.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.expiring = false
		h.expire(clock())
	})
}

// since returns what a channel got after a number, in order, at most so many of it (0
// is all); isWhole is false if
// some of it, or perhaps some of it, is not kept any more. The caller has
// locked the channel; now is the hub's clock.
func (h *History) since(name []byte, hash uint32, number uint64, most int, now int64) (messages []*Message, isWhole bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire(now)
	p := h.channels[string(name)]
	if p == nil {
		return nil, number >= *h.bucket(hash)
	}
	from, _ := slices.BinarySearchFunc(p.kept, number+1, func(k *kept, wanted uint64) int {
		return cmp.Compare(k.message.number, wanted)
	})
	lacking := p.kept[from:]
	if most > 0 && len(lacking) > most {
		lacking = lacking[:most]
	}
	for _, k := range lacking {
		messages = append(messages, k.message)
	}
	return messages, number >= p.dropped
}
