package faults

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/servertest"
)

// The embedded bus has no subscription that could break, so no gap of its own.
// What can break is a publisher, and a second server that subscribes to it.

// command is a PUBLISH in RESP.
func command(number, filler int) string {
	p := payload(number, filler)
	return fmt.Sprintf("*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$%d\r\n%s\r\n", len(p), p)
}

// A publisher that dies half-way through a message has published nothing, and is
// no trouble for the next one.
func TestEmbeddedPublisherCutOffHalfWay(t *testing.T) {
	t.Parallel()
	clients, died := scale(300, 2000), scale(100, 1000)
	s := servertest.StartServer(t, 0)
	f := subscribe(t, s, clients)
	p := newPublisher(t, s.Bus)
	f.await(p.publish(10, 100))
	for i := range died {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Bus))
		if err != nil {
			t.Fatal(err)
		}
		// At another byte each time, of a message that would be noticed.
		whole := command(1_000_000+i, 50)
		if _, err := io.WriteString(c, whole[:1+i%(len(whole)-1)]); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			c.(*net.TCPConn).SetLinger(0) // a reset
		}
		c.Close()
	}
	f.await(p.publish(10, 100))
	lost := f.lost(p.taken)
	for i, m := range f.members {
		m.mu.Lock()
		if len(m.got) != len(p.taken) || lost != 0 {
			t.Errorf("client %d has %d messages of %d", i, len(m.got), len(p.taken))
		}
		m.mu.Unlock()
	}
	eventually(t, "nobody of them is left", func() bool { return s.Metric("c10m_bus_peers") == 1 })
	if !s.Healthy() {
		t.Errorf("health: %s", s.Get("/healthz"))
	}
	held(t, outcome{fault: fmt.Sprintf("%d publishers cut off half-way through a message", died), clients: clients, lost: lost,
		held: "nothing of theirs published, the next publisher unharmed"})
}

// A second server that hangs is cut off once 32 MiB wait for it, or when it has taken
// nothing for 30 s, which comes first only where the host is so busy that the publisher
// takes that long. It finds out when it goes on: a gap, like that of a real Redis. Nobody
// else notices.
func TestEmbeddedCutsALaggingServer(t *testing.T) {
	t.Parallel()
	const filler = 256 << 10
	clients := scale(200, 2000)
	// Logs with room for what the second gets at once when it goes on: slow
	// readers are not what this is about.
	first := servertest.StartServer(t, 0, "--drain", "1s", "--log-bytes", "64MiB")
	second := startServerAt(t, first.Bus, "--bus-probe", "30s", "--log-bytes", "64MiB") // its own probes stay out of this
	green(t, second)
	near, far := subscribe(t, first, 5), subscribe(t, second, clients)
	p := newPublisher(t, first.Bus)
	last := p.publish(10, 100)
	near.await(last)
	far.await(last)

	second.Signal(syscall.SIGSTOP)
	cut := func(reason string) bool {
		return first.Metric(`c10m_bus_peers_closed_total{reason="`+reason+`"}`) == 1
	}
	eventually(t, "the second is cut off", func() bool {
		// They are waited for, so that no reader here is the slow one.
		near.await(p.publish(4, filler))
		return cut("lagged") || cut("write_stalled")
	})
	why := "it had taken nothing for 30 s"
	if cut("lagged") {
		why = "32 MiB waited"
		if len(p.taken)*filler < 32<<20 {
			t.Errorf("cut after %d messages of 256 KiB", len(p.taken))
		}
	}
	second.Signal(syscall.SIGCONT)
	thawed := time.Now()
	eventually(t, "the gap is counted", func() bool { return second.Metric("c10m_bus_gaps_total") == 1 })
	green(t, second)
	recovered := time.Since(thawed)
	far.closedWith(missedMessages)
	lost := far.lost(p.taken)
	if lost == 0 {
		t.Error("nothing was lost")
	}
	if n := near.lost(p.taken); n != 0 || near.open() != 5 {
		t.Errorf("at the first server %d messages are lost, %d clients open", n, near.open())
	}
	aNewFleetMissesNothing(t, second, p, clients)
	gaps(t, second, 1, clients)
	if said := first.Output.String(); !strings.Contains(said, "lagged") && !strings.Contains(said, "write_stalled") {
		t.Error("the first server says nothing of it")
	}
	held(t, outcome{fault: "a second server at the embedded bus hangs", clients: clients, lost: lost, recover: recovered,
		held: "cut off when " + why + ", its clients told (4001), those of the first server had everything"})
}
