package epoll_test

import (
	"testing"
	"time"

	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/poller/epoll/epolltest"
	"c10m/poller/pollertest"
)

func newRatedLoop(t *testing.T, k *epolltest.Kernel, perSecond int) (*poller.Loop, *recorder) {
	t.Helper()
	r := &recorder{}
	l, err := epoll.NewLoop(epoll.Config{
		DescriptorsMax: 1 << 16, AcceptRate: perSecond, Listen: make([]epoll.Listener, 1), Kernel: k,
	}, k.Eventfd(), func(l *poller.Loop) poller.Handler { r.loop = l; return r })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Shut)
	k.DescriptorsMax = 1 << 16
	return l, r
}

// runFor runs turns for so long by the fake clock and returns their number.
func runFor(k *epolltest.Kernel, l *poller.Loop, d time.Duration) (turns int) {
	for end := k.Now() + int64(d); k.Now() < end; turns++ {
		l.Turn()
	}
	return turns
}

// burstMax is what may be accepted at once: what a lull of 50 ms has saved, and
// a share of 10 ms.
func burstMax(perSecond int) int { return perSecond*60/1000 + 1 }

func TestTheAcceptRateIsKeptAndNothingIsLost(t *testing.T) {
	for _, c := range []struct{ perSecond, seconds int }{{10, 20}, {100, 10}, {3000, 1}} {
		k := epolltest.New(20)
		l, _ := newRatedLoop(t, k, c.perSecond)
		all := c.perSecond * c.seconds * 5 / 4
		for range all {
			k.Dial()
		}
		turns := runFor(k, l, time.Duration(c.seconds)*time.Second)
		due := c.perSecond * c.seconds
		if n := l.Connections(); n < due*98/100-1 || n > due+burstMax(c.perSecond) {
			t.Errorf("%d a second: %d came in %d s", c.perSecond, n, c.seconds)
		}
		// It sleeps while it waits: a share of 10 ms (or one accept) takes a few
		// turns of 8 accepts each, and the ticks are one a second.
		share := max(1, c.perSecond/100)
		if most := due/share*(share/8+3) + c.seconds + 20; turns > most {
			t.Errorf("%d a second: %d turns in %d s, %d should do", c.perSecond, turns, c.seconds, most)
		}
		if l.Stats().AcceptRateWaits.Load() == 0 || l.Stats().AcceptPauses.Load() != 0 {
			t.Errorf("%d waits and %d pauses counted", l.Stats().AcceptRateWaits.Load(), l.Stats().AcceptPauses.Load())
		}
		if runFor(k, l, time.Duration(c.seconds)*time.Second); l.Connections() != all {
			t.Errorf("%d a second: %d of %d came in the end", c.perSecond, l.Connections(), all)
		}
	}
}

// Those who are here do not notice that others have to wait.
func TestEventsAndLettersDoNotWaitForTheAcceptRate(t *testing.T) {
	k := epolltest.New(21)
	l, r := newRatedLoop(t, k, 10)
	old := k.Dial()
	turns(l, 2)
	for range 1000 {
		k.Dial()
	}
	turns(l, 5)
	r.take()
	old.Write([]byte("x"))
	l.Post(&poller.Letter{Body: "hello"})
	before := k.Now()
	l.Turn()
	if got := r.take(); got != "[letter hello event 7 1]" {
		t.Fatalf("in one turn: %s", got)
	}
	if waited := time.Duration(k.Now() - before); waited > time.Millisecond {
		t.Fatalf("they waited for %v", waited)
	}
}

func TestStopAcceptingDoesNotWaitForTheAcceptRate(t *testing.T) {
	k := epolltest.New(22)
	l, _ := newRatedLoop(t, k, 10)
	var peers []*pollertest.Peer
	for range 300 {
		peers = append(peers, k.Dial())
	}
	turns(l, 5)
	l.Engine().(*epoll.Engine).StopAccepting(0, func() {})
	for i, peer := range peers {
		if peer.WasReset() {
			t.Fatalf("newcomer %d of 300 was reset", i)
		}
	}
	if l.Connections() != 300 {
		t.Fatalf("%d connections", l.Connections())
	}
}

func TestAcceptsThatFailCostNothingOfTheRate(t *testing.T) {
	k := epolltest.New(23)
	l, _ := newRatedLoop(t, k, 100)
	k.Faults.AcceptAbort = 0.8
	for range 3000 {
		k.Dial()
	}
	runFor(k, l, 4*time.Second)
	if n := l.Connections(); n < 390 || n > 400+burstMax(100) {
		t.Fatalf("%d connections in 4 s at 100 a second, %d aborted", n, l.Stats().AcceptRetries.Load())
	}
	// A pause for want of memory is one more wait, and then it goes on at the rate.
	k.Faults.AcceptAbort, k.Faults.AcceptEMFILE = 0, 1
	runFor(k, l, time.Second)
	before := l.Connections()
	k.Faults.AcceptEMFILE = 0
	for range 1000 {
		k.Dial()
	}
	runFor(k, l, time.Second)
	if n := l.Connections() - before; n < 85 || n > 100+burstMax(100) {
		t.Fatalf("%d connections in the second after it", n)
	}
}
