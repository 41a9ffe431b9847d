package faults

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/internal/servertest"
	"c10m/poller/epoll"

	"github.com/gobwas/ws"
)

// visitors come, look and leave without a pause, as all do who open a page.
type visitors struct {
	stop    chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	visits int
	failed map[string]int
}

func startVisitors(t *testing.T, s *servertest.Server, n int) *visitors {
	v := &visitors{stop: make(chan struct{}), failed: make(map[string]int)}
	address := fmt.Sprintf("127.0.0.1:%d", s.Port)
	t.Cleanup(func() { v.end() })
	for range n {
		v.running.Go(func() {
			for {
				select {
				case <-v.stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				err := visit(address)
				v.mu.Lock()
				v.visits++
				if err != nil {
					v.failed[kindOf(err)]++
				}
				v.mu.Unlock()
			}
		})
	}
	return v
}

// visit connects, says goodbye and reads until the stream ends.
func visit(address string) error {
	c, reader, err := dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(patience.Deadline())
	if _, err := c.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))))); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, reader)
	return err
}

func (v *visitors) end() (visits int, failed map[string]int) {
	select {
	case <-v.stop:
	default:
		close(v.stop)
	}
	v.running.Wait()
	return v.visits, v.failed
}

// waiters have connected to the old server alone and have not asked for
// anything when it is told to end: what it loses that closes its listeners at
// once.
type waiters struct {
	t     *testing.T
	since time.Time
	conns []net.Conn
}

func startWaiters(t *testing.T, port int) *waiters {
	t.Helper()
	w := &waiters{t: t, since: time.Now()}
	for range 20 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(patience.Deadline())
		w.conns = append(w.conns, c)
	}
	return w
}

