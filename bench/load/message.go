package load

import (
	"bytes"
	"hash/fnv"
	"unicode/utf8"
)

// A digest is what the client keeps of a message while its bytes pass by: the
// payload itself is nowhere collected.
type digest struct {
	opcode  byte
	stamped bool
	corrupt bool // the filler of a stamped payload, or UTF-8 of a text
	// length is of the bytes so far.
	length   uint64
	sequence uint64
	nanos    int64
	hash     uint64 // of the bytes from StampBytes on, only if hashed
	text     textCheck
	head     [headBytesMax]byte
}

func (d *digest) reset(opcode byte) {
	d.opcode, d.stamped, d.corrupt = opcode, false, false
	d.length, d.hash = 0, fnvOffset
	d.text = textCheck{}
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// add takes the next piece, which is at most readBufferBytes long.
func (d *digest) add(p []byte, hashed bool) {
	if d.length < StampBytes {
		n := copy(d.head[d.length:StampBytes], p)
		d.length += uint64(n)
		if d.length < StampBytes {
			return
		}
		p = p[n:]
		d.sequence, d.nanos, d.stamped = parseStamp(d.head[:StampBytes])
		if !d.stamped {
			d.addText(d.head[:StampBytes])
		}
	}
	if d.stamped {
		if !bytes.Equal(p, fillerAt(d.length-StampBytes, len(p))) {
			d.corrupt = true
		}
		d.length += uint64(len(p))
		return
	}
	d.addText(p)
	if hashed {
		if d.length < headBytesMax {
			copy(d.head[d.length:], p)
		}
		for _, c := range p {
			d.hash = (d.hash ^ uint64(c)) * fnvPrime
		}
	}
	d.length += uint64(len(p))
}

// addFiller takes as much of p as continues the filler of a stamped payload.
func (d *digest) addFiller(p []byte) (n int) {
	wanted := fillerAt(d.length-StampBytes, len(p))
	if bytes.Equal(p[:len(p)-1], wanted[:len(p)-1]) {
		n = len(p) - 1
	}
	for n < len(p) && p[n] == wanted[n] {
		n++
	}
	d.length += uint64(n)
	return n
}

// end is called once, after the last piece.
func (d *digest) end() {
	if d.length < StampBytes {
		d.addText(d.head[:d.length])
	}
	if d.opcode == opText && !d.stamped && d.text.unfinished() {
		d.corrupt = true
	}
}

func (d *digest) addText(p []byte) {
	if d.opcode == opText && !d.text.add(p) {
		d.corrupt = true
	}
}

// key tells messages apart for --print.
func (d *digest) key() messageKey {
	h := fnv.New64a()
	h.Write(d.head[:min(d.length, StampBytes)])
	return messageKey{opcode: d.opcode, length: d.length, hash: d.hash ^ h.Sum64()*31}
}

type messageKey struct {
	opcode byte
	length uint64
	hash   uint64
}

// A textCheck is UTF-8 validity over pieces cut anywhere (RFC 6455 section
// 8.1).
type textCheck struct {
	tail  [utf8.UTFMax]byte // of an unfinished character
	bytes uint8
}

// add reports whether the text is valid so far.
func (c *textCheck) add(p []byte) bool {
	for c.bytes > 0 && len(p) > 0 {
		c.tail[c.bytes] = p[0]
		c.bytes++
		p = p[1:]
		if utf8.FullRune(c.tail[:c.bytes]) {
			valid := utf8.Valid(c.tail[:c.bytes])
			c.bytes = 0
			if !valid {
				return false
			}
		}
	}
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		end := p[len(p)-i:]
		if !utf8.RuneStart(end[0]) {
			continue
		}
		if !utf8.FullRune(end) {
			c.bytes = uint8(copy(c.tail[:], end))
			p = p[:len(p)-i]
		}
		break
	}
	return utf8.Valid(p)
}

func (c *textCheck) unfinished() bool { return c.bytes > 0 }
