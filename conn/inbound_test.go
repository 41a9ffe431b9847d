package conn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// A notebook is a sink that writes down what it is told.
type notebook struct {
	events []string
	take   bool // accept data messages
	// keep asks for their payloads, which are in payloads then.
	keep     bool
	payloads []string
}

func (n *notebook) ping(payload []byte)    { n.events = append(n.events, fmt.Sprintf("ping %x", payload)) }
func (n *notebook) pong()                  { n.events = append(n.events, "pong") }
func (n *notebook) closed(code uint16)     { n.events = append(n.events, fmt.Sprint("closed ", code)) }
func (n *notebook) accepts() (int64, bool) { return inboundBytesMax, n.keep }
func (n *notebook) message(opcode ws.OpCode, payload []byte) Reason {
	n.events = append(n.events, fmt.Sprint("message ", opcode))
	n.payloads = append(n.payloads, string(payload))
	if n.take {
		return reasonNone
	}
	return DataRefused
}

// feedPieces feeds a stream cut after the given numbers of bytes. Each piece
// is a copy that is overwritten as soon as its loan ends.
func feedPieces(stream []byte, pieces []int, take bool) (*notebook, Reason, inbound) {
	var in inbound
	notes := &notebook{take: take, keep: take}
	reason := reasonNone
	for _, n := range append(slices.Clone(pieces), len(stream)) {
		piece := bytes.Clone(stream[:min(n, len(stream))])
		stream = stream[len(piece):]
		_, reason = in.feed(piece, notes)
		for i := range piece {
			piece[i] = 0xa5
		}
		if reason != reasonNone {
			break
		}
	}
	return notes, reason, in
}

// richStream has every kind of frame and length, and text cut inside runes;
// the last two messages have these many bytes.
func richStream(longs ...int) []byte {
	text := "aé€😀z"
	stream := join(
		clientPing(""),
		clientFrame(0x01, []byte(text[:2])), // "a" and half of "é"
		clientPing("in between"),
		clientFrame(0x00, []byte(text[2:5])), // the other half, and a third of "€"
		clientFrame(0x8a, []byte("pong")),
		clientFrame(0x00, nil),
		clientFrame(0x00, []byte(text[5:9])),
		clientFrame(0x80, []byte(text[9:])),
		clientFrame(0x81, nil),
		clientFrame(0x82, nil),
		clientFrame(0x81, []byte(strings.Repeat("é", 62)+"x")), // 125
		clientFrame(0x82, bytes.Repeat([]byte{0xff}, 126)),
		clientPing(strings.Repeat("p", 125)),
	)
	for _, n := range longs {
		stream = append(stream, clientFrame(0x81, []byte(strings.Repeat("€", n/3)+"xyz"[:n%3]))...)
	}
	return join(stream, clientClose(1001, "bye é"), clientPing("too late"))
}

var richEvents = []string{
	"ping ", "ping 696e206265747765656e", "pong", "message 1", "message 1", "message 2", "message 1", "message 2",
	"ping " + strings.Repeat("70", 125), "message 1", "message 1", "closed 1001",
}

func TestInboundEverySplit(t *testing.T) {
	check := func(stream []byte, pieces ...int) {
		t.Helper()
		notes, reason, in := feedPieces(stream, pieces, true)
		if reason != reasonNone || !slices.Equal(notes.events, richEvents) || !in.stopped {
			t.Fatalf("cut at %.20v: %v %.300q", pieces, reason, notes.events)
		}
	}
	short := richStream(126, 200)
	check(short, slices.Repeat([]int{1}, len(short))...)
	for at := range len(short) {
		check(short, at)
		for second := range 20 {
			check(short, at, second)
		}
	}
	long := richStream(65535, 65536)
	check(long)
	check(long, slices.Repeat([]int{1}, len(long))...)
	check(long, slices.Repeat([]int{3}, len(long)/3)...)
	for at := len(long) - 65536 - 65535 - 60; at < len(long); at++ {
		// Inside a long payload one cut is like the next: runes of 3 bytes.
		if at%4999 < 4 || at > len(long)-40 {
			check(long, at)
		}
	}
}

