/*
Package conformance holds RFC 6455 as a table of tests, in the cases and with the
numbers of the public Autobahn test suite: its sections 1 to 7 and 10 (247 cases), and
the 54 of section 9, limits and performance. They run over real sockets against the rooms of
the server, with an embedded bus, and with clients that may publish to their own channel, so
that a client hears its echo as the suite expects it.

What is cut: a case of up to 2,048 bytes, at every byte, each cut on a connection of its
own. A longer one near both its ends, in and around the headers of its first and last frames,
and at ten or thirty places between (cutsOf). Section 9 is not cut, but sent in the suite's
own pieces, at its full sizes of up to 16 MiB; what a stream says in pieces of 1 byte is
package conn's to prove.

It is apart from package conn because its tests need the bus, and a fuzz target
of conn would then be built with all of a Redis client in it.
*/
package conformance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"c10m/conn/wire"
	"c10m/internal/patience"

	"github.com/gobwas/ws"
)

// The suite knows the outcomes OK and NON-STRICT (allowed, but not the best) and
// INFORMATIONAL (whatever). Where we are not OK, the case has a remark that says
// why. Each case is played whole, and once for every byte at which its stream can
// be cut in two reads; streams beyond cutAllBytesMax are cut as cutsOf says.

// How a case ends.
const (
	endsByUs   = iota // all was right: the client says goodbye and is answered
	endsItself        // the case has a close frame, which is answered with a code of codes
	endsFailed        // the server fails the connection with a code of codes
)

const noCode = 0 // a close frame without a code

// A conformanceCase is what a client sends and what it must hear.
type conformanceCase struct {
	name   string
	stream []byte
	frames []int // where frames begin in stream
	// want are the pongs and messages, in order. Those that are mayMiss are
	// allowed to be missing: the suite calls that NON-STRICT.
	want  []heard
	ends  int
	codes []int
	// fatalAt is how many bytes of stream make it certain that it has to be
	// failed: it must be by then, and must not be before.
	fatalAt int
	// talksOn: it says something after its close frame, which may be answered
	// with a reset, after the close frame.
	talksOn       bool
	informational bool
	remark        string
}

type heard struct {
	what    string // "pong", "text" or "binary"
	payload string
	mayMiss bool
}

func (h heard) String() string { return fmt.Sprintf("%s %.40q", h.what, h.payload) }

// A clientStream builds a client's stream by hand, so that it can be wrong.
type clientStream struct {
	c     conformanceCase
	masks uint32
}

// frame appends a masked frame with any first byte.
func (w *clientStream) frame(first byte, payload string) *clientStream {
	w.c.frames = append(w.c.frames, len(w.c.stream))
	p := append(w.c.stream, first)
	switch n := len(payload); {
	case n < 126:
		p = append(p, 0x80|byte(n))
	case n < 1<<16:
		p = binary.BigEndian.AppendUint16(append(p, 0x80|126), uint16(n))
	default:
		p = binary.BigEndian.AppendUint64(append(p, 0x80|127), uint64(n))
	}
	// Each mask is another one, beginning with the one that changes nothing.
	mask := binary.BigEndian.AppendUint32(nil, w.masks*0x9e3779b9)
	w.masks++
	p = append(p, mask...)
	at := len(p)
	p = append(p, payload...)
	for i := range len(payload) {
		p[at+i] ^= mask[i%4]
	}
	w.c.stream = p
	return w
}

// bad appends a frame whose header is wrong.
func (w *clientStream) bad(first byte, payload string) *clientStream {
	w.frame(first, payload)
	w.c.fatalAt = len(w.c.stream) - len(payload)
	return w
}

// fragments appends a message in pieces of n bytes.
func (w *clientStream) fragments(opcode byte, payload string, n int) *clientStream {
	for len(payload) > n {
		w.frame(opcode, payload[:n])
		payload, opcode = payload[n:], 0
	}
	return w.frame(0x80|opcode, payload)
}

