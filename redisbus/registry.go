package redisbus

import (
	"sync"
	"sync/atomic"

	"c10m/internal/glob"

	"github.com/tidwall/redcon"
)

// The kinds of subscription. Each is a namespace of its own, as in Redis.
const (
	kindChannel = iota
	kindPattern
	kindShard
	kinds
)

var (
	subscribeWords   = [kinds]string{"subscribe", "psubscribe", "ssubscribe"}
	unsubscribeWords = [kinds]string{"unsubscribe", "punsubscribe", "sunsubscribe"}
)

// A registry knows which RESP peer subscribes to what. Confirmations are queued under the
// lock of its tables, so none comes behind a message, nor a message behind the last.
type registry struct {
	mu sync.RWMutex
	// Guarded by mu. The sets of a peer itself (peer.subs) are as well; only
	// its own reader changes them, and so reads them without the lock.
	sets [kinds]map[string]map[*peer]struct{}

	count atomic.Int64 // subscriptions of all kinds; written under mu

	frames sync.Pool // of *pushFrames; guarded by itself
}

func newRegistry() *registry {
	r := &registry{frames: sync.Pool{New: func() any { return &pushFrames{} }}}
	for kind := range r.sets {
		r.sets[kind] = make(map[string]map[*peer]struct{})
	}
	return r
}

// subscribe adds each name and queues its confirmation. The peer's reader calls
// it, within the limits it has checked.
func (r *registry) subscribe(p *peer, kind int, names [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range names {
		name := string(n)
		if _, has := p.subs[kind][name]; !has {
			if p.subs[kind] == nil {
				p.subs[kind] = make(map[string]struct{})
			}
			p.subs[kind][name] = struct{}{}
			set := r.sets[kind][name]
			if set == nil {
				set = make(map[*peer]struct{})
				r.sets[kind][name] = set
			}
			set[p] = struct{}{}
			r.count.Add(1)
		}
		p.confirm(subscribeWords[kind], n, p.subscriptionCount(kind))
	}
}

// unsubscribe removes each name, or all of that kind if there are none, and
// queues a confirmation for each, or one for nothing.
func (r *registry) unsubscribe(p *peer, kind int, names [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(names) == 0 {
		for name := range p.subs[kind] {
			names = append(names, []byte(name))
		}
		if len(names) == 0 {
			p.confirm(unsubscribeWords[kind], nil, p.subscriptionCount(kind))
		}
	}
	for _, n := range names {
		r.remove(p, kind, string(n))
		p.confirm(unsubscribeWords[kind], n, p.subscriptionCount(kind))
	}
}

// clear removes everything of a peer without a word: RESET, and the end.
func (r *registry) clear(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for kind := range p.subs {
		for name := range p.subs[kind] {
			r.remove(p, kind, name)
		}
	}
}

func (r *registry) remove(p *peer, kind int, name string) {
	if _, has := p.subs[kind][name]; !has {
		return
	}
	delete(p.subs[kind], name)
	set := r.sets[kind][name]
	if _, has := set[p]; !has {
		panic("BUG: redisbus: a subscription is in the peer's set and not in the registry's")
	}
	delete(set, p)
	if len(set) == 0 {
		delete(r.sets[kind], name)
	}
	r.count.Add(-1)
}

// route queues a message to each subscription it matches and returns how many
// took it. The caller has locked the channel (Embedded.order).
func (r *registry) route(shard bool, channel, payload []byte) (receivers int) {
	if r.count.Load() == 0 {
		return 0
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	m := r.frames.Get().(*pushFrames)
	defer func() {
		m.release()
		r.frames.Put(m)
	}()
	kind, word := kindChannel, "message"
	if shard {
		kind, word = kindShard, "smessage"
	}
	if set := r.sets[kind][string(channel)]; len(set) > 0 {
		m.set(word, "", channel, payload)
		receivers += deliver(m, set)
	}
	if shard {
		return receivers
	}
	for pattern, set := range r.sets[kindPattern] {
		if glob.Match(pattern, channel) {
			m.set("pmessage", pattern, channel, payload)
			receivers += deliver(m, set)
		}
	}
	return receivers
}

func deliver(m *pushFrames, set map[*peer]struct{}) (receivers int) {
	for p := range set {
		ok, lagged := p.out.push(m)
		if ok {
			receivers++
		} else if lagged {
			p.cut(closeLagged)
		}
	}
	return receivers
}

// subscribers returns how many peers subscribe to each name.
func (r *registry) subscribers(kind int, names [][]byte) []int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	counts := make([]int, len(names))
	for i, name := range names {
		counts[i] = len(r.sets[kind][string(name)])
	}
	return counts
}

// names lists at most limit names of a kind that match the pattern.
func (r *registry) names(kind int, match func(string) bool, limit int) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []string
	for name := range r.sets[kind] {
		if len(list) == limit {
			break
		}
		if match(name) {
			list = append(list, name)
		}
	}
	return list
}

// total returns the subscriptions of all kinds, and the distinct names of each.
func (r *registry) total() (subscriptions int, distinct [kinds]int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for kind := range r.sets {
		distinct[kind] = len(r.sets[kind])
	}
	return int(r.count.Load()), distinct
}

// subscriptionCount is the number that a confirmation carries: Redis counts
// channels and patterns together, shard channels apart.
func (p *peer) subscriptionCount(kind int) int {
	if kind == kindShard {
		return len(p.subs[kindShard])
	}
	return len(p.subs[kindChannel]) + len(p.subs[kindPattern])
}

// subscribed reports whether the peer is in subscribed mode, which restricts
// its commands under RESP2. Its reader calls it.
func (p *peer) subscribed() bool {
	return len(p.subs[kindChannel])+len(p.subs[kindPattern])+len(p.subs[kindShard]) > 0
}

// confirm queues the answer to one name of a (un)subscribe; a nil name is null.
// Only the peer's reader changes resp3, and it is the caller.
func (p *peer) confirm(word string, name []byte, count int) {
	resp3 := p.out.resp3
	b := appendPush(p.scratch[:0], resp3, 3)
	b = redcon.AppendBulkString(b, word)
	if name == nil {
		b = appendNull(b, resp3)
	} else {
		b = redcon.AppendBulk(b, name)
	}
	b = redcon.AppendInt(b, int64(count))
	p.scratch = b
	p.out.reply(b)
}
