package wire

import "math"

// The limits of the formats, with their reasons.
const (
	// HeadBytesMax is the longest head that a Head can hold: its offsets have 16 bits.
	HeadBytesMax = math.MaxUint16
	// NameBytesMax is the longest name of a channel, and EscapedBytesMax that as it is
	// written: each byte may take three.
	NameBytesMax    = 255
	EscapedBytesMax = 3 * NameBytesMax
	// KeyBytesMax is the longest key that a publisher may give its message: a UUID has
	// 36 bytes, and some people put a name in front of it.
	KeyBytesMax = 128
	// IDBytesMax is the longest id of a message: a life, a hyphen, 20 digits.
	IDBytesMax = 32
	// CommandBytesMax is what a command may have beside its payload: the verb, a
	// channel and a key or a position.
	CommandBytesMax = 8 + EscapedBytesMax + KeyBytesMax
	// ReplyBytesMax is the longest answer to one: ERR, the channel, a key, a sentence.
	ReplyBytesMax = 32 + EscapedBytesMax + KeyBytesMax + 200
)
