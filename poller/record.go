package poller

// A Record is everything that the server keeps for one idle connection. It is
// pointer-free, lives outside the garbage collector's sight and is touched by
// the connection's loop only. Two records share a 64-byte cache line; none
// straddles one.
type Record struct {
	// Owned by the loop; its engine reads them, and has the upper four flags.

	// Generation tells this use of the number from the next. It is never 0 while
	// open.
	Generation uint32
	Flags      uint8

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

// The loop's flags of a record. The engine's begin at FlagOfEngine.
const (
	FlagOpen       = 1 << iota // until the reaper
	FlagClosing                // marked; the reaper takes it at the end of the turn
	FlagWriteArmed             // Writable is wanted
	FlagReadPaused             // Readable is not wanted
	FlagOfEngine
)

// An ownSet is the set of connections that a loop owns, one bit each, so that
// a walk over the loop's connections touches no record of another loop.
type ownSet struct {
	words []uint64
	count int
}

func (s *ownSet) add(number uint32) {
	word := int(number >> 6)
	if word >= len(s.words) {
		s.words = append(s.words, make([]uint64, word+1-len(s.words))...)
	}
	s.words[word] |= 1 << (number & 63)
	s.count++
}

func (s *ownSet) has(number uint32) bool {
	word := int(number >> 6)
	return word < len(s.words) && s.words[word]>>(number&63)&1 != 0
}

func (s *ownSet) remove(number uint32) {
	s.words[number>>6] &^= 1 << (number & 63)
	s.count--
}
