package epoll_test

import (
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/poller/epoll/epolltest"

	"golang.org/x/sys/unix"
)

// A heldKernel is Linux with a clock that the test moves, and tells when
// listeners were diverted.
type heldKernel struct {
	epoll.Linux
	clock    atomic.Int64
	diverted atomic.Int64
	errno    atomic.Int64
}

func (k *heldKernel) Now() int64 { return k.clock.Load() }

func (k *heldKernel) Divert(listener, own int) syscall.Errno {
	errno := k.Linux.Divert(listener, own)
	k.errno.CompareAndSwap(0, int64(errno))
	k.diverted.Add(1)
	return errno
}

func (k *heldKernel) EndDivert(listener int) syscall.Errno {
	errno := k.Linux.EndDivert(listener)
	if errno != unix.ENOENT { // another loop was first
		k.errno.CompareAndSwap(0, int64(errno))
	}
	return errno
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := patience.Deadline(); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// halfway opens a connection whose request is not there yet: with
// TCP_DEFER_ACCEPT, all that the server's side has of it is a handshake that its
// listener keeps to itself.
func halfway(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(patience.Deadline())
	return c
}

func echoes(t *testing.T, c net.Conn) {
	t.Helper()
	c.Write([]byte("hello"))
	var b [5]byte
	if _, err := c.Read(b[:]); err != nil || string(b[:]) != "hello" {
		t.Fatalf("echo: %q %v", b, err)
	}
}

// opened is how many connections came to handlers.
func opened(handlers []*echo) (n int64) {
	for _, e := range handlers {
		n += e.opened.Load()
	}
	return n
}

// startEchoes starts a poller that listens at an address, until the test ends, and notes
// its handlers.
func startEchoes(t *testing.T, config epoll.Config, address string, kernel epoll.Kernel, handlers *[]*echo) running {
	t.Helper()
	config.Kernel, config.Listen = kernel, listeners(address)
	config.Options = epoll.ListenOptions{DeferAccept: true}
	p, err := start(t, config, func(l *poller.Loop) poller.Handler {
		e := &echo{loop: l}
		*handlers = append(*handlers, e)
		return e
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Listeners that stop end the handshakes that they have begun, and leave all
// newcomers to those of another process, on IPv4 and IPv6.
func TestStopAcceptingHandsOver(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) { handOver(t, host, epoll.Config{Loops: 2}) })
	}
	t.Run("lanes", func(t *testing.T) { handOver(t, "127.0.0.1", epoll.Config{Loops: 4, Lanes: 2, PrivateFDTables: true}) })
}

// handOver is of a config by which two listeners of a port are the poller's.
func handOver(t *testing.T, host string, config epoll.Config) {
	address := freeAddress(t, host)
	kernel := &heldKernel{}
	kernel.clock.Store(int64(time.Hour))
	const each = 20
	var old, young []*echo
	oldPoller := startEchoes(t, config, address, kernel, &old)
	var waiting []net.Conn
	for range each {
		waiting = append(waiting, halfway(t, address))
	}
	startEchoes(t, config, address, nil, &young)
	done := make(chan struct{})
	go func() { oldPoller.StopAccepting(epoll.HandoverGrace); close(done) }()
	eventually(t, "the old listeners take nobody new", func() bool { return kernel.diverted.Load() == 2 })
	if errno := syscall.Errno(kernel.errno.Load()); errno != 0 {
		t.Fatalf("diverting: %v", errno)
	}
	for range each {
		echoes(t, halfway(t, address))
	}
	if o, y := opened(old), opened(young); o != 0 || y != each {
		t.Fatalf("of %d newcomers %d came to the old listeners and %d to the new", each, o, y)
	}
	// The last of those in handshake ends it just before the listeners are closed. A
	// loop may be at the end of a turn, and look at the clock when it likes.
	for _, c := range waiting[:each-1] {
		echoes(t, c)
	}
	if o := opened(old); o != each-1 {
		t.Fatalf("the old listeners took %d of the %d that they had begun with", o, each-1)
	}
	waiting[each-1].Write([]byte("hello"))
	kernel.clock.Add(int64(epoll.HandoverGrace))
	for _, l := range oldPoller.Loops() {
		l.Run(func(*poller.Loop) {})
	}
	<-done
	echoes(t, waiting[0])
	var b [5]byte
	if _, err := waiting[each-1].Read(b[:]); err != nil {
		t.Fatalf("the last one: %v", err)
	}
	if errno := syscall.Errno(kernel.errno.Load()); errno != 0 {
		t.Fatalf("diverting no longer: %v", errno)
	}
	for range each {
		echoes(t, halfway(t, address))
	}
	if o, y := opened(old), opened(young); o != each || y != 2*each {
		t.Fatalf("%d came to the old listeners and %d to the new", o, y)
	}
}

// Without another process the SYN is dropped, not answered: a client that comes
// while one process ends and the next begins waits for its second SYN.
func TestDivertedListenersRefuseNobody(t *testing.T) {
	kernel := &heldKernel{}
	kernel.clock.Store(int64(time.Hour))
	p, _, address := startEcho(t, epoll.Config{Loops: 1, Kernel: kernel})
	done := make(chan struct{})
	go func() { p.StopAccepting(epoll.HandoverGrace); close(done) }()
	eventually(t, "diverted", func() bool { return kernel.diverted.Load() == 1 })
	dialed := make(chan error, 1)
	go func() {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.SetDeadline(patience.Deadline())
			c.Write([]byte("hello"))
			_, err = c.Read(make([]byte, 5))
			c.Close()
		}
		dialed <- err
	}()
	select {
	case err := <-dialed:
		t.Fatalf("answered while nobody listens: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	kernel.clock.Add(int64(epoll.HandoverGrace))
	p.Loops()[0].Run(func(*poller.Loop) {})
	<-done
	young, err := start(t, epoll.Config{Loops: 1, Listen: listeners(address)}, newEcho)
	if err != nil {
		t.Fatal(err)
	}
	defer young.Stop()
	if err := <-dialed; err != nil {
		t.Fatal(err)
	}
}

// Those who wait when no descriptor is free are accepted when one is, and until
// then their listener stays open.
func TestStopAcceptingWaitsForDescriptors(t *testing.T) {
	for _, frees := range []bool{true, false} {
		k := epolltest.New(17)
		l, r := newLoop(t, k)
		r.onEvent = func(fd uint32, _ poller.Event) { l.Close(fd) }
		holds := k.Dial()
		turns(l, 3)
		k.DescriptorsMax = k.Open()
		waits := k.Dial()
		isDone := false
		l.Engine().(*epoll.Engine).StopAccepting(epoll.HandoverGrace, func() { isDone = true })
		if !k.Dial().WasReset() {
			t.Fatal("a newcomer was taken")
		}
		pass := func(d time.Duration) {
			for ; d > 0; d -= 50 * time.Millisecond {
				k.Advance(50 * time.Millisecond)
				turns(l, 1)
			}
		}
		pass(epoll.HandoverGrace + time.Second)
		if isDone || waits.WasReset() {
			t.Fatalf("without descriptors: done %v, reset %v", isDone, waits.WasReset())
		}
		if frees {
			holds.Close()
			pass(time.Second)
			if !isDone || waits.WasReset() || l.Connections() != 1 {
				t.Fatalf("with a descriptor: done %v, reset %v, %d connections", isDone, waits.WasReset(), l.Connections())
			}
			continue
		}
		pass(10 * time.Second)
		if !isDone {
			t.Fatal("it waits forever")
		}
	}
}
