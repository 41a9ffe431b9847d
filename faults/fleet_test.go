package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"c10m/conn"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

// A fleet is clients that do what docs/PROMISES.md asks of a client: on the
// notice of a drain each opens a second connection and keeps both until the
// first is closed; a connection that just ends is opened again, after a moment
// that is drawn at random. It runs in processes of its own, since both
// connections of all clients together are more than one may have descriptors.

// fleetVariable makes a process of this test binary a part of a fleet.
const fleetVariable = "C10M_FLEET"

func init() {
	if spec := os.Getenv(fleetVariable); spec != "" {
		runFleet(spec)
		os.Exit(0)
	}
}

const (
	// fleetClientsPerProcessMax keeps two connections of each far below 20,000.
	fleetClientsPerProcessMax = 4000
	// fleetDialsMax are under way at once in a process.
	fleetDialsMax = 64
	// fleetMessagesMax are the numbers that a client can tell apart.
	fleetMessagesMax = 8192
	// fleetBackoffMax is the longest wait before a connection is opened again.
	fleetBackoffMax = time.Second
	// fleetHangGuard ends what hangs.
	fleetHangGuard = 60 * time.Second
)

// A fleetReport is what the clients of a process have seen, or their sum.
type fleetReport struct {
	Open      int // connections
	Connected int // clients with a connection
	Pending   int // clients that have not seen the last message yet
	Missed    int // messages that a client should have had, over all clients
	// MissedLate are the same of clients that were closed before they had
	// another connection; they are no part of Missed.
	MissedLate int
	Late       int // clients that were
	Holes      int // clients that missed more than one run of messages
	Disorder   int // messages that did not follow the one before on a connection
	Moves      int // connections that were opened on a notice
	Restarts   int // closes with 1012
	Ends       int // connections that ended without a close frame
	Failed     map[string]int
}

func (r *fleetReport) add(o fleetReport) {
	r.Open, r.Connected, r.Pending = r.Open+o.Open, r.Connected+o.Connected, r.Pending+o.Pending
	r.Missed, r.MissedLate, r.Late, r.Holes = r.Missed+o.Missed, r.MissedLate+o.MissedLate, r.Late+o.Late, r.Holes+o.Holes
	r.Disorder, r.Moves, r.Restarts, r.Ends = r.Disorder+o.Disorder, r.Moves+o.Moves, r.Restarts+o.Restarts, r.Ends+o.Ends
	for what, n := range o.Failed {
		r.Failed[what] += n
	}
}

// --- the test's side ---

type fleet struct {
	t     *testing.T
	parts []fleetPart
}

type fleetPart struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

// startFleet starts so many clients of the channel news and waits until all are
// connected.
func startFleet(t *testing.T, s *servertest.Server, clients int) *fleet {
	t.Helper()
	f := &fleet{t: t}
	parts := (clients + fleetClientsPerProcessMax - 1) / fleetClientsPerProcessMax
	for i := range parts {
		command := exec.Command(os.Args[0])
		n := clients*(i+1)/parts - clients*i/parts
		command.Env = append(os.Environ(), fmt.Sprintf("%s=127.0.0.1:%d %d", fleetVariable, s.Port, n))
		command.Stderr = os.Stderr
		in, err1 := command.StdinPipe()
		out, err2 := command.StdoutPipe()
		if err := errors.Join(err1, err2, command.Start()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); command.Process.Kill(); command.Wait() })
		f.parts = append(f.parts, fleetPart{in, bufio.NewScanner(out)})
	}
	servertest.Eventually(t, "the fleet is connected", func() bool { return f.report(0, -1).Connected == clients })
	return f
}

// report asks what became of the messages first to last.
func (f *fleet) report(first, last int) fleetReport {
	f.t.Helper()
	sum := fleetReport{Failed: make(map[string]int)}
	for _, p := range f.parts {
		var one fleetReport
		fmt.Fprintf(p.in, "%d %d\n", first, last)
		if !p.out.Scan() || json.Unmarshal(p.out.Bytes(), &one) != nil {
			f.t.Fatalf("a part of the fleet does not answer: %v %q", p.out.Err(), p.out.Text())
		}
		sum.add(one)
	}
	return sum
}

// await returns the report once every client has seen the last message.
func (f *fleet) await(first, last int) (r fleetReport) {
	f.t.Helper()
	servertest.Eventually(f.t, "all clients see the last message", func() bool {
		r = f.report(first, last)
		return r.Pending == 0
	})
	return r
}

// --- the processes' side ---

type fleetProcess struct {
	address string
	members []*fleetMember
	dials   chan struct{} // places

	mu     sync.Mutex
	failed map[string]int

	disorder, moves, restarts, ends, open atomic.Int64
}

type fleetMember struct {
	mu        sync.Mutex
	seen      [fleetMessagesMax / 64]uint64
	late      bool
	connected int // connections
}

