package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"c10m/conn/walks"
	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

// Movers are clients that do what docs/PROMISES.md asks of a client: on the
// notice of a drain each opens a second connection and keeps both until the
// first is closed; a connection that just ends is opened again, after a moment
// that is drawn at random. They run in processes of their own, since both
// connections of all clients together are more than one may have descriptors.

// moversVariable makes a process of this test binary a part of a fleet.
const moversVariable = "C10M_MOVERS"

func init() {
	if spec := os.Getenv(moversVariable); spec != "" {
		runMovers(spec)
		os.Exit(0)
	}
}

const (
	// moversPerProcessMax keeps two connections of each far below 20,000.
	moversPerProcessMax = 4000
	// moversDialsMax are under way at once in a process.
	moversDialsMax = 64
	// moversMessagesMax are the numbers that a client can tell apart.
	moversMessagesMax = 8192
	// moversBackoffMax is the longest wait before a connection is opened again.
	moversBackoffMax = time.Second
)

// A moversReport is what the clients of a process have seen, or their sum.
type moversReport struct {
	Open      int // connections
	Connected int // clients with a connection
	Pending   int // clients that have not seen the last message yet
	Missed    int // messages that a client should have had, over all clients
	// MissedLate were published after the last that a client had on a connection
	// which the server closed, and before the client had its next one: on a busy
	// machine a client may be too late. They are no part of Missed.
	MissedLate int
	Late       int // clients that missed such
	Holes      int // clients that missed more than one run of messages
	Disorder   int // messages that did not follow the one before on a connection
	Moves      int // connections that were opened on a notice
	Restarts   int // closes with 1012, or with 4001 of who was behind
	Noted      int // moves from a connection that was closed, once the next was there
	Ends       int // connections that ended without a close frame
	Failed     map[string]int
}

func (r *moversReport) add(o moversReport) {
	r.Open, r.Connected, r.Pending = r.Open+o.Open, r.Connected+o.Connected, r.Pending+o.Pending
	r.Missed, r.MissedLate, r.Late, r.Holes = r.Missed+o.Missed, r.MissedLate+o.MissedLate, r.Late+o.Late, r.Holes+o.Holes
	r.Disorder, r.Moves, r.Restarts, r.Ends = r.Disorder+o.Disorder, r.Moves+o.Moves, r.Restarts+o.Restarts, r.Ends+o.Ends
	r.Noted += o.Noted
	for what, n := range o.Failed {
		r.Failed[what] += n
	}
}

// --- the test's side ---

type movers struct {
	t     *testing.T
	parts []moversPart
}

type moversPart struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

// startMovers starts so many clients of the channel news and waits until all are
// connected.
func startMovers(t *testing.T, s *servertest.Server, clients int) *movers {
	t.Helper()
	f := &movers{t: t}
	parts := (clients + moversPerProcessMax - 1) / moversPerProcessMax
	for i := range parts {
		command := exec.Command(os.Args[0])
		n := clients*(i+1)/parts - clients*i/parts
		command.Env = append(os.Environ(), fmt.Sprintf("%s=127.0.0.1:%d %d", moversVariable, s.Port, n))
		command.Stderr = os.Stderr
		in, err1 := command.StdinPipe()
		out, err2 := command.StdoutPipe()
		if err := errors.Join(err1, err2, command.Start()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); command.Process.Kill(); command.Wait() })
		f.parts = append(f.parts, moversPart{in, bufio.NewScanner(out)})
	}
	servertest.Eventually(t, "the fleet is connected", func() bool { return f.report(0, -1).Connected == clients })
	return f
}

// report asks what became of the messages first to last.
func (f *movers) report(first, last int) moversReport {
	f.t.Helper()
	sum := moversReport{Failed: make(map[string]int)}
	for _, p := range f.parts {
		var one moversReport
		fmt.Fprintf(p.in, "%d %d\n", first, last)
		if !p.out.Scan() || json.Unmarshal(p.out.Bytes(), &one) != nil {
			f.t.Fatalf("a part of the fleet does not answer: %v %q", p.out.Err(), p.out.Text())
		}
		sum.add(one)
	}
	return sum
}