func TestInboundStandsBetweenMessages(t *testing.T) {
	stream := join(clientPing("x"), clientFrame(0x01, []byte("é")[:1]), clientFrame(0x80, []byte("é")[1:]))
	_, reason, in := feedPieces(stream, []int{3}, true)
	if reason != reasonNone || !in.between() {
		t.Fatalf("%v, and not between messages: %+v", reason, in)
	}
	for cut := 1; cut < len(stream); cut++ {
		_, _, in := feedPieces(stream[:cut], nil, true)
		if isWhole := cut == len(clientPing("x")); in.between() != isWhole {
			t.Fatalf("after %d bytes between() is %v", cut, in.between())
		}
	}
	if !new(inbound).between() {
		t.Fatal("the zero value is not between messages")
	}
}

func TestUTF8StreamAgreesWithLibraryAtEveryCut(t *testing.T) {
	texts := []string{
		"", "a", "é", "€", "😀", "a\u0800\uffff\U0010ffff\u07ff", "\xed\x9f\xbf", "\xee\x80\x80",
		"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xff", "a\xc3", "a\xe2\x82", "\xf0\x9f\x98", "\xf0\x9f\x98a", "\xc3\xc3\xa9", "\xe2\x82é",
	}
	for _, text := range texts {
		for first := range len(text) + 1 {
			for second := first; second <= len(text); second++ {
				var u utf8Stream
				valid := true
				for _, piece := range []string{text[:first], text[first:second], text[second:]} {
					valid = valid && u.write([]byte(piece))
				}
				valid = valid && u.complete()
				if want := strings.ToValidUTF8(text, "?") == text; valid != want {
					t.Errorf("%q cut at %d and %d: %v", text, first, second, valid)
				}
			}
		}
	}
}

// A wrong byte is reported with the piece that makes it certain (RFC 6455,
// 8.1; the fail-fast cases of the Autobahn suite).
func TestInvalidUTF8IsReportedAtOnce(t *testing.T) {
	for _, c := range []struct {
		text string
		at   int // number of bytes that make it certain
	}{
		{"ab\xff", 3}, {"\xe0\x80\x80", 2}, {"\xed\xa0\x80", 2}, {"\xf4\x90\x80\x80", 2}, {"a\xf0\x9fx", 4}, {"\x80", 1},
	} {
		header := clientFrame(0x01, bytes.Repeat([]byte{'x'}, 100))[:6]
		payload := clientFrame(0x01, []byte(c.text))[6:]
		for at := 1; at <= c.at; at++ {
			_, reason, _ := feedPieces(join(header, payload[:at]), slices.Repeat([]int{1}, 20), true)
			if (reason == InvalidUTF8) != (at == c.at) {
				t.Errorf("%q after %d bytes: %v", c.text, at, reason)
			}
		}
	}
}

func TestCloseCodes(t *testing.T) {
	good := map[int]bool{1000: true, 1001: true, 1002: true, 1003: true}
	for code := 1007; code <= 1014; code++ {
		good[code] = true
	}
	for code := 3000; code <= 4999; code++ {
		good[code] = true
	}
	for code := range 1 << 16 {
		if validCloseCode(uint16(code)) != good[code] {
			t.Errorf("close code %d: valid is %v", code, !good[code])
		}
	}
}

func TestPingIsAnsweredWithoutAllocating(t *testing.T) {
	var in inbound
	frame, buffer := clientPing("payload"), make([]byte, 64)
	to := &counter{}
	if n := testing.AllocsPerRun(100, func() {
		in.feed(buffer[:copy(buffer, frame)], to)
		in.feed(buffer[:copy(buffer, frame[:9])], to) // and one in two pieces
		in.feed(buffer[:copy(buffer, frame[9:])], to)
	}); n != 0 {
		t.Errorf("a ping allocates %v times", n)
	}
	if to.pings != 2*101 {
		t.Errorf("%d pings", to.pings)
	}
}

// A counter is a sink that keeps nothing.
type counter struct{ pings int }

func (c *counter) ping([]byte)                      { c.pings++ }
func (c *counter) pong()                            {}
func (c *counter) closed(uint16)                    {}
func (c *counter) accepts() (int64, bool)           { return inboundBytesMax, false }
func (c *counter) message(ws.OpCode, []byte) Reason { return reasonNone }

