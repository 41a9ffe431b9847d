package poller_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"c10m/poller"
)

// When a loop's table is full another loop of its lane goes on, and when all are
// full newcomers wait until there is room in any of them.
func TestALaneGoesToALoopWithRoom(t *testing.T) {
	const loops, perLoop = 3, 10
	p, handlers, address := startEcho(t, poller.Config{Loops: loops, Lanes: 1, PrivateFDTables: true, TableConnectionsMax: perLoop})
	var clients []net.Conn
	for range loops * perLoop {
		clients = append(clients, roundTrip(t, address))
	}
	passedOn := uint64(0)
	for i, e := range handlers {
		if n := e.opened.Load(); n != perLoop {
			t.Errorf("loop %d got %d connections", i, n)
		}
		passedOn += p.Loops()[i].Stats().LanesPassedOn.Load()
	}
	if passedOn != loops-1 {
		t.Errorf("the lane was passed on %d times", passedOn)
	}

	waits := halfway(t, address)
	waits.Write([]byte("hello"))
	eventually(t, "all tables are found full", func() bool { return p.Loops()[loops-1].Stats().AcceptPauses.Load() > 0 })
	clients[0].Close() // the first loop's
	var b [5]byte
	if _, err := waits.Read(b[:]); err != nil {
		t.Fatalf("who waited: %v", err)
	}
	if n := handlers[0].opened.Load(); n != perLoop+1 {
		t.Errorf("loop 0, which had room, got %d connections", n)
	}
}

// Only so many loops accept as there are lanes, until their tables are full; loops
// that share a table all do.
func TestSoManyLoopsAcceptAsThereAreLanes(t *testing.T) {
	for _, c := range []struct {
		private bool
		want    []bool
	}{
		{true, []bool{true, false, true, false}},
		{false, []bool{true, true, true, true}},
	} {
		_, handlers, address := startEcho(t, poller.Config{Loops: 4, Lanes: 2, PrivateFDTables: c.private})
		for range 200 {
			roundTrip(t, address)
		}
		for i, e := range handlers {
			if got := e.opened.Load() > 0; got != c.want[i] {
				t.Errorf("private %v: loop %d accepts: %v", c.private, i, got)
			}
		}
	}
}

// A loop that sweeps takes newcomers of its lane as well: the loop that holds it may
// wait long for a processor then.
func TestALoopThatSweepsAcceptsAsWell(t *testing.T) {
	p, handlers, address := startEcho(t, poller.Config{Loops: 2, Lanes: 1, PrivateFDTables: true})
	waits, begun := make(chan struct{}), make(chan struct{})
	p.Loops()[0].Run(func(*poller.Loop) { close(begun); <-waits })
	defer close(waits)
	<-begun
	p.Loops()[1].Run(func(*poller.Loop) { handlers[1].sweeps = true })
	roundTrip(t, address)
	if n := handlers[1].opened.Load(); n != 1 {
		t.Errorf("it accepted %d", n)
	}
}

// Stopping finds the loop that has the lane, though it may just be on its way from
// one to another, and closes every loop's descriptors of it.
func TestStopAcceptingWhileALaneIsPassedOn(t *testing.T) {
	for range 20 {
		p, handlers, address := startEcho(t, poller.Config{Loops: 6, Lanes: 2, PrivateFDTables: true, TableConnectionsMax: 2})
		var dialers sync.WaitGroup
		end := make(chan struct{})
		for range 4 {
			dialers.Go(func() {
				for {
					select {
					case <-end:
						return
					default:
					}
					if c, err := net.Dial("tcp", address); err == nil {
						c.SetDeadline(time.Now().Add(time.Second))
						c.Write([]byte("x"))
						c.Read(make([]byte, 1))
						c.Close()
					}
				}
			})
		}
		eventually(t, "lanes move", func() bool { return opened(handlers) > 20 })
		stopped := make(chan struct{})
		go func() { p.StopAccepting(0); close(stopped) }()
		select {
		case <-stopped:
		case <-time.After(20 * time.Second):
			t.Fatal("it does not stop accepting")
		}
		close(end)
		dialers.Wait()
		// Refused at once, and not left in the queue of a listener that is still open.
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Fatal("somebody still listens")
		}
	}
}

// A listener that cannot be opened leaves nothing behind in any table.
func TestALaneThatCannotOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := openFiles(t)
	_, err = poller.Start(poller.Config{
		Loops: 4, Lanes: 2, PrivateFDTables: true, DescriptorsMax: 1 << 16,
		Listen:     []poller.Address{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort(taken.Addr().String())},
		NewHandler: func(l *poller.Loop) poller.Handler { return &echo{loop: l} },
	})
	if err == nil {
		t.Fatal("no error")
	}
	if left := openFiles(t) - before; left != 0 {
		t.Fatalf("%d descriptors left open", left)
	}
}
