package conn

import (
	"unsafe"

	"c10m/access"
	"c10m/internal/offheap"
)

// grants keep what the tokens of two-way connections allow, outside the garbage
// collector's sight: slots of 64 to 4,096 bytes, of which chunks are mapped and
// never given back, as for the memberships. A slot holds the length of its
// patterns in two bytes and then these.
type grants struct {
	classes [grantClasses]grantClass
}

const (
	grantBytesMin   = 64
	grantClasses    = 7 // the last has grantBytesMax
	grantBytesMax   = grantBytesMin << (grantClasses - 1)
	grantChunkBytes = 1 << 16
)

type grantClass struct {
	chunks []*[grantChunkBytes]byte
	used   uint32   // slots that ever were in use
	free   []uint32 // those that are not now
}

// A grant's number is its slot's in its class, times grantClasses, plus the class,
// plus 1.

// keep copies patterns and returns their number; 0 if they are too long for a slot.
func (g *grants) keep(patterns access.PackedPatterns) (number uint32) {
	at := 0
	for at < grantClasses && grantBytesMin<<at < 2+len(patterns) {
		at++
	}
	if at == grantClasses {
		return 0
	}
	c := &g.classes[at]
	var slot uint32
	if n := len(c.free); n > 0 {
		slot, c.free = c.free[n-1], c.free[:n-1]
	} else {
		slot = c.used
		c.used++
		if int(slot) == len(c.chunks)*(grantChunkBytes/(grantBytesMin<<at)) {
			c.chunks = append(c.chunks, offheap.Array[[grantChunkBytes]byte]())
		}
	}
	number = slot*grantClasses + uint32(at) + 1
	p := g.slot(number)
	p[0], p[1] = byte(len(patterns)>>8), byte(len(patterns))
	copy(p[2:], patterns)
	return number
}

func (g *grants) slot(number uint32) []byte {
	at := (number - 1) % grantClasses
	slot, bytes := (number-1)/grantClasses, uint32(grantBytesMin)<<at
	perChunk := grantChunkBytes / bytes
	chunk := g.classes[at].chunks[slot/perChunk]
	return unsafe.Slice(&chunk[slot%perChunk*bytes], bytes)
}

// of returns what was kept under a number, until drop.
func (g *grants) of(number uint32) access.PackedPatterns {
	p := g.slot(number)
	return access.PackedPatterns(p[2 : 2+int(p[0])<<8+int(p[1])])
}

// drop forgets a number. 0 is none.
func (g *grants) drop(number uint32) {
	if number != 0 {
		c := &g.classes[(number-1)%grantClasses]
		c.free = append(c.free, (number-1)/grantClasses)
	}
}
