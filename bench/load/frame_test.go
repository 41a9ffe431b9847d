package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// A recorder writes down what a reader finds.
type recorder struct{ lines []string }

func (r *recorder) message(fd uint32, d *digest) {
	stamp := ""
	if d.stamped {
		stamp = fmt.Sprintf(" stamp %d %d", d.sequence, d.nanos)
	}
	r.lines = append(r.lines, fmt.Sprintf("%d: message %d, %d bytes, corrupt %v, hash %x%s",
		fd, d.opcode, d.length, d.corrupt, d.key().hash, stamp))
}

func (r *recorder) control(fd uint32, opcode byte, payload []byte) {
	r.lines = append(r.lines, fmt.Sprintf("%d: control %d %q", fd, opcode, payload))
}

func (r *recorder) piece(fd uint32, _ *partial, p []byte, isLast bool) {
	r.lines = append(r.lines, fmt.Sprintf("%d: piece %q, last %v", fd, p, isLast))
}

func (r *recorder) ownEvent(fd uint32, kind eventKind, text []byte) {
	r.lines = append(r.lines, fmt.Sprintf("%d: event %d %q", fd, kind, text))
}

// read feeds pieces and scribbles on each afterwards, as the next Recv would.
func read(pieces ...[]byte) (lines []string, v violation, held *partial) {
	r := &recorder{}
	reader := reader{sink: r, hashed: true}
	for _, piece := range pieces {
		lent := bytes.Clone(piece)
		held, v = reader.frames(7, held, lent)
		for i := range lent {
			lent[i] = 0xAA
		}
		if v != violationNone {
			break
		}
	}
	if v != violationNone {
		r.lines = append(r.lines, "violation: "+violationNames[v])
	}
	return r.lines, v, held
}

func frame(b0 byte, payload string) []byte {
	return ws.MustCompileFrame(ws.Frame{
		Header:  ws.Header{Fin: b0&finBit != 0, OpCode: ws.OpCode(b0 & 0x0F), Length: int64(len(payload))},
		Payload: []byte(payload),
	})
}