// ask has them send their requests, one after the other, from now on, and returns how
// many were later than the old server promises to wait: on a busy machine these may be
// lost, and prove nothing.
func (w *waiters) ask() (late int) {
	w.t.Helper()
	now := time.Now()
	for i, c := range w.conns {
		time.Sleep(5 * time.Millisecond)
		fmt.Fprintf(c, "GET /news HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		// The new server may have taken so long to start that their time for a
		// request is over (408).
		isLate := time.Since(now) > epoll.HandoverGrace*2/3 || time.Since(w.since) > 8*time.Second
		if isLate {
			late++
		}
		answer := make([]byte, 12)
		if _, err := io.ReadFull(c, answer); err != nil && !isLate {
			w.t.Errorf("waiter %d of %d: %v", i, len(w.conns), err)
		} else if err == nil && string(answer) != "HTTP/1.1 101" && !isLate {
			w.t.Errorf("waiter %d of %d was answered with %q", i, len(w.conns), answer)
		}
		c.Close()
	}
	return late
}

const (
	// deploysMax bounds how often a server is replaced until it has been so often
	// enough with nobody late.
	deploysMax = 10
	// waitersMin must have asked in time, over all deploys.
	waitersMin = 20
)

// A server is replaced, again and again, on its own ports: the new one is started,
// then the old one is told to end. Nobody is refused or reset, and clients that
// heed the notice get every message, on one of their connections.
func TestDeploy(t *testing.T) {
	clients, replacements := scale(3000, 15_000), scale(1, 3)
	drain := time.Duration(scale(6, 30)) * time.Second
	port := servertest.FreePort(t)
	servertest.StartRedis(t, port)
	listen := servertest.FreePort(t)
	start := func() *servertest.Server {
		s := servertest.StartServer(t, 20_000, "--listen", fmt.Sprintf("127.0.0.1:%d", listen),
			"--bus", fmt.Sprintf("redis://127.0.0.1:%d", port), "--drain", drain.String(), "--ping-interval", "0", "--gap", "ignore")
		s.Port = listen
		servertest.Eventually(t, "the server is ready", s.Ready)
		return s
	}
	server := start()
	f := startMovers(t, server, clients)
	p := startNumbers(t, port, time.Duration(scale(100, 1000))*time.Millisecond)
	v := startVisitors(t, server, 8)
	deploys, clean, missed, inTime := 0, 0, 0, 0
	for ; (clean < replacements || inTime < waitersMin) && deploys < deploysMax; deploys++ {
		w := startWaiters(t, listen)
		young := start() // with the drain of the next deploy
		server.Signal(syscall.SIGTERM)
		inTime += len(w.conns) - w.ask()
		if status := server.Wait(); status != 0 {
			t.Errorf("the old server's exit status is %d", status)
		}
		server = young
		servertest.Eventually(t, "each client has one connection again", func() bool {
			r := f.report(0, -1)
			return r.Open == clients && r.Connected == clients
		})
		// Who was late is excused, but what excuses them proves nothing: only a deploy
		// counts in which no client was too late for a message.
		servertest.Eventually(t, "moves are noted", func() bool { r := f.report(0, -1); return r.Noted >= r.Restarts })
		before := missed
		if missed = f.report(0, p.last()).MissedLate; missed == before {
			clean++
			continue
		}
		drain = min(2*drain, time.Minute) // of the servers that are started from now on
		t.Logf("deploy %d does not count: clients that were late missed %d messages", deploys+1, missed-before)
	}
	// A message that was published after the last of them had come.
	from := p.next.Load()
	servertest.Eventually(t, "messages flow", func() bool { return p.next.Load() > from+2 })
	visits, refused := v.end()
	last := p.end()
	if visits < 100 || len(refused) != 0 {
		t.Errorf("of %d visitors these were not served: %v", visits, refused)
	}
	r := f.await(0, last)
	t.Logf("%d messages, %d visitors, %+v", last+1, visits, r)
	if len(r.Failed) != 0 || r.Ends != 0 {
		t.Errorf("clients were not served: %v; %d connections ended without a close frame", r.Failed, r.Ends)
	}
	// A busy machine makes some late in the deploys that do not count; that they have
	// their time is a test of conn.
	if r.Missed != 0 || r.Disorder != 0 {
		t.Errorf("%d messages missed by clients that had moved, %d out of order; %d clients were late and missed %d",
			r.Missed, r.Disorder, r.Late, r.MissedLate)
	}
	if want := clients * deploys; r.Restarts < want || r.Moves != r.Restarts {
		t.Errorf("%d closes with 1012, %d of them after a notice, and at least %d are due", r.Restarts, r.Moves, want)
	}
	if !t.Failed() && (clean < replacements || inTime < waitersMin) {
		t.Skipf("the machine is so busy that of %d deploys %d had nobody late (%d are needed), and %d waiters asked in time (%d): all that was in time lost nothing",
			deploys, clean, replacements, inTime, waitersMin)
	}
	fault := fmt.Sprintf("server replaced %d times, %d messages and %d visitors meanwhile", deploys, last+1, visits)
	if r.Late > 0 {
		fault += fmt.Sprintf("; %d deploys with nobody late, and in the others %d clients did not move in time, who missed %d", clean, r.Late, r.MissedLate)
	}
	held(t, outcome{fault: fault, clients: clients, lost: r.Missed,
		held: "nobody refused or reset; all messages to clients that moved in time"})
}

// Without another process on the port, those who come while the server ends are
// not refused before its listeners are closed.
func TestDeployWithoutSuccessor(t *testing.T) {
	s := servertest.StartServer(t, 0, "--drain", "2s")
	v := startVisitors(t, s, 4)
	servertest.Eventually(t, "there are visitors", func() bool { return s.Metric("c10m_handshakes_total") > 50 })
	s.Signal(syscall.SIGTERM)
	s.Wait()
	again := s.StartAgain(t, 0)
	servertest.Eventually(t, "visitors are back", func() bool { return again.Metric("c10m_handshakes_total") > 50 })
	visits, failed := v.end()
	t.Logf("%d visits, %v", visits, failed)
	delete(failed, "refused") // while nobody listened
	if len(failed) != 0 {
		t.Errorf("%v: whoever was let in was to be served", failed)
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port)); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	held(t, outcome{fault: fmt.Sprintf("server ended and started again under %d visitors", visits), clients: 4,
		held: "refused only while nobody listened, nobody reset"})
}
