package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"c10m/conn/wire"
	"c10m/internal/patience"
)

// Section 9 of the suite, limits and performance: 54 cases, each at its full size and
// sent in the suite's own pieces. It is not cut at every byte: a message of 16 MiB would
// be so many connections.

// limitBytesMax is the suite's longest message.
const limitBytesMax = 16 << 20

// The suite's payloads are these, again and again.
const (
	textPattern   = "BAsd7&jh23"
	binaryPattern = "\x00\xfe\x23\xfa\xf0"
)

// repeated is a pattern up to so many bytes.
func repeated(pattern string, size int) string {
	return strings.Repeat(pattern, size/len(pattern)+1)[:size]
}

// A limitCase is a case of section 9. The stream of its case is sent in writes of chop
// bytes, or of 64 KiB if that is 0; and then goes round as often as trips says.
type limitCase struct {
	conformanceCase
	chop  int
	trips int
	trip  string // the payload of a trip
}

// section9 are the 54 cases.
func section9() (cases []limitCase) {
	add := func(c conformanceCase, chop int) { cases = append(cases, limitCase{conformanceCase: c, chop: chop}) }
	for sub, kind := range []struct {
		first   byte
		pattern string
		filler  string // of sections 9.3, 9.4, 9.7 and 9.8
		hears   func(*clientStream, string) *clientStream
	}{
		{1, textPattern, "*", (*clientStream).text},
		{2, binaryPattern, "\xfe", (*clientStream).binary},
	} {
		for i, size := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20} {
			payload := repeated(kind.pattern, size)
			add(kind.hears(newCase("9.%d.%d", 1+sub, 1+i).frame(0x80|kind.first, payload), payload).ok(), 0)
		}
		payload := repeated(kind.filler, 4<<20)
		for i, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20} {
			add(kind.hears(newCase("9.%d.%d", 3+sub, 1+i).fragments(kind.first, payload, size), payload).ok(), 0)
		}
		payload = repeated(kind.pattern, 1<<20)
		for i, size := range []int{64, 128, 256, 512, 1024, 2048} {
			add(kind.hears(newCase("9.%d.%d", 5+sub, 1+i).frame(0x80|kind.first, payload), payload).ok(), size)
		}
		for i, size := range []int{0, 16, 64, 256, 1 << 10, 4 << 10} {
			payload := repeated(kind.filler, size)
			c := kind.hears(newCase("9.%d.%d", 7+sub, 1+i).frame(0x80|kind.first, payload), payload).ok()
			cases = append(cases, limitCase{conformanceCase: c, trips: 1000, trip: payload})
		}
	}
	return cases
}

// TestConformanceOfLimits plays section 9 with a server that takes 16 MiB.
func TestConformanceOfLimits(t *testing.T) {
	servers := map[wire.FrameMode]*server{
		wire.FrameAuto:   start(t, wire.FrameAuto, limitBytesMax),
		wire.FrameBinary: start(t, wire.FrameBinary, limitBytesMax),
	}
	cases := section9()
	counts := make(map[string]int)
	for i := range cases {
		c := &cases[i]
		mode := wire.FrameAuto
		if c.name == "9.8.1" {
			// An empty binary message comes back as text else, as anything that is UTF-8
			// (1.2.1).
			mode = wire.FrameBinary
		}
		if err := c.play(servers[mode], i); err != nil {
			t.Errorf("case %s: %v", c.name, err)
		}
		counts[c.name[:3]]++
	}
	for sub, want := range map[string]int{"9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6} {
		if counts[sub] != want {
			t.Errorf("there are %d cases %s, and the suite has %d", counts[sub], sub, want)
		}
	}
	if !t.Failed() {
		for _, s := range servers {
			s.checkNothingLeft(t)
		}
	}
}

// play plays a case on a connection of its own.
func (c *limitCase) play(s *server, number int) error {
	client, err := net.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer client.Close()
	client.SetDeadline(patience.Deadline())
	t := trial{c: &c.conformanceCase, conn: client.(*net.TCPConn), reader: bufio.NewReaderSize(client, 64<<10)}
	io.WriteString(client, upgradeRequest(fmt.Sprint("/", number)))
	if err := t.upgraded(); err != nil {
		return err
	}
	chop := c.chop
	if chop == 0 {
		chop = 64 << 10
	}
	for trip := 1; ; trip++ {
		for from := 0; from < len(c.stream); from += chop {
			if err := t.send(from, min(from+chop, len(c.stream))); err != nil {
				return err
			}
		}
		if trip >= c.trips {
			return t.judge() // the last one, and the goodbye
		}
		f, err := readFrame(t.reader)
		if err != nil || string(f.Payload) != c.trip || byte(f.Header.OpCode) != c.stream[0]&0x0f {
			return fmt.Errorf("trip %d: %+v, %v", trip, f.Header, err)
		}
	}
}