// await returns the report once every client has seen the last message.
func (f *movers) await(first, last int) (r moversReport) {
	f.t.Helper()
	servertest.Eventually(f.t, "all clients see the last message", func() bool {
		r = f.report(first, last)
		return r.Pending == 0
	})
	return r
}

// --- the processes' side ---

type moversProcess struct {
	address string
	members []*mover
	dials   chan struct{} // places

	mu     sync.Mutex
	failed map[string]int

	// published is when a number was, in nanoseconds of the wall clock that all
	// processes share; 0 if nobody here got it.
	published [moversMessagesMax]atomic.Int64

	disorder, moves, restarts, ends, open atomic.Int64
}

type mover struct {
	mu        sync.Mutex
	seen      [moversMessagesMax / 64]uint64
	moved     []move
	connected int // connections
}

// A move is from a connection that the server closed to the next.
type move struct {
	last int   // number that came on the old one
	at   int64 // when the client had the next, on its wall clock
}

// late reports whether the client missed a number because it was late. Its lock
// is held.
func (m *mover) late(number int, published int64) bool {
	for _, move := range m.moved {
		if number > move.last && published != 0 && published < move.at {
			return true
		}
	}
	return false
}

func runMovers(spec string) {
	address, count, _ := strings.Cut(spec, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		panic(err)
	}
	p := &moversProcess{address: address, dials: make(chan struct{}, moversDialsMax), failed: make(map[string]int)}
	for range n {
		m := &mover{}
		p.members = append(p.members, m)
		go p.connect(m, &atomic.Int64{})
	}
	// The end of the input is the end of the test.
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var first, last int
		fmt.Sscan(in.Text(), &first, &last)
		json.NewEncoder(os.Stdout).Encode(p.report(first, last))
	}
}

func (p *moversProcess) report(first, last int) moversReport {
	r := moversReport{
		Disorder: int(p.disorder.Load()), Moves: int(p.moves.Load()), Restarts: int(p.restarts.Load()),
		Ends: int(p.ends.Load()), Open: int(p.open.Load()), Failed: make(map[string]int),
	}
	p.mu.Lock()
	for what, n := range p.failed {
		r.Failed[what] = n
	}
	p.mu.Unlock()
	for _, m := range p.members {
		m.mu.Lock()
		r.Noted += len(m.moved)
		late, runs, before := 0, 0, true
		for i := first; i <= last; i++ {
			has := m.seen[i/64]&(1<<(i%64)) != 0
			if !has {
				if m.late(i, p.published[i].Load()) {
					late++
				} else {
					r.Missed++
				}
				if before {
					runs++
				}
			}
			before = has
		}
		if m.connected > 0 {
			r.Connected++
		}
		if last >= first && !before {
			r.Pending++
		}
		if runs > 1 {
			r.Holes++
		}
		if r.MissedLate += late; late > 0 {
			r.Late++
		}
		m.mu.Unlock()
	}
	return r
}

// connect opens a connection, tries again until it has one, stores when in opened
// and reads it to its end.
func (p *moversProcess) connect(m *mover, opened *atomic.Int64) {
	for {
		c, reader, err := p.dial()
		if err != nil {
			p.fail("dial", err)
			time.Sleep(rand.N(moversBackoffMax))
			continue
		}
		m.mu.Lock()
		m.connected++
		m.mu.Unlock()
		p.open.Add(1)
		opened.Store(time.Now().UnixNano())
		p.read(m, c, reader)
		return
	}
}

func (p *moversProcess) dial() (net.Conn, *bufio.Reader, error) {
	p.dials <- struct{}{}
	defer func() { <-p.dials }()
	return dial(p.address)
}

// dial upgrades a connection to the channel news.
func dial(address string) (net.Conn, *bufio.Reader, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
	defer cancel()
	dialer := ws.Dialer{ReadBufferSize: 512, WriteBufferSize: 512}
	c, reader, _, err := dialer.Dial(ctx, "ws://"+address+"/news")
	if err == nil && reader == nil {
		reader = bufio.NewReaderSize(c, 512)
	}
	return c, reader, err
}

