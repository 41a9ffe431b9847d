package epoll_test

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"

	"golang.org/x/sys/unix"
)

// When a loop's table is full another loop of its lane goes on, and when all are
// full newcomers wait until there is room in any of them.
func TestALaneGoesToALoopWithRoom(t *testing.T) {
	const loops, perLoop = 3, 10
	p, handlers, address := startEcho(t, epoll.Config{Loops: loops, Lanes: 1, PrivateFDTables: true, TableConnectionsMax: perLoop})
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
		_, handlers, address := startEcho(t, epoll.Config{Loops: 4, Lanes: 2, PrivateFDTables: c.private})
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
	p, handlers, address := startEcho(t, epoll.Config{Loops: 2, Lanes: 1, PrivateFDTables: true})
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
		p, handlers, address := startEcho(t, epoll.Config{Loops: 6, Lanes: 2, PrivateFDTables: true, TableConnectionsMax: 2})
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
						c.SetDeadline(patience.Deadline())
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
		case <-time.After(patience.Guard):
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
	_, err = start(t, epoll.Config{
		Loops: 4, Lanes: 2, PrivateFDTables: true,
		Listen: append(listeners("127.0.0.1:0"), listeners(taken.Addr().String())...),
	}, newEcho)
	if err == nil {
		t.Fatal("no error")
	}
	if left := openFiles(t) - before; left != 0 {
		t.Fatalf("%d descriptors left open", left)
	}
}

// What waits when accepting ends goes to the loop with the most room, though another
// one, which is nearly full, has the lane.
func TestStopAcceptingEndsAtTheLoopWithTheMostRoom(t *testing.T) {
	const perLoop, last = 10, 5
	kernel := &heldKernel{}
	kernel.clock.Store(int64(time.Hour))
	p, handlers, address := startEcho(t, epoll.Config{
		Loops: 2, Lanes: 1, PrivateFDTables: true, TableConnectionsMax: perLoop, Kernel: kernel,
		Options: epoll.ListenOptions{DeferAccept: true},
	})
	for range perLoop - 1 {
		roundTrip(t, address)
	}
	var waiting []net.Conn
	for range last {
		waiting = append(waiting, halfway(t, address))
	}
	done := make(chan struct{})
	go func() { p.StopAccepting(epoll.HandoverGrace); close(done) }()
	eventually(t, "diverted", func() bool { return kernel.diverted.Load() == 1 })
	for _, c := range waiting {
		echoes(t, c)
	}
	if n := handlers[1].opened.Load(); n != last {
		t.Errorf("loop 1, which was empty, got %d connections", n)
	}
	kernel.clock.Add(int64(epoll.HandoverGrace))
	for _, l := range p.Loops() {
		l.Run(func(*poller.Loop) {})
	}
	<-done
}

// A crampedKernel has no descriptors for the threads that a test names.
type crampedKernel struct {
	heldKernel
	threads sync.Map
	refused atomic.Int64
}

func (k *crampedKernel) Accept(listener int) (int, syscall.Errno) {
	if _, full := k.threads.Load(unix.Gettid()); full {
		k.refused.Add(1)
		return -1, unix.EMFILE
	}
	return k.Linux.Accept(listener)
}

// A table that the kernel calls full, before it has as many connections as it should
// hold, is as good a reason to pass a lane on. When all are, nobody spins.
func TestALaneLeavesALoopWithoutDescriptors(t *testing.T) {
	const loops = 3
	kernel := &crampedKernel{}
	kernel.clock.Store(int64(time.Hour))
	p, handlers, address := startEcho(t, epoll.Config{Loops: loops, Lanes: 1, PrivateFDTables: true, Kernel: kernel})
	for i := range loops {
		roundTrip(t, address)
		if n := handlers[i].opened.Load(); n != 1 {
			t.Fatalf("loop %d got %d connections", i, n)
		}
		cramped := make(chan struct{})
		p.Loops()[i].Run(func(*poller.Loop) { kernel.threads.Store(unix.Gettid(), true); close(cramped) })
		<-cramped
	}
	waits := halfway(t, address)
	waits.Write([]byte("hello"))
	eventually(t, "accepting pauses", func() bool { return p.Loops()[loops-1].Stats().AcceptPauses.Load() > 0 })
	// The first two were asked as the lane left them, and the clock stands still.
	if n := kernel.refused.Load(); n != loops {
		t.Errorf("%d accepts without a descriptor", n)
	}
	kernel.threads.Clear()
	kernel.clock.Add(int64(time.Second))
	p.Loops()[loops-1].Run(func(*poller.Loop) {})
	var b [5]byte
	if _, err := waits.Read(b[:]); err != nil {
		t.Fatalf("who waited: %v", err)
	}
}

// A steeredKernel counts what listeners are told of processors.
type steeredKernel struct {
	epoll.Linux
	steered atomic.Int64
}

func (k *steeredKernel) Steer(listener, cpu int) syscall.Errno {
	k.steered.Add(1)
	return k.Linux.Steer(listener, cpu)
}

// Listeners that several loops hold in turn prefer no processor.
func TestSharedLanesAreNotSteered(t *testing.T) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	for _, c := range []struct{ lanes, want int }{{2, 0}, {4, 4}} {
		kernel := &steeredKernel{}
		startEcho(t, epoll.Config{Loops: 4, Lanes: c.lanes, PrivateFDTables: true, CPUs: []int{cpu}, Kernel: kernel})
		if n := int(kernel.steered.Load()); n != c.want {
			t.Errorf("%d lanes of 4 loops: %d listeners prefer a processor", c.lanes, n)
		}
	}
}

// A loop that visits its lane keeps to the accept rate, on whatever ports newcomers
// wait, and takes no more of it than it uses, however often it looks in vain.
func TestAVisitorKeepsToTheAcceptRate(t *testing.T) {
	const perSecond, first, later = 1000, 30, 120
	kernel := &heldKernel{}
	kernel.clock.Store(int64(time.Hour))
	other := freeAddress(t, "127.0.0.1")
	p, handlers, address := startEcho(t, epoll.Config{
		Loops: 2, Lanes: 1, PrivateFDTables: true, AcceptRate: perSecond, Kernel: kernel,
		Listen: listeners(other),
	})
	waits, begun := make(chan struct{}), make(chan struct{})
	p.Loops()[0].Run(func(*poller.Loop) { close(begun); <-waits })
	defer close(waits)
	<-begun
	p.Loops()[1].Run(func(*poller.Loop) { handlers[1].sweeps = true })
	// One at a time, of a share of 10 for each.
	for range first {
		roundTrip(t, address)
	}
	var waiting []net.Conn
	for i := range later {
		waiting = append(waiting, halfway(t, []string{address, other}[i%2]))
	}
	turns := func(n int) {
		for range n {
			turned := make(chan struct{})
			p.Loops()[1].Run(func(*poller.Loop) { close(turned) })
			<-turned
		}
	}
	turns(1000)
	if n := opened(handlers); n > int64(burstMax(perSecond)) {
		t.Errorf("%d came in at once, at %d a second", n, perSecond)
	}
	for steps := later * 100 / perSecond; opened(handlers) < first+later; steps-- {
		if steps == 0 {
			t.Fatalf("%d of %d came in, in the time for all", opened(handlers), first+later)
		}
		kernel.clock.Add(int64(10 * time.Millisecond))
		turns(20)
	}
	for _, c := range waiting {
		echoes(t, c)
	}
}
