package channel

import (
	"sync"

	"c10m/internal/trylock"
)

// An Order gives each channel a lock, under which all that must have one order is done
// with its messages. A lock is there only while somebody holds it or waits for it. Two
// channels never have the same one (but for those whose 32-bit hashes are equal), so who
// holds a channel while a loop's mailbox is full holds up nobody who publishes to another.
// A fixed number of locks would: who publishes to many channels comes to a held one soon.
//
// It is a hash table with a mutex per bucket. The zero value has no channel locked. Any
// goroutine may call the methods, but no loop; a loop has try.
type Order struct {
	buckets [orderBuckets]orderBucket
}

type orderBucket struct {
	mu sync.Mutex // held for a few steps, a loop's post to others at most, and never while waiting
	// Guarded by mu: lists of the locks that somebody holds or waits for, and of the rest,
	// which are as many as were held at once.
	held, spare *Held
}

// A Held is the lock of a channel, as Lock returns it.
type Held struct {
	bucket *orderBucket // fixed
	lock   sync.Mutex

	// Guarded by bucket.mu.
	next  *Held
	hash  uint32
	users int // who hold it or wait for it
}

// Lock waits until nobody else has locked the channel.
func (o *Order) Lock(name []byte) *Held { return o.lock(hashName(name)) }

func (o *Order) lock(hash uint32) *Held {
	b := &o.buckets[hash%orderBuckets]
	b.mu.Lock()
	h := b.find(hash)
	h.users++
	b.mu.Unlock()
	h.lock.Lock()
	return h
}

// try locks the bucket of a channel, for a few steps of a loop that waits for nobody: its
// mutex is to be unlocked after them. nil: somebody else is at the channel, or too often at
// others of its bucket.
func (o *Order) try(hash uint32) *orderBucket {
	b := &o.buckets[hash%orderBuckets]
	if !trylock.Lock(&b.mu) {
		return nil
	}
	if b.isHeld(hash) {
		b.mu.Unlock()
		return nil
	}
	return b
}

func (b *orderBucket) isHeld(hash uint32) bool {
	for h := b.held; h != nil; h = h.next {
		if h.hash == hash {
			return true
		}
	}
	return false
}

// find returns the lock of a channel, which it takes from the spare ones or makes if there
// is none. The caller holds mu.
func (b *orderBucket) find(hash uint32) *Held {
	for h := b.held; h != nil; h = h.next {
		if h.hash == hash {
			return h
		}
	}
	h := b.spare
	if h != nil {
		b.spare = h.next
	} else {
		h = &Held{bucket: b}
	}
	h.hash, h.next, b.held = hash, b.held, h
	return h
}

// Unlock lets the next one have the channel.
func (h *Held) Unlock() {
	h.lock.Unlock()
	b := h.bucket
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.users--; h.users > 0 {
		return
	}
	at := &b.held
	for *at != h {
		at = &(*at).next
	}
	*at = h.next
	h.next, b.spare = b.spare, h
}
