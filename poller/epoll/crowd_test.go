package epoll_test

import (
	"strings"
	"testing"

	"c10m/poller"
	"c10m/poller/epoll/epolltest"
	"c10m/poller/pollertest"
)

// When everybody leaves at once, a turn takes so many of them and no more: who
// stays is read and written to in between.
func TestATurnOfAStormOfDisconnectsIsBounded(t *testing.T) {
	const leavers, eventsPerTurn = 3000, 128
	for _, reset := range []bool{false, true} {
		k := epolltest.New(40)
		k.DescriptorsMax = 1 << 14
		l, r := newLoop(t, k)
		stays := k.Dial()
		turns(l, 2)
		var peers []*pollertest.Peer
		for range leavers {
			peers = append(peers, k.Dial())
		}
		for l.Connections() < leavers+1 {
			l.Turn()
		}
		r.onEvent = func(fd uint32, _ poller.Event) {
			if fd == 7 {
				buffer := make([]byte, 16)
				l.Recv(fd, buffer)
				return
			}
			l.Close(fd)
		}
		for _, peer := range peers {
			if reset {
				peer.Reset()
			} else {
				peer.Close()
			}
		}
		rounds, heard := 0, 0
		for ; l.Connections() > 1; rounds++ {
			before := l.Connections()
			r.log = nil
			stays.Write([]byte("x"))
			l.Post(&poller.Letter{Body: rounds})
			l.Turn()
			if gone := before - l.Connections(); gone > eventsPerTurn {
				t.Fatalf("%d connections closed in one turn", gone)
			}
			if len(r.log) == 0 || !strings.HasPrefix(r.log[0], "letter ") {
				t.Fatalf("a letter waited for %d disconnects: %v", before, r.log[:min(len(r.log), 3)])
			}
			for _, line := range r.log {
				if line == "event 7 1" {
					heard++
				}
			}
		}
		// Every turn has the letter; an event of one among so many comes by the
		// kernel's order, which is by turns, and the fake's, which is random.
		if least := leavers / eventsPerTurn; rounds < least || heard == 0 {
			t.Errorf("%d turns for %d disconnects, %d events of who stays", rounds, leavers, heard)
		}
	}
}