func (w *clientStream) pong(payload string) *clientStream {
	return w.hears(heard{what: "pong", payload: payload})
}
func (w *clientStream) text(payload string) *clientStream {
	return w.hears(heard{what: "text", payload: payload})
}
func (w *clientStream) binary(payload string) *clientStream {
	return w.hears(heard{what: "binary", payload: payload})
}

func (w *clientStream) hears(h heard) *clientStream {
	w.c.want = append(w.c.want, h)
	return w
}

// overtaken: the last echo may be missing, since the failure overtakes it.
func (w *clientStream) overtaken() *clientStream {
	w.c.want[len(w.c.want)-1].mayMiss = true
	w.c.remark = "the echo comes through the bus, and the failure does not wait for it"
	return w
}

func (w *clientStream) failed(codes ...int) conformanceCase {
	w.c.ends, w.c.codes = endsFailed, codes
	if w.c.fatalAt == 0 {
		panic("BUG: case " + w.c.name + " does not say where it is wrong")
	}
	return w.c
}

func (w *clientStream) ok() conformanceCase { return w.c }

func (w *clientStream) answered(codes ...int) conformanceCase {
	w.c.ends, w.c.codes = endsItself, codes
	return w.c
}

func newCase(name string, args ...any) *clientStream {
	return &clientStream{c: conformanceCase{name: fmt.Sprintf(name, args...)}}
}

// cutAllBytesMax is up to which length a stream is cut at every byte, and
// cutEdgeBytes what is cut so of a longer one, from both ends; of those of
// cutLongBytes or more, enough for a header.
const (
	cutAllBytesMax = 2048
	cutEdgeBytes   = 64
	cutLongBytes   = 200_000
	cutHeaderBytes = 16
	cutFramesMax   = 40
)

// cutsOf are the places where a case is cut in two; 0 is not at all. A stream of
// up to cutAllBytesMax is cut at every byte. A longer one near both its ends,
// within a byte of the beginning and of the end of the header of its first and
// last frames, cutFramesMax together, and at up to thirty places in between.
func cutsOf(c *conformanceCase) []int {
	n, edge, between := len(c.stream), cutEdgeBytes, 30
	if n >= cutLongBytes {
		edge, between = cutHeaderBytes, 10
	}
	cuts := map[int]bool{0: true}
	for at := 1; at < n; at++ {
		if n <= cutAllBytesMax || at <= edge || n-at <= edge || at%(n/between) == 0 {
			cuts[at] = true
		}
	}
	for i, frame := range c.frames {
		if i > cutFramesMax/2 && len(c.frames)-i > cutFramesMax/2 {
			continue
		}
		for _, at := range []int{-1, 0, 1, 5, 6, 7, 8} {
			if at += frame; at > 0 && at < n {
				cuts[at] = true
			}
		}
	}
	all := make([]int, 0, len(cuts))
	for at := range cuts {
		all = append(all, at)
	}
	slices.Sort(all)
	return all
}

// A trial is one case, cut at one place, on one connection.
type trial struct {
	c      *conformanceCase
	cut    int
	conn   *net.TCPConn
	reader *bufio.Reader
	strict bool
}

// conformanceBatch is how many connections a worker has open at once, and
// conformanceBatchBytes how much it may have said on them before it reads the
// first echo: who lets the server wait for long is closed as a slow reader.
const (
	conformanceBatch      = 250
	conformanceBatchBytes = 2 << 20
)

// batches divides trials.
func batches(trials []*trial) (all [][]*trial) {
	for first, bytes := 0, 0; first < len(trials); first, bytes = first+len(all[len(all)-1]), 0 {
		n := 0
		for n < conformanceBatch && first+n < len(trials) && (n == 0 || bytes < conformanceBatchBytes) {
			bytes += len(trials[first+n].c.stream)
			n++
		}
		all = append(all, trials[first:first+n])
	}
	return all
}

