package epoll_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"

	"golang.org/x/sys/unix"
)

// echo is a Handler that sends back what it gets.
type echo struct {
	loop    *poller.Loop
	opened  atomic.Int64
	closed  atomic.Int64
	letters atomic.Int64
	options func(fd uint32)
	sweeps  bool
	tags    [3]atomic.Int64 // how many came by a listener of each tag
	buffer  [4096]byte
}

func (e *echo) Open(fd uint32, tag poller.Tag) {
	e.opened.Add(1)
	e.tags[tag].Add(1)
	if e.options != nil {
		e.options(fd)
	}
	e.Event(fd, poller.Readable)
}
func (e *echo) Event(fd uint32, _ poller.Event) {
	n, status := e.loop.Recv(fd, e.buffer[:])
	if status == poller.Full {
		return
	}
	if status != poller.OK || n == 0 {
		e.loop.Close(fd)
		return
	}
	e.loop.Send(fd, poller.Words(e.buffer[:n]))
}
func (e *echo) Letter(any)    { e.letters.Add(1) }
func (e *echo) Full() bool    { return false }
func (e *echo) Work() bool    { return e.sweeps }
func (e *echo) Tick() int64   { return e.loop.Now() + int64(time.Hour) }
func (e *echo) Closed(uint32) { e.closed.Add(1) }

// freeAddress is one on which nobody listens.
func freeAddress(t *testing.T, host string) string {
	t.Helper()
	free, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return free.Addr().String()
}

// running are loops with their sockets.
type running struct {
	*poller.Poller
	*epoll.Sockets
}

// start starts them, until the test ends.
func start(t testing.TB, config epoll.Config, newHandler func(*poller.Loop) poller.Handler) (running, error) {
	t.Helper()
	if config.DescriptorsMax == 0 {
		config.DescriptorsMax = 1 << 16
	}
	p := poller.New(poller.Config{Loops: config.Loops, NewHandler: newHandler})
	t.Cleanup(p.Stop)
	sockets, err := epoll.Start(p, config)
	if err != nil {
		p.Stop()
	}
	return running{p, sockets}, err
}

func listeners(address string) []epoll.Listener {
	return epoll.Listeners(0, netip.MustParseAddrPort(address))
}

func newEcho(l *poller.Loop) poller.Handler { return &echo{loop: l} }

