package reasons

import (
	"bytes"
	"net/netip"
	"sync"
	"sync/atomic"
)

// A Refusal is one request that was refused.
type Refusal struct {
	Reason Reason
	Peer   netip.AddrPort // as the kernel knows it: a proxy's, behind a proxy
	length int
	line   [refusalLineBytesMax]byte
}

// Line is the beginning of the request's first line, without its query, which may hold
// a token.
func (r *Refusal) Line() string { return string(r.line[:r.length]) }

// Refusals collects those of all loops for whoever looks for a fault (--log-level debug).
type Refusals struct {
	// Guarded by mu.
	mu    sync.Mutex
	rings []*Ring
}

// A Ring is one loop's. It has one writer, its loop, and one reader, takes neither a lock
// nor memory, and drops and counts what finds it full.
type Ring struct {
	entries [refusalsKept]Refusal
	dropped *atomic.Uint64 // those that found it full
	written atomic.Uint64
	read    atomic.Uint64
}

// NewRing makes the ring of a loop, which counts in dropped what it has no room for; nil
// if nobody looks.
func (r *Refusals) NewRing(dropped *atomic.Uint64) *Ring {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ring := &Ring{dropped: dropped}
	r.rings = append(r.rings, ring)
	return ring
}

// Take calls show for each refusal since the last Take. One goroutine may call it.
func (r *Refusals) Take(show func(*Refusal)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ring := range r.rings {
		for read := ring.read.Load(); read < ring.written.Load(); read++ {
			show(&ring.entries[read%refusalsKept])
			ring.read.Store(read + 1)
		}
	}
}

// Dropped is how many so far found a ring full.
func (r *Refusals) Dropped() (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ring := range r.rings {
		n += ring.dropped.Load()
	}
	return n
}

// Note keeps a refusal of a request, or what there is of it, for whoever shows them. It
// is the loop's to call.
func (r *Ring) Note(reason Reason, peer netip.AddrPort, request []byte) {
	written := r.written.Load()
	if written-r.read.Load() == refusalsKept {
		r.dropped.Add(1)
		return
	}
	entry := &r.entries[written%refusalsKept]
	entry.Reason, entry.Peer = reason, peer
	line := request
	if end := bytes.IndexAny(line, "?\r\n"); end >= 0 {
		line = line[:end]
	}
	entry.length = copy(entry.line[:], line)
	r.written.Store(written + 1)
}
