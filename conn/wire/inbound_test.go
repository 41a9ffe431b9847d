package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"c10m/conn/wire/wiretest"

	"github.com/gobwas/ws"
)

// messageBytesMax is what the sinks here take.
const messageBytesMax = 64 << 10

// A notebook is a Sink that writes down what it is told.
type notebook struct {
	events []string
	take   bool // accept data messages
	// keep asks for their payloads, which are in payloads then.
	keep     bool
	payloads []string
}

func (n *notebook) Ping(payload []byte)    { n.events = append(n.events, fmt.Sprintf("ping %x", payload)) }
func (n *notebook) Pong()                  { n.events = append(n.events, "pong") }
func (n *notebook) Closed(code uint16)     { n.events = append(n.events, fmt.Sprint("closed ", code)) }
func (n *notebook) Accepts() (int64, bool) { return messageBytesMax, n.keep }
func (n *notebook) Message(opcode ws.OpCode, payload []byte) bool {
	n.events = append(n.events, fmt.Sprint("message ", opcode))
	n.payloads = append(n.payloads, string(payload))
	return n.take
}

// feedPieces feeds a stream cut after the given numbers of bytes. Each piece
// is a copy that is overwritten as soon as its loan ends.
func feedPieces(stream []byte, pieces []int, take bool) (*notebook, Fault, Inbound) {
	var in Inbound
	notes := &notebook{take: take, keep: take}
	fault := FaultNone
	for _, n := range append(slices.Clone(pieces), len(stream)) {
		piece := bytes.Clone(stream[:min(n, len(stream))])
		stream = stream[len(piece):]
		_, fault = in.Feed(piece, notes)
		for i := range piece {
			piece[i] = 0xa5
		}
		if fault != FaultNone {
			break
		}
	}
	return notes, fault, in
}

// richStream has every kind of frame and length, and text cut inside runes;
// the last two messages have these many bytes.
func richStream(longs ...int) []byte {
	text := "aé€😀z"
	stream := slices.Concat(
		wiretest.Ping(""),
		wiretest.Frame(0x01, []byte(text[:2])), // "a" and half of "é"
		wiretest.Ping("in between"),
		wiretest.Frame(0x00, []byte(text[2:5])), // the other half, and a third of "€"
		wiretest.Frame(0x8a, []byte("pong")),
		wiretest.Frame(0x00, nil),
		wiretest.Frame(0x00, []byte(text[5:9])),
		wiretest.Frame(0x80, []byte(text[9:])),
		wiretest.Frame(0x81, nil),
		wiretest.Frame(0x82, nil),
		wiretest.Frame(0x81, []byte(strings.Repeat("é", 62)+"x")), // 125
		wiretest.Frame(0x82, bytes.Repeat([]byte{0xff}, 126)),
		wiretest.Ping(strings.Repeat("p", 125)),
	)
	for _, n := range longs {
		stream = append(stream, wiretest.Frame(0x81, []byte(strings.Repeat("€", n/3)+"xyz"[:n%3]))...)
	}
	return slices.Concat(stream, wiretest.Close(1001, "bye é"), wiretest.Ping("too late"))
}

var richEvents = []string{
	"ping ", "ping 696e206265747765656e", "pong", "message 1", "message 1", "message 2", "message 1", "message 2",
	"ping " + strings.Repeat("70", 125), "message 1", "message 1", "closed 1001",
}

