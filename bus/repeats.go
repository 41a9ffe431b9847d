package bus

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"sync"
	"time"
)

// Repeats publishes a message once for each key of its publisher. A publisher that
// got no answer (the network failed, a browser repeated the POST by itself) publishes
// again with the same key, and gets the first answer. Repeats stands in front of a bus,
// for all publishers that can give a key: POST on both ports, and c10m.v1.
//
// A key belongs to its channel. It is remembered for repeatsAge after the first answer,
// in this process only. At keysMax keys the oldest goes early, and is counted. A message
// that was surely not published is forgotten at once, so a repeat publishes it. One that is
// unconfirmed stays so: nobody knows, and a second try could double it.
//
// A repeat that comes before the first answer waits for it. Any goroutine may call the
// methods.
type Repeats struct {
	// Fixed after construction.
	to      Publishable
	counter Counter
	keysMax int
	now     func() time.Duration // since any moment
	seed    maphash.Seed

	mu sync.Mutex
	// Guarded by mu.
	underWay map[repeatKey]*underWay
	known    map[repeatKey]uint64 // numbers in the ring
	ring     []rememberedAnswer   // number n is at n modulo its length
	first    uint64               // number of the oldest
	next     uint64               // number of the newest, plus one
	stats    RepeatsStats
}

// RepeatsStats are counters since the start, and a gauge.
type RepeatsStats struct {
	// Repeats counts messages that were answered and not published again, KeysReused
	// those that were refused since their key was another message's, KeysForgotten keys
	// that went before their time.
	Repeats, KeysReused, KeysForgotten uint64
	// Keys is a gauge: how many are remembered.
	Keys int64
}

// errStillUnconfirmed and errNotWaited are of repeats whose first answer is not known.
var (
	errStillUnconfirmed = errors.New("the bus did not answer the first time")
	errNotWaited        = errors.New("the first message with its key has no answer yet")
)

// A repeatKey is the beginning of a SHA-256 of channel and key: publishers choose both,
// and cannot find two that collide.
type repeatKey [16]byte

func (p *Publication) repeatKey() (key repeatKey) {
	text := make([]byte, 0, 512)
	text = append(append(append(text, p.Channel...), 0), p.Key...) // a key has no NUL
	sum := sha256.Sum256(text)
	copy(key[:], sum[:])
	return key
}

// An answer is what a publisher is told. It is the Receipt of all that have its key.
type answer struct {
	err                      error
	connections, subscribers int
	id                       string
}

func (a *answer) ID() string { return a.id }
func (a *answer) Wait() int  { return a.connections }

// underWay is a message with a key between its first appearance and its answer.
type underWay struct {
	payload uint64 // its hash
	done    chan struct{}
	answer  answer // fixed once done is closed
}

// A rememberedAnswer has no pointers, since there may be very many.
type rememberedAnswer struct {
	key                      repeatKey
	payload                  uint64
	at                       time.Duration
	connections, subscribers int32
	id                       [repeatIDBytesMax]byte
	idBytes                  uint8
	isUnconfirmed            bool
}

func (r *rememberedAnswer) answer() *answer {
	if r.isUnconfirmed {
		return &answer{err: errStillUnconfirmed}
	}
	return &answer{connections: int(r.connections), subscribers: int(r.subscribers), id: string(r.id[:r.idBytes])}
}

// NewRepeats makes a Repeats that publishes to a bus and remembers keysMax keys at most, 120
// bytes each; with 0 every message is published. counter is asked where the bus does
// not say to how many connections a message goes.
func NewRepeats(to Publishable, counter Counter, keysMax int) *Repeats {
	start := time.Now()
	return &Repeats{
		to: to, counter: counter, keysMax: keysMax,
		now:      func() time.Duration { return time.Since(start) },
		seed:     maphash.MakeSeed(),
		underWay: make(map[repeatKey]*underWay),
		known:    make(map[repeatKey]uint64),
	}
}

// Stats returns a snapshot.
func (r *Repeats) Stats() RepeatsStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := r.stats
	stats.Keys = int64(len(r.known))
	return stats
}

// PublishBatch implements Publishable.
func (r *Repeats) PublishBatch(ctx context.Context, batch []*Publication) {
	firsts, claims, repeats := r.claim(batch)
	if len(firsts) > 0 {
		r.to.PublishBatch(ctx, firsts)
	}
	r.settle(claims)
	for _, repeat := range repeats {
		select {
		case <-repeat.first.done:
			repeat.message.answer(&repeat.first.answer)
		case <-ctx.Done():
			repeat.message.Err = errNotWaited
		}
	}
}