// TestConformance plays every case at every cut.
func TestConformance(t *testing.T) {
	cases := conformanceCases()
	played, nonStrict := playCases(t, start(t, wire.FrameAuto, messageBytesDefault), cases)
	var remarks []string
	informational := 0
	for i := range cases {
		c := &cases[i]
		if c.informational {
			informational++
		}
		if n := nonStrict[c.name]; n > 0 && c.remark == "" {
			t.Errorf("case %s is not OK at %d cuts, and nothing says why", c.name, n)
		}
		if c.remark != "" {
			remarks = append(remarks, fmt.Sprintf("%s (NON-STRICT at %d of %d cuts): %s", c.name, nonStrict[c.name], len(cutsOf(c)), c.remark))
		}
	}
	t.Logf("%d cases of RFC 6455, %d of them informational, cut at %d places; %d with a remark:\n%s",
		len(cases), informational, played, len(remarks), strings.Join(remarks, "\n"))
	checkSections(t, cases)
}

// TestConformanceOfBinary plays the cases of binary messages with --frame
// binary, which brings back the empty one as what it was, too.
func TestConformanceOfBinary(t *testing.T) {
	var cases []conformanceCase
	for _, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		for _, payload := range []string{strings.Repeat("\xfe", n), strings.Repeat("*", n)} {
			cases = append(cases, newCase("1.2 with %d bytes of %.1q", n, payload).frame(0x82, payload).binary(payload).ok())
		}
	}
	playCases(t, start(t, wire.FrameBinary, messageBytesDefault), cases)
}

