package conn

import (
	"bytes"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Refusals are shown to whoever looks for a fault (--log-level debug). A loop puts each
// into a ring of its own, which takes neither a lock nor memory, and drops and counts
// what finds it full; somebody else takes them out and logs them.

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

// Refusals collects those of all loops.
type Refusals struct {
	// Guarded by mu.
	mu    sync.Mutex
	rings []*refusalRing
}

// A refusalRing has one writer, its loop, and one reader.
type refusalRing struct {
	entries [refusalsKept]Refusal
	dropped *atomic.Uint64 // those that found it full
	written atomic.Uint64
	read    atomic.Uint64
}

func (r *Refusals) newRing(dropped *atomic.Uint64) *refusalRing {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ring := &refusalRing{dropped: dropped}
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

// noteRefusal keeps a refusal for whoever shows them, if anybody does.
func (s *Server) noteRefusal(fd uint32, request []byte, reason Reason) {
	ring := s.refusals
	if ring == nil {
		return
	}
	written := ring.written.Load()
	if written-ring.read.Load() == refusalsKept {
		ring.dropped.Add(1)
		return
	}
	entry := &ring.entries[written%refusalsKept]
	entry.Reason = reason
	entry.Peer, _ = s.loop.Peer(fd)
	line := request
	if end := bytes.IndexAny(line, "?\r\n"); end >= 0 {
		line = line[:end]
	}
	entry.length = copy(entry.line[:], line)
	ring.written.Store(written + 1)
}