// answer has a repeat say what the first message said.
func (p *Publication) answer(a *answer) {
	p.Err, p.Subscribers, p.Receipt = a.err, a.subscribers, a
}

// A claim is a message with a key, and what the first with that key tells its repeats.
type claim struct {
	message *Publication
	key     repeatKey
	payload uint64 // its hash
	first   *underWay
}

// claim parts a batch into what is to be published, those of it that have a key, and
// repeats of messages under way, which include those of claims. Repeats of what is known
// are answered.
func (r *Repeats) claim(batch []*Publication) (firsts []*Publication, claims, repeats []claim) {
	keyed := r.keyed(batch)
	if keyed == nil {
		return batch, nil, nil
	}
	firsts = make([]*Publication, 0, len(batch))
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	for _, p := range batch {
		if len(p.Key) == 0 {
			firsts = append(firsts, p)
			continue
		}
		c := keyed[0]
		keyed = keyed[1:]
		first, isUnderWay := r.underWay[c.key]
		number, isKnown := r.known[c.key]
		switch {
		case isUnderWay && first.payload != c.payload, isKnown && r.at(number).payload != c.payload:
			p.Err = keyReused{}
			r.stats.KeysReused++
		case isUnderWay:
			c.first = first
			repeats = append(repeats, c)
			r.stats.Repeats++
		case isKnown:
			p.answer(r.at(number).answer())
			r.stats.Repeats++
		default:
			c.first = &underWay{payload: c.payload, done: make(chan struct{})}
			r.underWay[c.key] = c.first
			claims, firsts = append(claims, c), append(firsts, p)
		}
	}
	return firsts, claims, repeats
}

// keyed returns the messages of a batch that have a key, none if keys are not looked at.
// It takes no lock: a payload may be long.
func (r *Repeats) keyed(batch []*Publication) (all []claim) {
	for _, p := range batch {
		if len(p.Key) > 0 && r.keysMax > 0 {
			all = append(all, claim{message: p, key: p.repeatKey(), payload: maphash.Bytes(r.seed, p.Payload)})
		}
	}
	return all
}

// settle remembers the answers to claims and tells them to the repeats that wait.
// Repeats in two batches that wait for each other's claims cannot deadlock: each settles
// its claims before it waits.
func (r *Repeats) settle(claims []claim) {
	if len(claims) == 0 {
		return
	}
	messages := make([]*Publication, len(claims))
	for i, c := range claims {
		messages[i] = c.message
	}
	for i, n := range CountConnections(messages, r.counter) {
		p := messages[i]
		claims[i].first.answer = answer{err: p.Err, connections: n, subscribers: p.Subscribers, id: p.ID()}
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range claims {
		c.message.Receipt = &c.first.answer
		delete(r.underWay, c.key)
		if !errors.Is(c.first.answer.err, ErrUnpublished) {
			r.remember(c.key, c.first, now)
		}
		close(c.first.done)
	}
}

// The ring of answers. The caller holds mu.

func (r *Repeats) at(number uint64) *rememberedAnswer {
	return &r.ring[number%uint64(len(r.ring))]
}

// remember appends an answer.
func (r *Repeats) remember(key repeatKey, first *underWay, now time.Duration) {
	if held := int(r.next - r.first); held == r.keysMax {
		r.forgetOldest()
		r.stats.KeysForgotten++
	} else if held == len(r.ring) {
		r.grow()
	}
	a := &first.answer
	kept := rememberedAnswer{
		key: key, payload: first.payload, at: now,
		connections: int32(a.connections), subscribers: int32(a.subscribers), isUnconfirmed: a.err != nil,
	}
	kept.idBytes = uint8(copy(kept.id[:], a.id))
	*r.at(r.next) = kept
	r.known[key] = r.next
	r.next++
}

// grow doubles the ring.
func (r *Repeats) grow() {
	larger := make([]rememberedAnswer, min(max(64, 2*len(r.ring)), r.keysMax))
	for n := r.first; n < r.next; n++ {
		larger[n%uint64(len(larger))] = *r.at(n)
	}
	r.ring = larger
}

// forget drops what is older than repeatsAge.
func (r *Repeats) forget(now time.Duration) {
	for r.first < r.next && now-r.at(r.first).at >= repeatsAge {
		r.forgetOldest()
	}
}

func (r *Repeats) forgetOldest() {
	delete(r.known, r.at(r.first).key)
	r.first++
}
