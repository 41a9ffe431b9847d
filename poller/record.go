package poller

import (
	"sync/atomic"

	"c10m/internal/offheap"
)

// A Record is everything that the server keeps for one idle connection. It is
// pointer-free, lives outside the garbage collector's sight and is touched by
// the connection's loop only. Two records share a 64-byte cache line; none
// straddles one.
type Record struct {
	// Owned by poller.

	// generation tells this use of the descriptor from the next. It is
	// never 0 while open: epoll data with generation 0 is the loop's own.
	generation uint32
	flags      uint8

	// Owned by the handler.

	// Stamp is a time, as coarse as the handler likes.
	Stamp uint8
	// Phase and Marks are the connection's own state.
	Phase uint8
	Marks uint8
	// Room holds what the handler keeps per connection; it is zero when Open
	// is called. The handler lays a struct of its own over it.
	Room [3]uint64
}

// RecordBytesMax is the limit of a Record's size in bytes: the promise behind
// every memory figure. A test asserts it.
const RecordBytesMax = 32

const (
	flagOpen         = 1 << iota // between accept and the reaper
	flagClosing                  // marked; the reaper takes it at the end of the turn
	flagRegistered               // known to epoll
	flagWriteArmed               // EPOLLOUT wanted
	flagWriteStalled             // and not asked for: the kernel is short of memory (stall.go)
	flagReadPaused               // EPOLLIN not wanted
)

const (
	chunkShift   = 12
	chunkRecords = 1 << chunkShift
)

type chunk [chunkRecords]Record

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
func (t *table) get(fd uint32) *Record {
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
func (t *table) make(fd uint32) *Record {
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

// An ownSet is the set of descriptors that a loop owns, one bit each, so that
// a walk over the loop's connections touches no record of another loop.
type ownSet struct {
	words []uint64
	count int
}

func (s *ownSet) add(fd uint32) {
	word := int(fd >> 6)
	if word >= len(s.words) {
		s.words = append(s.words, make([]uint64, word+1-len(s.words))...)
	}
	s.words[word] |= 1 << (fd & 63)
	s.count++
}

func (s *ownSet) has(fd uint32) bool {
	word := int(fd >> 6)
	return word < len(s.words) && s.words[word]>>(fd&63)&1 != 0
}

func (s *ownSet) remove(fd uint32) {
	s.words[fd>>6] &^= 1 << (fd & 63)
	s.count--
}