// streams have every kind of frame that may follow another.
func streams() map[string][]byte {
	corrupt := AppendStampedFrame(nil, 9, 8, 300)
	corrupt[250] ^= 1
	return map[string][]byte{
		"whole frames": slices.Concat(
			frame(finBit|opText, "hello"), frame(finBit|opText, ""), frame(finBit|opBinary, "\xFF\xFE"),
			AppendStampedFrame(nil, 1, 12345, StampBytes), AppendStampedFrame(nil, 2, 1<<62, 256), corrupt,
			frame(finBit|opText, strings.Repeat("z\u00e9\u20ac\U0001F600", 13)), frame(finBit|opPing, "ping"), frame(finBit|opClose, "")),
		"the length's three forms": slices.Concat(
			AppendStampedFrame(nil, 1, 1, 125), AppendStampedFrame(nil, 2, 1, 126), AppendStampedFrame(nil, 3, 1, 127)),
		"fragments": slices.Concat(
			frame(opText, "\U0001F600 a \xF0"), frame(finBit|opPing, "between"), frame(opContinuation, ""),
			frame(opContinuation, "\x9F\x98"), frame(finBit|opPong, ""), frame(finBit|opContinuation, "\x80 b"),
			frame(opBinary, ""), frame(finBit|opContinuation, "c"), frame(finBit|opText, "d")),
		"a stamp in fragments": slices.Concat(
			frame(opText, string(AppendStamped(nil, 3, 4, 100)[:17])), frame(finBit|opContinuation, string(AppendStamped(nil, 3, 4, 100)[17:]))),
		"bad text":        slices.Concat(frame(finBit|opText, "\xC3"), frame(finBit|opText, "a\xC3("), frame(finBit|opText, strings.Repeat("a", 60)+"\xE2\x82")),
		"masked":          slices.Concat(frame(finBit|opText, "x"), []byte{finBit | opText, maskBit | 1, 1, 2, 3, 4, 5}),
		"reserved":        {finBit | 0x40 | opText, 1, 'x'},
		"opcode 3":        {finBit | 3, 1, 'x'},
		"opcode 11":       {finBit | 11, 0},
		"long ping":       slices.Concat([]byte{finBit | opPing, 126, 0, 126}, make([]byte, 126)),
		"cut ping":        {opPing, 0},
		"long form of 5":  {finBit | opText, 126, 0, 125, 'h'},
		"longer form":     {finBit | opText, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 'h'},
		"absurd length":   {finBit | opText, 127, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"stray fragment":  frame(finBit|opContinuation, "x"),
		"text in message": slices.Concat(frame(opText, "a"), frame(finBit|opText, "b")),
	}
}

// A stream gives the same, cut in two at every byte, in three at many, and
// byte by byte.
func TestEverySplit(t *testing.T) {
	for name, stream := range streams() {
		t.Run(name, func(t *testing.T) {
			whole, violationWhole, held := read(stream)
			if held != nil {
				t.Fatal("a place is left over after the last frame")
			}
			check := func(pieces ...[]byte) {
				t.Helper()
				lines, v, held := read(pieces...)
				if !slices.Equal(lines, whole) || v != violationWhole || held != nil {
					t.Fatalf("cut after %d bytes: %q, and in one piece: %q; left over: %v", len(pieces[0]), lines, whole, held != nil)
				}
			}
			for i := range stream {
				check(stream[:i], stream[i:])
				for j := i; j < len(stream); j += 1 + len(stream)/16 {
					check(stream[:i], stream[i:j], stream[j:])
				}
			}
			var bytewise [][]byte
			for i := range stream {
				bytewise = append(bytewise, stream[i:i+1])
			}
			check(bytewise...)
		})
	}
}

func TestFramesInOnePiece(t *testing.T) {
	for name, wanted := range map[string]violation{
		"whole frames": violationNone, "the length's three forms": violationNone, "a stamp in fragments": violationNone, "fragments": violationNone, "bad text": violationNone,
		"masked": violationMasked, "reserved": violationReserved, "opcode 3": violationOpcode,
		"opcode 11": violationOpcode, "long ping": violationControl, "cut ping": violationControl,
		"long form of 5": violationLength, "longer form": violationLength, "absurd length": violationLength,
		"stray fragment": violationOrder, "text in message": violationOrder,
	} {
		if _, v, _ := read(streams()[name]); v != wanted {
			t.Errorf("%s: violation %q instead of %q", name, violationNames[v], violationNames[wanted])
		}
	}
	lines, _, _ := read(streams()["whole frames"])
	for i, wanted := range []string{
		"message 1, 5 bytes, corrupt false", "message 1, 0 bytes, corrupt false", "message 2, 2 bytes, corrupt false",
		"stamp 1 12345", "256 bytes, corrupt false", "300 bytes, corrupt true", "message 1, 130 bytes, corrupt false", `control 9 "ping"`, `control 8 ""`,
	} {
		if !strings.Contains(lines[i], wanted) {
			t.Errorf("frame %d gave %q instead of %q", i, lines[i], wanted)
		}
	}
	lines, _, _ = read(streams()["bad text"])
	for _, line := range lines {
		if !strings.Contains(line, "corrupt true") {
			t.Errorf("a text that is not UTF-8: %q", line)
		}
	}
	if lines, _, _ = read(streams()["fragments"]); len(lines) != 5 || strings.Contains(strings.Join(lines, ""), "corrupt true") {
		t.Errorf("fragments gave %q", lines)
	}
}

// A message that is longer than the read buffer, in pieces of that size.
func TestLongMessage(t *testing.T) {
	stream := AppendStampedFrame(nil, 5, 6, 3*readBufferBytes+17)
	pieces := slices.Collect(slices.Chunk(stream, readBufferBytes))
	lines, v, held := read(pieces...)
	if v != violationNone || held != nil || len(lines) != 1 || !strings.Contains(lines[0], "corrupt false") || !strings.Contains(lines[0], "stamp 5 6") {
		t.Errorf("%q, %v", lines, v)
	}
}

// No byte of a payload goes unchecked: any that is wrong makes it corrupt, or
// not stamped, or another stamp.
func TestEveryByteCounts(t *testing.T) {
	stream := AppendStampedFrame(nil, 5, 6, 200)
	good, _, _ := read(stream)
	for i := 4; i < len(stream); i++ {
		bad := bytes.Clone(stream)
		bad[i] ^= 0x10
		if lines, _, _ := read(bad); slices.Equal(lines, good) {
			t.Errorf("byte %d changed, and nobody saw it", i)
		}
	}
}

// FuzzHeader holds the parser to the library's.
func FuzzHeader(f *testing.F) {
	for _, stream := range streams() {
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		h, n, v := parseHeader(p)
		theirs, err := ws.ReadHeader(bytes.NewReader(p))
		if v == violationNone && n > 0 {
			if err != nil || theirs.Masked || theirs.Rsv != 0 || theirs.Fin != h.fin ||
				byte(theirs.OpCode) != h.opcode || uint64(theirs.Length) != h.length || n != ws.HeaderSize(theirs) {
				t.Fatalf("%x: %+v in %d bytes; the library: %+v, %v", p, h, n, theirs, err)
			}
			return
		}
		// What we refuse, the library refuses, too, here or in CheckHeader,
		// but for lengths in a form that is too long.
		if v == violationControl && p[1]&^maskBit > controlBytesMax {
			return
		}
		if err != nil || v == violationLength || v != violationNone && ws.CheckHeader(theirs, ws.StateClientSide) != nil {
			return
		}
		t.Fatalf("%x is incomplete; the library: %+v", p, theirs)
	})
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	discard := &counter{}
	reader := reader{sink: discard}
	stream := slices.Concat(AppendStampedFrame(nil, 1, 2, 256), frame(finBit|opPing, "x"), AppendStampedFrame(nil, 2, 2, 256))
	var held *partial
	allocations := testing.AllocsPerRun(100, func() {
		held, _ = reader.frames(1, held, stream[:300])
		held, _ = reader.frames(1, held, stream[300:])
	})
	if allocations != 0 || discard.n == 0 {
		t.Errorf("%v allocations for three frames, one of them cut", allocations)
	}
}

type counter struct{ n int }

func (c *counter) message(uint32, *digest)      { c.n++ }
func (c *counter) control(uint32, byte, []byte) { c.n++ }

func (c *counter) piece(uint32, *partial, []byte, bool) { c.n++ }
func (c *counter) ownEvent(uint32, eventKind, []byte)   { c.n++ }

// The client's own frames are what the library reads.
func TestMaskedFrames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for size := range controlBytesMax + 1 {
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(random.Uint32())
		}
		r := bytes.NewReader(appendMasked(nil, opPong, payload, random.Uint32()))
		h, err := ws.ReadHeader(r)
		if err != nil || !h.Masked || !h.Fin || h.OpCode != ws.OpPong || h.Length != int64(size) || r.Len() != size {
			t.Fatalf("%+v, %v", h, err)
		}
		got := make([]byte, size)
		r.Read(got)
		ws.Cipher(got, h.Mask, 0)
		if !bytes.Equal(got, payload) {
			t.Fatalf("payload %x became %x", payload, got)
		}
	}
}
