package epoll

import (
	"sync/atomic"

	"c10m/internal/offheap"
	"c10m/poller"
)

// The engine's flags of a record.
const (
	flagRegistered   = poller.FlagOfEngine << iota // known to epoll
	flagWriteStalled                               // EPOLLOUT is wanted and not asked for: the kernel is short of memory (stall.go)
)

const (
	chunkShift   = 12
	chunkRecords = 1 << chunkShift
)

type chunk [chunkRecords]poller.Record

// A table finds the record of a descriptor. Loops with private descriptor
// tables have one each; loops that share the process's descriptors share one,
// since 32 loops with a sparse table each would touch 32 times the memory.
// A record belongs to the loop whose descriptor it is, so only the list of
// chunks is shared, and it is atomic.
type table struct {
	chunks         []atomic.Pointer[chunk]
	connections    atomic.Int64 // open now
	connectionsMax int64        // at which nobody is accepted; 0 is no limit
	exhaustedTo    atomic.Int64 // nobody is accepted until then, since the kernel said EMFILE
}

// newTable makes a table for descriptors 0 to descriptorsMax-1.
func newTable(descriptorsMax, connectionsMax int) *table {
	return &table{
		chunks:         make([]atomic.Pointer[chunk], descriptorsMax/chunkRecords+1),
		connectionsMax: int64(connectionsMax),
	}
}

// full reports whether nobody is to be accepted now: no descriptor is left, or the
// others are to be left to others.
func (t *table) full(now int64) bool {
	return t.connectionsMax != 0 && t.connections.Load() >= t.connectionsMax || now < t.exhaustedTo.Load()
}

// get returns the record of fd, or nil if fd was never open.
func (t *table) get(fd uint32) *poller.Record {
	index := fd >> chunkShift
	if int(index) >= len(t.chunks) {
		return nil
	}
	c := t.chunks[index].Load()
	if c == nil {
		return nil
	}
	return &c[fd&(chunkRecords-1)]
}

// make returns the record of fd and maps its chunk at first use. It returns
// nil if fd is beyond the table.
func (t *table) make(fd uint32) *poller.Record {
	index := fd >> chunkShift
	if int(index) >= len(t.chunks) {
		return nil
	}
	if t.chunks[index].Load() == nil {
		// Two loops may race for one chunk; the loser's mapping was never
		// touched and costs address space only.
		t.chunks[index].CompareAndSwap(nil, offheap.Array[chunk]())
	}
	return &t.chunks[index].Load()[fd&(chunkRecords-1)]
}
