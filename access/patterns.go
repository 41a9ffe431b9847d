package access

import (
	"encoding/binary"

	"c10m/internal/glob"
)

// Patterns are the channels that a token allows, by their patterns: those to
// subscribe to and those to publish to.
type Patterns struct{ Subscribe, Publish []string }

// A PackedPatterns is Patterns in one run of bytes without a pointer, so that
// whoever holds a connection of many channels can keep what its token allows for
// as long as it lives, outside the garbage collector's sight: for each pattern
// two bytes that hold its kind and its length, and the pattern.
type PackedPatterns []byte

const (
	packedPublish   = 1 << 15 // in a pattern's head: it is for publishing
	packedLengthMax = packedPublish - 1
)

// Pack appends the patterns to p. A token comes in a request of 4,096 bytes, and
// base64 takes a third more than what is in it, so they are never as long as
// that; a pattern beyond packedLengthMax could not be kept and is left out,
// which allows less and not more.
func (a Patterns) Pack(p PackedPatterns) PackedPatterns {
	p = packAll(p, 0, a.Subscribe)
	return packAll(p, packedPublish, a.Publish)
}

func packAll(p []byte, kind uint16, patterns []string) []byte {
	for _, pattern := range patterns {
		if len(pattern) > packedLengthMax {
			continue
		}
		p = binary.BigEndian.AppendUint16(p, kind|uint16(len(pattern)))
		p = append(p, pattern...)
	}
	return p
}

// AllowsSubscribe reports whether a client may subscribe to channel.
func (p PackedPatterns) AllowsSubscribe(channel []byte) bool { return p.allows(0, channel) }

// AllowsPublish reports whether a client may publish to channel.
func (p PackedPatterns) AllowsPublish(channel []byte) bool { return p.allows(packedPublish, channel) }

func (p PackedPatterns) allows(kind uint16, channel []byte) bool {
	for len(p) > 0 {
		head := binary.BigEndian.Uint16(p)
		end := 2 + int(head&packedLengthMax)
		if head&packedPublish == kind && glob.Match([]byte(p[2:end]), channel) {
			return true
		}
		p = p[end:]
	}
	return false
}