func TestFrameModes(t *testing.T) {
	for _, c := range []struct {
		mode    FrameMode
		payload string
		opcode  ws.OpCode
	}{
		{FrameAuto, "text é", ws.OpText}, {FrameAuto, "\xff", ws.OpBinary}, {FrameAuto, "", ws.OpText},
		{FrameText, "\xff", ws.OpText}, {FrameBinary, "text", ws.OpBinary},
	} {
		for _, n := range []int{1, 100, 125, 126, 65535, 65536, 70000} {
			payload := []byte(strings.Repeat(c.payload, n))
			f, err := readFrame(bytes.NewReader(c.mode.Frame(payload)))
			if err != nil || f.Header.OpCode != c.opcode || !f.Header.Fin || f.Header.Masked || !bytes.Equal(f.Payload, payload) {
				t.Errorf("mode %d, %d bytes: %+v %v", c.mode, len(payload), f.Header, err)
			}
		}
	}
	for _, n := range []int{0, 1, 125, 126, 127, 65534, 65535, 65536} {
		want := ws.MustCompileFrame(ws.NewBinaryFrame(make([]byte, n)))
		if got := FrameBinary.Frame(make([]byte, n)); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: header %x, and the library makes %x", n, got[:10], want[:10])
		}
	}
}

// parseHeader agrees with the library about every input: the same header from
// the same number of bytes, the same error, or both want more.
func FuzzHeader(f *testing.F) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		f.Add(clientFrame(0x82, make([]byte, n))[:min(n+6, 20)])
		f.Add(ws.MustCompileFrame(ws.NewTextFrame(make([]byte, n)))[:min(n+2, 20)])
	}
	f.Add([]byte{0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, p []byte) {
		reader := bytes.NewReader(p)
		want, wantErr := ws.ReadHeader(reader)
		wantSize := len(p) - reader.Len()
		got, size, err := parseHeader(p)
		switch {
		case err != nil:
			// The library reads the mask before it looks at the length.
			if wantErr == nil {
				t.Fatalf("%x: we say %v, the library %+v", p, err, want)
			}
		case size == 0:
			if wantErr == nil {
				t.Fatalf("%x: we want more, the library has %+v", p, want)
			}
		case wantErr != nil || got != want || size != wantSize:
			t.Fatalf("%x: we have %+v from %d bytes, the library %+v from %d, %v", p, got, size, want, wantSize, wantErr)
		}
		if size > headerBytesMax {
			t.Fatalf("%x: a header of %d bytes", p, size)
		}
		if size > 0 && err == nil && minimal(got, size) && size != ws.HeaderSize(got) {
			t.Fatalf("%x: %d bytes are not minimal", p, size)
		}
	})
}

// A stream cut anywhere says what the whole stream says, and never panics.
func FuzzInbound(f *testing.F) {
	rich := richStream(126, 200)
	f.Add(rich[:120], []byte{1, 2, 3}, true)
	f.Add(rich[len(rich)-40:], []byte{9}, false)
	f.Add(join(clientFrame(0x01, []byte("é")[:1]), clientPing(""), clientFrame(0x80, []byte("é")[1:])), []byte{1}, true)
	f.Add(clientClose(1000, ""), []byte{7, 1}, true)
	f.Add(clientFrame(0x82, make([]byte, inboundBytesMax+1))[:20], []byte{2}, true)
	f.Fuzz(func(t *testing.T, stream, cuts []byte, take bool) {
		pieces := make([]int, 0, len(cuts))
		for _, c := range cuts {
			pieces = append(pieces, int(c))
		}
		whole, wholeReason, _ := feedPieces(stream, nil, take)
		for _, pieces := range [][]int{pieces, slices.Repeat([]int{1}, len(stream))} {
			cut, reason, _ := feedPieces(stream, pieces, take)
			if reason != wholeReason || !slices.Equal(cut.events, whole.events) || !slices.Equal(cut.payloads, whole.payloads) {
				t.Fatalf("%x cut at %v: %v %q, whole %v %q", stream, pieces, reason, cut.events, wholeReason, whole.events)
			}
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	p := clientFrame(0x82, make([]byte, 126))
	b.ReportAllocs()
	for b.Loop() {
		if _, size, _ := parseHeader(p); size != 8 {
			b.Fatal(size)
		}
	}
}

func BenchmarkInboundPing(b *testing.B) {
	var in inbound
	frame, buffer := clientPing("payload"), make([]byte, 64)
	to := &counter{}
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		in.feed(buffer[:copy(buffer, frame)], to)
	}
}

func BenchmarkFrame(b *testing.B) {
	for _, n := range []int{16, 256, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			payload := binary.BigEndian.AppendUint64(nil, 1)
			payload = append(payload, bytes.Repeat([]byte{'x'}, n-8)...)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				FrameAuto.Frame(payload)
			}
		})
	}
}
