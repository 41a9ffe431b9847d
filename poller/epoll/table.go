package epoll

import (
	"sync/atomic"

	"c10m/internal/slab"
	"c10m/poller"
)

// The engine's flags of a record.
const (
	flagRegistered   = poller.FlagOfEngine << iota // known to epoll
	flagWriteStalled                               // EPOLLOUT is wanted and not asked for: the kernel is short of memory (stall.go)
)

// A table finds the record of a descriptor. Loops with private descriptor
// tables have one each; loops that share the process's descriptors share one,
// since 32 loops with a sparse table each would touch 32 times the memory.
// A record belongs to the loop whose descriptor it is.
type table struct {
	records        *slab.Sparse[poller.Record]
	connections    atomic.Int64 // open now
	connectionsMax int64        // at which nobody is accepted; 0 is no limit
	exhaustedTo    atomic.Int64 // nobody is accepted until then, since the kernel said EMFILE
}

// newTable makes a table for descriptors 0 to descriptorsMax-1.
func newTable(descriptorsMax, connectionsMax int) *table {
	return &table{
		records:        slab.NewSparse[poller.Record](descriptorsMax),
		connectionsMax: int64(connectionsMax),
	}
}

// full reports whether nobody is to be accepted now: no descriptor is left, or the
// others are to be left to others.
func (t *table) full(now int64) bool {
	return t.connectionsMax != 0 && t.connections.Load() >= t.connectionsMax || now < t.exhaustedTo.Load()
}