// startEcho listens on the address that it returns, besides those of config.
func startEcho(t *testing.T, config epoll.Config) (running, []*echo, string) {
	t.Helper()
	address := freeAddress(t, "127.0.0.1")
	var echoes []*echo
	config.Listen = append(config.Listen, listeners(address)...)
	p, err := start(t, config, func(l *poller.Loop) poller.Handler {
		e := &echo{loop: l}
		echoes = append(echoes, e)
		return e
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, echoes, address
}

func roundTrip(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(patience.Deadline())
	c.Write([]byte("hello"))
	var b [5]byte
	if _, err := c.Read(b[:]); err != nil || string(b[:]) != "hello" {
		t.Fatalf("echo: %q %v", b, err)
	}
	return c
}

// A newcomer comes with the tag of the listener that took it, also when the listeners are
// about to close.
func TestANewcomerHasTheTagOfItsListener(t *testing.T) {
	first, second := freeAddress(t, "127.0.0.1"), freeAddress(t, "127.0.0.1")
	listen := append(epoll.Listeners(1, netip.MustParseAddrPort(first)), epoll.Listeners(2, netip.MustParseAddrPort(second))...)
	p, echoes, _ := startEcho(t, epoll.Config{Loops: 2, Listen: listen})
	want := [3]int64{0, 20, 30}
	for range want[1] {
		roundTrip(t, first)
	}
	for range want[2] - 1 {
		roundTrip(t, second)
	}
	last := halfway(t, second)
	p.StopAccepting(0)
	last.Close()
	var got [3]int64
	for _, e := range echoes {
		for tag := range e.tags {
			got[tag] += e.tags[tag].Load()
		}
	}
	if got != want {
		t.Errorf("by tags %v came, not %v", got, want)
	}
}

func TestLoopsWithPrivateDescriptorTables(t *testing.T) {
	p, echoes, address := startEcho(t, epoll.Config{Loops: 4, PrivateFDTables: true})
	before := openFiles(t)
	for range 100 {
		roundTrip(t, address)
	}
	opened := int64(0)
	for _, e := range echoes {
		opened += e.opened.Load()
	}
	if opened != 100 {
		t.Fatalf("%d of 100 connections accepted", opened)
	}
	// This process's table shows our 100 client ends, not the servers'.
	if grown := openFiles(t) - before; grown != 100 {
		t.Fatalf("the main table grew by %d", grown)
	}
	// Every loop can be woken from here, and from every other loop.
	var woken sync.WaitGroup
	for _, from := range p.Loops() {
		for _, to := range p.Loops() {
			woken.Add(1)
			from.Run(func(*poller.Loop) { to.Run(func(*poller.Loop) { woken.Done() }) })
		}
	}
	woken.Wait()
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestConnectionsInheritTheListenersOptions(t *testing.T) {
	p, echoes, address := startEcho(t, epoll.Config{Loops: 1, Options: epoll.ListenOptions{
		WriteDeadline: 30 * time.Second, SendBufferBytes: 64 << 10, DeferAccept: true,
	}})
	var noDelay, userTimeout, sendBuffer int
	seen := make(chan struct{})
	options := func(fd uint32) {
		noDelay, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
		userTimeout, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		sendBuffer, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		close(seen)
	}
	set := make(chan struct{})
	p.Loops()[0].Run(func(*poller.Loop) { echoes[0].options = options; close(set) })
	<-set
	roundTrip(t, address)
	<-seen
	// The kernel doubles SO_SNDBUF (socket(7)).
	if noDelay != 1 || userTimeout != 30_000 || sendBuffer != 128<<10 {
		t.Fatalf("TCP_NODELAY %d, TCP_USER_TIMEOUT %d, SO_SNDBUF %d", noDelay, userTimeout, sendBuffer)
	}
}

func TestPostsFromManyGoroutinesAllArrive(t *testing.T) {
	p, echoes, _ := startEcho(t, epoll.Config{Loops: 2})
	const posters, each = 8, 5000
	var done sync.WaitGroup
	for i := range posters {
		done.Add(1)
		go func() {
			defer done.Done()
			loop := p.Loops()[i%2]
			for range each {
				for !loop.Post(&poller.Letter{Body: i}) {
					time.Sleep(time.Millisecond)
				}
			}
		}()
	}
	done.Wait()
	for end := patience.Deadline(); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if echoes[0].letters.Load()+echoes[1].letters.Load() == posters*each {
			break
		}
	}
	// Orders are obeyed by a loop that has nothing else to do, too.
	var read sync.WaitGroup
	read.Add(2)
	for _, l := range p.Loops() {
		l.Run(func(*poller.Loop) { read.Done() })
	}
	read.Wait()
	if n := echoes[0].letters.Load() + echoes[1].letters.Load(); n != posters*each {
		t.Fatalf("%d letters of %d arrived", n, posters*each)
	}
}

func TestListenOnATakenAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := openFiles(t)
	_, err = start(t, epoll.Config{
		Loops:  2,
		Listen: listeners(taken.Addr().String()),
	}, newEcho)
	if err == nil || !strings.Contains(err.Error(), "another program uses that port") {
		t.Fatalf("error %v", err)
	}
	if left := openFiles(t) - before; left != 0 {
		t.Fatalf("%d descriptors left open", left)
	}
}

func TestParseAddresses(t *testing.T) {
	for _, c := range []struct {
		text        string
		count       int
		first, last string
	}{
		{":10000-11000", 1001, "0.0.0.0:10000", "0.0.0.0:11000"},
		{"127.0.0.1:80", 1, "127.0.0.1:80", "127.0.0.1:80"},
		{"[::1]:8000-8001", 2, "[::1]:8000", "[::1]:8001"},
		{"[::]:65535", 1, "[::]:65535", "[::]:65535"},
	} {
		got, err := poller.ParseAddresses(c.text)
		if err != nil || len(got) != c.count || got[0].String() != c.first || got[len(got)-1].String() != c.last {
			t.Errorf("%q: %v %v", c.text, got, err)
		}
	}
	for _, text := range []string{"", "10000", ":", ":0", ":65536", ":9-8", ":1-", "host:80", ":x", ":1-2-3", "[fe80::1%eth0]:80"} {
		if got, err := poller.ParseAddresses(text); err == nil {
			t.Errorf("%q: %v, no error", text, got)
		}
	}
}

// With loops bound to processors, the kernel brings each the connections that
// are made on its processor, since loopback's packets arrive where they are
// sent. Kernels before 6.2 spread them by hash.
func TestConnectionsComeToTheLoopOfTheirProcessor(t *testing.T) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < min(2, allowed.Count()); cpu++ {
		if allowed.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	_, echoes, address := startEcho(t, epoll.Config{Loops: 2 * len(cpus), CPUs: cpus})
	const connections = 100
	var running sync.WaitGroup
	for range connections {
		running.Add(1)
		go func() {
			defer running.Done()
			runtime.LockOSThread() // and never unlocked: the thread ends, and its binding with it
			var set unix.CPUSet
			set.Set(cpus[len(cpus)-1])
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				t.Error(err)
				return
			}
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		}()
	}
	running.Wait()
	all, there := int64(0), int64(0)
	for i, e := range echoes {
		all += e.opened.Load()
		if i%len(cpus) == len(cpus)-1 {
			there += e.opened.Load()
		}
	}
	if all != connections {
		t.Errorf("%d of %d connections were accepted", all, connections)
	}
	if there != connections && kernelIs(t, 6, 2) {
		t.Errorf("%d of %d connections came to the loops of their processor", there, connections)
	}
}