func TestInboundEverySplit(t *testing.T) {
	check := func(stream []byte, pieces ...int) {
		t.Helper()
		notes, fault, in := feedPieces(stream, pieces, true)
		if fault != FaultNone || !slices.Equal(notes.events, richEvents) || !in.stopped {
			t.Fatalf("cut at %.20v: %v %.300q", pieces, fault, notes.events)
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
	stream := slices.Concat(wiretest.Ping("x"), wiretest.Frame(0x01, []byte("é")[:1]), wiretest.Frame(0x80, []byte("é")[1:]))
	_, fault, in := feedPieces(stream, []int{3}, true)
	if fault != FaultNone || !in.Between() {
		t.Fatalf("%v, and not between messages: %+v", fault, in)
	}
	for cut := 1; cut < len(stream); cut++ {
		_, _, in := feedPieces(stream[:cut], nil, true)
		if isWhole := cut == len(wiretest.Ping("x")); in.Between() != isWhole {
			t.Fatalf("after %d bytes between() is %v", cut, in.Between())
		}
	}
	if !new(Inbound).Between() {
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
		header := wiretest.Frame(0x01, bytes.Repeat([]byte{'x'}, 100))[:6]
		payload := wiretest.Frame(0x01, []byte(c.text))[6:]
		for at := 1; at <= c.at; at++ {
			_, fault, _ := feedPieces(slices.Concat(header, payload[:at]), slices.Repeat([]int{1}, 20), true)
			if (fault == FaultText) != (at == c.at) {
				t.Errorf("%q after %d bytes: %v", c.text, at, fault)
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
		if ValidCloseCode(uint16(code)) != good[code] {
			t.Errorf("close code %d: valid is %v", code, !good[code])
		}
	}
}

func TestPingIsAnsweredWithoutAllocating(t *testing.T) {
	var in Inbound
	frame, buffer := wiretest.Ping("payload"), make([]byte, 64)
	to := &counter{}
	if n := testing.AllocsPerRun(100, func() {
		in.Feed(buffer[:copy(buffer, frame)], to)
		in.Feed(buffer[:copy(buffer, frame[:9])], to) // and one in two pieces
		in.Feed(buffer[:copy(buffer, frame[9:])], to)
	}); n != 0 {
		t.Errorf("a ping allocates %v times", n)
	}
	if to.pings != 2*101 {
		t.Errorf("%d pings", to.pings)
	}
}

// A counter is a Sink that keeps nothing.
type counter struct{ pings int }

func (c *counter) Ping([]byte)                    { c.pings++ }
func (c *counter) Pong()                          {}
func (c *counter) Closed(uint16)                  {}
func (c *counter) Accepts() (int64, bool)         { return messageBytesMax, false }
func (c *counter) Message(ws.OpCode, []byte) bool { return true }

// Half a message has twice the memory of what came at the most, whatever its
// frames announce.
func TestHalfAMessageKeepsTwiceItsBytes(t *testing.T) {
	for _, piece := range []int{1, 2, 7, 64, 1024} {
		for _, announced := range []int{piece, 60_000} {
			var in Inbound
			notes := &notebook{take: true, keep: true}
			for sent := 0; sent < 40_000; sent += piece {
				frame := wiretest.Frame([]byte{2, 0}[min(sent, 1)], make([]byte, piece))
				if announced > piece {
					frame = make([]byte, piece) // of the one frame
					if sent == 0 {
						frame = wiretest.Frame(0x82, make([]byte, announced))[:8+piece]
					}
				}
				if _, fault := in.Feed(frame, notes); fault != FaultNone {
					t.Fatal(fault)
				}
				// The runtime rounds up by an eighth at the most.
				if kept := sent + piece; cap(in.payload) > 2*kept+kept/4+8 {
					t.Fatalf("pieces of %d, %d announced: %d bytes are held for %d", piece, announced, cap(in.payload), kept)
				}
			}
		}
	}
}

// The payloads that a sink asked for are whole however the stream is cut, and a
// message in one piece is not copied.
func TestInboundPayloadsEverySplit(t *testing.T) {
	want := []string{"aé€😀z", "", "", strings.Repeat("é", 62) + "x", strings.Repeat("\xff", 126),
		strings.Repeat("€", 42), strings.Repeat("€", 66) + "xy"}
	stream := richStream(126, 200)
	feed := func(pieces ...int) []string {
		var in Inbound
		notes := &notebook{take: true, keep: true}
		rest := stream
		for _, n := range append(pieces, len(stream)) {
			piece := bytes.Clone(rest[:min(n, len(rest))])
			rest = rest[len(piece):]
			if _, fault := in.Feed(piece, notes); fault != FaultNone {
				t.Fatalf("cut at %v: %v", pieces, fault)
			}
			for i := range piece {
				piece[i] = 0xa5
			}
		}
		if in.payload != nil {
			t.Fatalf("cut at %v: a payload is left over", pieces)
		}
		return notes.payloads
	}
	if got := feed(slices.Repeat([]int{1}, len(stream))...); !slices.Equal(got, want) {
		t.Fatalf("byte by byte: %q", got)
	}
	for at := range len(stream) {
		for second := range 8 {
			if got := feed(at, second); !slices.Equal(got, want) {
				t.Fatalf("cut at %d and %d after it: %q", at, second, got)
			}
		}
	}
}

// A taker is a Sink that wants payloads and keeps nothing.
type taker struct {
	counter
	bytes int
}

func (k *taker) Accepts() (int64, bool) { return messageBytesMax, true }
func (k *taker) Message(_ ws.OpCode, payload []byte) bool {
	k.bytes += len(payload)
	return true
}

func TestWholeMessageIsParsedWithoutAllocating(t *testing.T) {
	var in Inbound
	frame, buffer := wiretest.Frame(0x81, []byte("payload")), make([]byte, 64)
	to := &taker{}
	if n := testing.AllocsPerRun(100, func() { in.Feed(buffer[:copy(buffer, frame)], to) }); n != 0 {
		t.Errorf("a message in one piece allocates %v times", n)
	}
	if to.bytes != 101*len("payload") {
		t.Errorf("%d bytes", to.bytes)
	}
}

// A stream cut anywhere says what the whole stream says, and never panics.
func FuzzInbound(f *testing.F) {
	rich := richStream(126, 200)
	f.Add(rich[:120], []byte{1, 2, 3}, true)
	f.Add(rich[len(rich)-40:], []byte{9}, false)
	f.Add(slices.Concat(wiretest.Frame(0x01, []byte("é")[:1]), wiretest.Ping(""), wiretest.Frame(0x80, []byte("é")[1:])), []byte{1}, true)
	f.Add(wiretest.Close(1000, ""), []byte{7, 1}, true)
	f.Add(wiretest.Frame(0x82, make([]byte, messageBytesMax+1))[:20], []byte{2}, true)
	f.Fuzz(func(t *testing.T, stream, cuts []byte, take bool) {
		pieces := make([]int, 0, len(cuts))
		for _, c := range cuts {
			pieces = append(pieces, int(c))
		}
		whole, wholeFault, _ := feedPieces(stream, nil, take)
		for _, pieces := range [][]int{pieces, slices.Repeat([]int{1}, len(stream))} {
			cut, fault, _ := feedPieces(stream, pieces, take)
			if fault != wholeFault || !slices.Equal(cut.events, whole.events) || !slices.Equal(cut.payloads, whole.payloads) {
				t.Fatalf("%x cut at %v: %v %q, whole %v %q", stream, pieces, fault, cut.events, wholeFault, whole.events)
			}
		}
	})
}

func BenchmarkInboundPing(b *testing.B) {
	var in Inbound
	frame, buffer := wiretest.Ping("payload"), make([]byte, 64)
	to := &counter{}
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		in.Feed(buffer[:copy(buffer, frame)], to)
	}
}
