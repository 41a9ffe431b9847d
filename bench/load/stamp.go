package load

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"golang.org/x/sys/unix"
)

// A stamped payload is
//
//	"c10m/1 " + 16 hex digits sequence + " " + 16 hex digits nanoseconds + filler
//
// It is text, so that the server sends it as a text frame. The sequence begins
// with 1 on every channel. The time is CLOCK_MONOTONIC, which all processes of
// a host share. The filler is a fixed pattern, so that every byte of a payload
// is checked on arrival.
const (
	stampMagic    = "c10m/1 "
	stampSequence = 7 // len(stampMagic), as an untyped constant
	stampNanos    = stampSequence + 16 + 1
	// StampBytes is the size of a stamp, the least size of a stamped payload.
	StampBytes = stampNanos + 16
)

var _ = [1]struct{}{}[len(stampMagic)-stampSequence] // they agree, or this does not compile

const fillerPeriod = 64

const fillerLetters = " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz."

// filler holds so many periods that any piece of one Recv is a slice of it.
var filler = func() []byte {
	b := make([]byte, 0, readBufferBytes+2*fillerPeriod)
	for len(b) < readBufferBytes+fillerPeriod {
		b = append(b, fillerLetters...)
	}
	return b
}()

// fillerAt is what n bytes of filler that begin at offset look like;
// n is at most readBufferBytes.
func fillerAt(offset uint64, n int) []byte {
	start := int(offset % fillerPeriod)
	return filler[start : start+n]
}

// AppendStamped appends a payload of bytes bytes (StampBytes at least).
func AppendStamped(dst []byte, sequence uint64, nanos int64, bytes int) []byte {
	dst = append(dst, stampMagic...)
	dst = appendHex(dst, sequence)
	dst = append(dst, ' ')
	dst = appendHex(dst, uint64(nanos))
	for offset := 0; offset < bytes-StampBytes; {
		n := min(bytes-StampBytes-offset, readBufferBytes)
		dst = append(dst, fillerAt(uint64(offset), n)...)
		offset += n
	}
	return dst
}

// AppendStampedFrame appends the text frame that a server makes of a stamped
// payload (RFC 6455 section 5.2: unmasked, the shortest length).
func AppendStampedFrame(dst []byte, sequence uint64, nanos int64, bytes int) []byte {
	bytes = max(bytes, StampBytes)
	dst = append(dst, finBit|opText)
	switch {
	case bytes < 126:
		dst = append(dst, byte(bytes))
	case bytes < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(bytes))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(bytes))
	}
	return AppendStamped(dst, sequence, nanos, bytes)
}

// ParseStamp reads the stamp of a payload: its number in its channel, and the
// time from which its latency counts (CLOCK_MONOTONIC). ok is false for what was
// not stamped.
func ParseStamp(payload []byte) (sequence uint64, nanos int64, ok bool) {
	if len(payload) < StampBytes {
		return 0, 0, false
	}
	return parseStamp(payload[:StampBytes])
}

// parseStamp reads a stamp; ok is false for any other bytes, and for the
// sequence 0, which nobody sends.
func parseStamp(p []byte) (sequence uint64, nanos int64, ok bool) {
	if len(p) < StampBytes || string(p[:stampSequence]) != stampMagic || p[stampNanos-1] != ' ' {
		return 0, 0, false
	}
	sequence, ok = parseHex(p[stampSequence : stampSequence+16])
	unsigned, okNanos := parseHex(p[stampNanos : stampNanos+16])
	return sequence, int64(unsigned), ok && okNanos && sequence != 0
}

func appendHex(dst []byte, v uint64) []byte {
	var bytes [8]byte
	binary.BigEndian.PutUint64(bytes[:], v)
	return hex.AppendEncode(dst, bytes[:])
}

// parseHex reads 16 lower-case hex digits, eight at a time: a stamp is read for
// every delivery, and this takes a sixth of the time that digit by digit takes.
func parseHex(p []byte) (v uint64, ok bool) {
	high, okHigh := parseHex8(binary.BigEndian.Uint64(p))
	low, okLow := parseHex8(binary.BigEndian.Uint64(p[8:]))
	return high<<32 | low, okHigh && okLow
}

// parseHex8 reads eight digits, the first in the highest byte.
func parseHex8(text uint64) (v uint64, ok bool) {
	const ones = 0x0101010101010101
	// In the low half of its byte a digit has its value, a letter its value
	// less 9; bit 6 tells them apart.
	v = text&(0x0f*ones) + text>>6&ones*9
	// Whatever is no digit does not come back from its value, or has one of
	// more than 15 (g to o).
	letters := (v + 0x06*ones) >> 4 & ones
	ok = v+0x30*ones+letters*('a'-'0'-10) == text && v&(0xf0*ones) == 0
	// Nibbles to bytes, to halves, to one word.
	v = (v | v>>4) & 0x00ff00ff00ff00ff
	v = (v | v>>8) & 0x0000ffff0000ffff
	return (v | v>>16) & 0xffffffff, ok
}

var (
	clockStart  = time.Now()
	clockOrigin = func() int64 {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
			panic("FATAL: no CLOCK_MONOTONIC: " + err.Error())
		}
		return t.Nano() - int64(time.Since(clockStart))
	}()
)

// Nanos is CLOCK_MONOTONIC, the same in all processes of the host. It goes
// through Go's own clock, which reads the same clock without a system call.
func Nanos() int64 { return clockOrigin + int64(time.Since(clockStart)) }