// kernelIs reports whether the running kernel is of this release or a later one.
func kernelIs(t *testing.T, major, minor int) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var a, b int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &a, &b); err != nil {
		t.Fatal(err)
	}
	return a > major || a == major && b >= minor
}

// Loops that share a table know their own connections, whatever numbers the
// others have given theirs: an old (descriptor, generation) of one loop must not
// name a connection of another.
func TestLoopsKnowTheirOwnDescriptors(t *testing.T) {
	p, echoes, address := startEcho(t, epoll.Config{Loops: 2})
	for echoes[0].opened.Load() == 0 || echoes[1].opened.Load() == 0 {
		roundTrip(t, address)
	}
	known, sum := make(map[uint32]int), 0
	for _, l := range p.Loops() {
		done := make(chan struct{})
		l.Run(func(l *poller.Loop) {
			for fd := range uint32(1 << 16) {
				if l.Generation(fd) != 0 {
					known[fd]++
				}
			}
			sum += l.Connections()
			close(done)
		})
		<-done
	}
	if len(known) != sum {
		t.Errorf("%d descriptors are known, and there are %d connections", len(known), sum)
	}
	for fd, n := range known {
		if n != 1 {
			t.Errorf("%d loops know descriptor %d", n, fd)
		}
	}
}

// Who stops a poller twice writes to no descriptor that is somebody else's by then.
func TestStopTwice(t *testing.T) {
	p, _, _ := startEcho(t, epoll.Config{Loops: 2})
	p.Stop()
	var others []int
	for range 8 { // they have the lowest numbers, so those of the loops
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		others = append(others, fd)
	}
	p.Stop()
	for _, fd := range others {
		if n, err := unix.Read(fd, make([]byte, 8)); err != unix.EAGAIN {
			t.Errorf("descriptor %d was written to: %d bytes, %v", fd, n, err)
		}
	}
}