func (p *moversProcess) fail(what string, err error) {
	p.mu.Lock()
	p.failed[what+": "+kindOf(err)]++
	p.mu.Unlock()
}

// kindOf is what an error says, without ports.
func kindOf(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "ended"
	}
	return err.Error()
}

// read reads a connection to its end and sees that the client gets another.
func (p *moversProcess) read(m *mover, c net.Conn, reader *bufio.Reader) {
	var next *atomic.Int64 // when the next connection was there
	isClosed := false
	last := -1
	for !isClosed {
		opcode, payload, err := readFrame(reader)
		if err != nil {
			p.ends.Add(1)
			break
		}
		switch opcode {
		case ws.OpPing:
			c.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPongFrame(payload))))
			if string(payload) == walks.DrainNotice && next == nil {
				p.moves.Add(1)
				next = &atomic.Int64{}
				go p.connect(m, next)
			}
		case ws.OpClose:
			isClosed = true
			p.closed(c, payload)
		case ws.OpText:
			last = p.take(m, last, payload)
		}
	}
	c.Close()
	p.open.Add(-1)
	m.mu.Lock()
	m.connected--
	m.mu.Unlock()
	if next == nil {
		if !isClosed {
			time.Sleep(rand.N(moversBackoffMax))
		}
		next = &atomic.Int64{}
		go p.connect(m, next)
	}
	if isClosed {
		p.moved(m, last, next)
	}
}

// moved notes a move once the next connection is there.
func (p *moversProcess) moved(m *mover, last int, next *atomic.Int64) {
	for next.Load() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	m.mu.Lock()
	m.moved = append(m.moved, move{last, next.Load()})
	m.mu.Unlock()
}

func readFrame(reader *bufio.Reader) (opcode ws.OpCode, payload []byte, err error) {
	header, err := ws.ReadHeader(reader)
	if err == nil && header.Length > 1024 {
		err = errors.New("a frame that nobody sends here")
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, header.Length)
	_, err = io.ReadFull(reader, payload)
	return header.OpCode, payload, err
}

// closed answers a close frame. A client that is behind is told so (4001): what it missed
// by that is late.
func (p *moversProcess) closed(c net.Conn, payload []byte) {
	if len(payload) < 2 || !slices.Contains([]uint16{1012, missedMessages}, binary.BigEndian.Uint16(payload)) {
		p.fail("close", fmt.Errorf("payload %q", payload))
		return
	}
	p.restarts.Add(1)
	c.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(payload))))
}

// take notes a number that came after last on a connection.
func (p *moversProcess) take(m *mover, last int, payload []byte) int {
	number, time, _ := strings.Cut(string(payload), " ")
	n, err1 := strconv.Atoi(number)
	at, err2 := strconv.ParseInt(time, 10, 64)
	if err1 != nil || err2 != nil || n >= moversMessagesMax || last >= 0 && n != last+1 {
		p.disorder.Add(1)
		return last
	}
	p.published[n].Store(at)
	m.mu.Lock()
	m.seen[n/64] |= 1 << (n % 64)
	m.mu.Unlock()
	return n
}

// Numbers are published, 0, 1, 2 and so on, each with its time, to the channel
// news of a Redis.
type numbers struct {
	next atomic.Int64
	stop chan struct{}
	done sync.WaitGroup
}

func startNumbers(t *testing.T, port int, every time.Duration) *numbers {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	p := &numbers{stop: make(chan struct{})}
	t.Cleanup(func() { c.Close(); p.end() })
	p.done.Go(func() {
		for answers := bufio.NewScanner(c); ; p.next.Add(1) {
			select {
			case <-p.stop:
				return
			case <-time.After(every):
			}
			fmt.Fprintf(c, "PUBLISH news \"%d %d\"\r\n", p.next.Load(), time.Now().UnixNano())
			if !answers.Scan() || !strings.HasPrefix(answers.Text(), ":") {
				return
			}
		}
	})
	return p
}

// last is the last number that is published for sure.
func (p *numbers) last() int { return int(p.next.Load()) - 1 }

// end stops publishing and returns the last number.
func (p *numbers) end() int {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.done.Wait()
	return int(p.next.Load()) - 1
}
