package channel

import (
	"hash/maphash"
	"unicode/utf8"
)

// A Message is one published payload on its way through the loops: framed
// once for each format, shared by all, immutable.
type Message struct {
	name         []byte
	hash         uint32
	payloadBytes uint32   // the payload is the end of the frame
	frame        []byte   // nil for a question about the number of members
	extra        int      // bytes that it takes beside its frame
	at           int64    // when it was published, nanoseconds of poller.Now
	receipt      *Receipt // nil if nobody waits for the count
	number       uint64   // of its id
	hub          *Hub     // which has the encoders
	alternates   alternates
}

// messageBytesExtra is what a message takes beside its frame: itself, its name,
// receipt and letters, its entry in a log, and what the allocator rounds up.
// Without it, a log of a million empty messages would count as empty.
const messageBytesExtra = 256

// cost is what the message counts against all limits in bytes. The other formats
// are not in it: they come and go with the members that want them, and a message
// that stays for their sake takes twice as much or somewhat more: an event in base64
// 1.3 times the payload, and at worst, of nothing but line feeds, 7 times.
func (m *Message) cost() int { return len(m.frame) + m.extra }

// hashSeed is one for the process, so that a publisher hashes a name once for
// all loops; random, so that nobody can choose names that collide.
var hashSeed = maphash.MakeSeed()

func hashName(name []byte) uint32 { return uint32(maphash.Bytes(hashSeed, name)) }

// Reserved is how names begin that belong to the server: its pages on the
// WebSocket ports, its own messages on the bus.
const Reserved = "-/"

// ValidName reports whether clients may subscribe to name: 1 to NameBytesMax
// bytes of UTF-8 that do not begin with Reserved.
func ValidName(name []byte) bool {
	return len(name) >= 1 && len(name) <= NameBytesMax && utf8.Valid(name) && !IsReserved(name)
}

// IsReserved reports whether name begins with Reserved.
func IsReserved[T string | []byte](name T) bool {
	return len(name) >= len(Reserved) && string(name[:len(Reserved)]) == Reserved
}