func runFleet(spec string) {
	address, count, _ := strings.Cut(spec, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		panic(err)
	}
	p := &fleetProcess{address: address, dials: make(chan struct{}, fleetDialsMax), failed: make(map[string]int)}
	for range n {
		m := &fleetMember{}
		p.members = append(p.members, m)
		go p.connect(m, make(chan struct{}))
	}
	// The end of the input is the end of the test.
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var first, last int
		fmt.Sscan(in.Text(), &first, &last)
		json.NewEncoder(os.Stdout).Encode(p.report(first, last))
	}
}

func (p *fleetProcess) report(first, last int) fleetReport {
	r := fleetReport{
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
		missed, runs, before := 0, 0, true
		for i := first; i <= last; i++ {
			has := m.seen[i/64]&(1<<(i%64)) != 0
			if !has {
				missed++
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
		if m.late {
			r.Late++
			r.MissedLate += missed
		} else {
			r.Missed += missed
		}
		m.mu.Unlock()
	}
	return r
}

// connect opens a connection, tries again until it has one, tells by ready and
// reads it to its end.
func (p *fleetProcess) connect(m *fleetMember, ready chan struct{}) {
	for {
		c, reader, err := p.dial()
		if err != nil {
			p.fail("dial", err)
			time.Sleep(rand.N(fleetBackoffMax))
			continue
		}
		m.mu.Lock()
		m.connected++
		m.mu.Unlock()
		p.open.Add(1)
		close(ready)
		p.read(m, c, reader)
		return
	}
}

func (p *fleetProcess) dial() (net.Conn, *bufio.Reader, error) {
	p.dials <- struct{}{}
	defer func() { <-p.dials }()
	return dial(p.address)
}

// dial upgrades a connection to the channel news.
func dial(address string) (net.Conn, *bufio.Reader, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fleetHangGuard)
	defer cancel()
	dialer := ws.Dialer{ReadBufferSize: 512, WriteBufferSize: 512}
	c, reader, _, err := dialer.Dial(ctx, "ws://"+address+"/news")
	if err == nil && reader == nil {
		reader = bufio.NewReaderSize(c, 512)
	}
	return c, reader, err
}

func (p *fleetProcess) fail(what string, err error) {
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
func (p *fleetProcess) read(m *fleetMember, c net.Conn, reader *bufio.Reader) {
	var next chan struct{} // closed when there is another connection
	isClosed := false
	last := -1
	for !isClosed {
		header, err := ws.ReadHeader(reader)
		if err != nil || header.Length > 1024 {
			p.ends.Add(1)
			break
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(reader, payload); err != nil {
			p.ends.Add(1)
			break
		}
		switch header.OpCode {
		case ws.OpPing:
			c.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPongFrame(payload))))
			if string(payload) == conn.DrainNotice && next == nil {
				p.moves.Add(1)
				next = make(chan struct{})
				go p.connect(m, next)
			}
		case ws.OpClose:
			isClosed = true
			if code := ws.NewCloseFrame(payload); len(payload) >= 2 && payload[0] == 1012>>8 && payload[1] == 1012&0xff {
				p.restarts.Add(1)
				c.Write(ws.MustCompileFrame(ws.MaskFrame(code)))
			} else {
				p.fail("close", fmt.Errorf("payload %q", payload))
			}
		case ws.OpText:
			n, err := strconv.Atoi(string(payload))
			if err != nil || n >= fleetMessagesMax || last >= 0 && n != last+1 {
				p.disorder.Add(1)
				continue
			}
			last = n
			m.mu.Lock()
			m.seen[n/64] |= 1 << (n % 64)
			m.mu.Unlock()
		}
	}
	c.Close()
	p.open.Add(-1)
	m.mu.Lock()
	m.connected--
	if isClosed && m.connected == 0 {
		m.late = true
	}
	m.mu.Unlock()
	if next == nil {
		if !isClosed {
			time.Sleep(rand.N(fleetBackoffMax))
		}
		p.connect(m, make(chan struct{}))
	}
}

// A publisher publishes 0, 1, 2 and so on to the channel news of a Redis.
type publisher struct {
	next atomic.Int64
	stop chan struct{}
	done sync.WaitGroup
}

func startPublisher(t *testing.T, port int, every time.Duration) *publisher {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{stop: make(chan struct{})}
	t.Cleanup(func() { c.Close(); p.end() })
	p.done.Go(func() {
		for answers := bufio.NewScanner(c); ; p.next.Add(1) {
			select {
			case <-p.stop:
				return
			case <-time.After(every):
			}
			fmt.Fprintf(c, "PUBLISH news %d\r\n", p.next.Load())
			if !answers.Scan() || !strings.HasPrefix(answers.Text(), ":") {
				return
			}
		}
	})
	return p
}

// end stops publishing and returns the last number.
func (p *publisher) end() int {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.done.Wait()
	return int(p.next.Load()) - 1
}