// playCases plays all cuts of all cases and returns how many there were, and at
// how many of them a case was not as strict as it could be.
func playCases(t *testing.T, s *server, cases []conformanceCase) (played int, nonStrict map[string]int) {
	var trials []*trial
	for i := range cases {
		for _, cut := range cutsOf(&cases[i]) {
			trials = append(trials, &trial{c: &cases[i], cut: cut})
		}
	}
	all := batches(trials)
	var workers sync.WaitGroup
	var next, failures atomic.Int64
	for range 4 {
		workers.Go(func() {
			for failures.Load() < 10 {
				at := int(next.Add(1)) - 1
				if at >= len(all) {
					return
				}
				for _, err := range s.playBatch(at, all[at]) {
					failures.Add(1)
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	nonStrict = make(map[string]int)
	for _, trial := range trials {
		if !trial.strict {
			nonStrict[trial.c.name]++
		}
	}
	if !t.Failed() {
		s.checkNothingLeft(t)
	}
	return len(trials), nonStrict
}

// playBatch plays trials side by side, so that they share the waits for the
// server to have read the first pieces.
func (s *server) playBatch(number int, batch []*trial) (errs []error) {
	each := func(do func(i int, t *trial) error) {
		for i, trial := range batch {
			if trial.conn == nil {
				continue
			}
			if err := do(i, trial); err != nil {
				trial.conn.Close()
				trial.conn = nil
				errs = append(errs, fmt.Errorf("case %s, cut at %d of %d: %w", trial.c.name, trial.cut, len(trial.c.stream), err))
			}
		}
	}
	for i, trial := range batch {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			return []error{err}
		}
		c.SetDeadline(patience.Deadline())
		trial.conn, trial.reader = c.(*net.TCPConn), bufio.NewReader(c)
		io.WriteString(c, upgradeRequest(fmt.Sprintf("/%d/%d", number, i)))
	}
	each(func(_ int, t *trial) error { return t.upgraded() })
	each(func(_ int, t *trial) error { return t.send(0, t.cut) })
	s.hasRead()
	each(func(_ int, t *trial) error { return t.notTooEarly() })
	each(func(_ int, t *trial) error {
		if t.c.fatalAt > 0 && t.cut >= t.c.fatalAt {
			return nil // the rest is not needed to know, so it never comes
		}
		return t.send(t.cut, len(t.c.stream))
	})
	each(func(_ int, t *trial) error { return t.judge() })
	each(func(_ int, t *trial) error { return t.conn.Close() })
	return errs
}

func (t *trial) upgraded() error {
	for first := true; ; first = false {
		line, err := t.reader.ReadString('\n')
		if err != nil || first && !strings.Contains(line, " 101 ") {
			return fmt.Errorf("no upgrade: %q %v", line, err)
		}
		if line == "\r\n" {
			return nil
		}
	}
}

func (t *trial) send(from, to int) error {
	_, err := t.conn.Write(t.c.stream[from:to])
	if err != nil && (t.c.talksOn || t.c.ends == endsFailed) {
		return nil // the server may have gone by its close frame or ours
	}
	return err
}

// notTooEarly checks that nothing was failed by a piece that need not be wrong.
func (t *trial) notTooEarly() error {
	if t.c.ends != endsFailed || t.cut >= t.c.fatalAt || len(t.c.want) > 0 {
		return nil
	}
	raw, err := t.conn.SyscallConn()
	if err != nil {
		return err
	}
	n := 0
	raw.Read(func(fd uintptr) bool {
		n, _, err = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	if err != syscall.EAGAIN {
		return fmt.Errorf("it is failed after %d bytes, and only byte %d makes it certain (%d, %v)", t.cut, t.c.fatalAt, n, err)
	}
	return nil
}

// judge reads to the end of the stream and compares.
func (t *trial) judge() error {
	got, saidGoodbye := []heard(nil), false
	for {
		if !saidGoodbye && t.c.ends == endsByUs && len(got) == len(t.c.want) {
			saidGoodbye = true
			goodbye := newCase("").frame(0x88, closePayload(1000, ""))
			if _, err := t.conn.Write(goodbye.c.stream); err != nil {
				return err
			}
		}
		f, err := readFrame(t.reader)
		if err != nil {
			return fmt.Errorf("%w after %v, want %v and a close frame", err, got, t.c.want)
		}
		if err := ws.CheckHeader(f.Header, ws.StateClientSide); err != nil {
			return fmt.Errorf("header %+v: %w", f.Header, err)
		}
		switch f.Header.OpCode {
		case ws.OpPong:
			got = append(got, heard{what: "pong", payload: string(f.Payload)})
		case ws.OpText:
			got = append(got, heard{what: "text", payload: string(f.Payload)})
		case ws.OpBinary:
			got = append(got, heard{what: "binary", payload: string(f.Payload)})
		case ws.OpClose:
			return errors.Join(t.compare(got), t.closedWith(f.Payload, saidGoodbye), t.ended())
		default:
			return fmt.Errorf("a frame of opcode %d", f.Header.OpCode)
		}
	}
}

func (t *trial) compare(got []heard) error {
	t.strict = true
	rest := got
	for _, want := range t.c.want {
		switch {
		case len(rest) > 0 && rest[0].what == want.what && rest[0].payload == want.payload:
			rest = rest[1:]
		case want.mayMiss:
			t.strict = false
		default:
			return fmt.Errorf("heard %v, want %v", got, t.c.want)
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("heard %v, want only %v", got, t.c.want)
	}
	return nil
}

func (t *trial) closedWith(payload []byte, saidGoodbye bool) error {
	code, codes := noCode, t.c.codes
	if len(payload) >= 2 {
		code = int(binary.BigEndian.Uint16(payload))
	}
	if t.c.ends == endsByUs {
		if codes = []int{1000}; !saidGoodbye {
			return fmt.Errorf("closed with %d in the middle", code)
		}
	}
	if !slices.Contains(codes, code) || len(payload) == 1 || len(payload) > 2 && !bytes.Equal(bytes.ToValidUTF8(payload[2:], nil), payload[2:]) {
		return fmt.Errorf("closed with %d %q, want %v", code, payload, codes)
	}
	return nil
}

// ended checks that the server ends the stream after its close frame (RFC 6455,
// 7.1.1), in good order.
func (t *trial) ended() error {
	if slices.Contains(t.c.codes, 1009) {
		// The server waits for the client's close frame, and the client stands in the
		// middle of a frame that it does not finish.
		t.conn.CloseWrite()
	}
	n, err := t.reader.Read(make([]byte, 1))
	if n == 0 && (err == io.EOF || t.c.talksOn && errors.Is(err, syscall.ECONNRESET)) {
		return nil
	}
	return fmt.Errorf("%d bytes after the close frame, %v", n, err)
}
