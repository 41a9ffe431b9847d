// Package pollertest is a kernel in memory for tests of the reactor and of
// what stands on it: the real loop runs, one turn at a time, over sockets that
// a test writes to and reads from, with a virtual clock and with faults from a
// seeded table. The same seed gives the same run.
//
// It implements what the loop uses and the way Linux does it: the lowest free
// descriptor is the next, so that numbers are reused at once; level- and
// edge-triggered epoll; nested epoll; a socket buffer with an end.
package pollertest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"c10m/poller"

	"golang.org/x/sys/unix"
)

// Faults are the probabilities, from 0 to 1, that a call fails where it would
// have succeeded.
type Faults struct {
	PartialWrite float64 // Send and Sendv take only a part
	SendAgain    float64 // EAGAIN although there is room
	SendNoBufs   float64 // ENOBUFS
	Reset        float64 // ECONNRESET on Send or Recv; the connection is dead
	ShortRead    float64 // Recv gives only a part of what is there
	WaitEINTR    float64
	StaleEvent   float64 // an event of a former owner of a descriptor
	AcceptEMFILE float64 // EMFILE, ENFILE, ENOBUFS or ENOMEM
	AcceptAbort  float64 // ECONNABORTED or EPROTO
	EpollNoSpace float64 // ENOSPC when a connection is added
}

// sendBufferBytes is the room in a socket for what the peer has not read.
const sendBufferBytes = 4096

// Kernel is a fake poller.Kernel. It is not safe for concurrent use.
type Kernel struct {
	Faults Faults
	// Injected counts the faults that happened, by name.
	Injected map[string]int
	// DescriptorsMax is the nofile limit.
	DescriptorsMax int

	random *rand.Rand
	files  map[int]*file
	stale  []registration // of connections that were closed
	now    int64
}

type registration struct {
	epoll *file
	event unix.EpollEvent
}

type file struct {
	// An epoll has interests, in the order they were added.
	epoll     bool
	interests []*interest
	// An eventfd counts edges.
	edges int
	// A listener has connections that wait.
	listener bool
	backlog  []*Peer
	cpu      int
	diverted bool // takes no newcomers
	// A connection has a peer.
	peer *Peer
}

type interest struct {
	fd    int
	event unix.EpollEvent
	edges int // of an eventfd, seen so far
}

// A Peer is the other end of a connection, in the hands of the test.
type Peer struct {
	// Address is what the server is told of it; 192.0.2.1:1 from Dial.
	Address netip.AddrPort

	toServer []byte // written and not yet received
	toPeer   []byte // sent and not yet read
	// FIN and RST, in both directions.
	peerClosed, serverShut, serverClosed, reset bool
}

// New makes a kernel whose faults come from seed.
func New(seed uint64) *Kernel {
	return &Kernel{
		Injected:       make(map[string]int),
		DescriptorsMax: 1024,
		random:         rand.New(rand.NewPCG(seed, 1)),
		files:          make(map[int]*file),
		now:            int64(time.Second),
	}
}

// Write is the peer sending p.
func (p *Peer) Write(b []byte) { p.toServer = append(p.toServer, b...) }

// Read takes up to n bytes of what the server sent; n < 0 takes all.
func (p *Peer) Read(n int) []byte {
	if n < 0 || n > len(p.toPeer) {
		n = len(p.toPeer)
	}
	b := p.toPeer[:n:n]
	p.toPeer = p.toPeer[n:]
	return b
}

// Close is the peer ending its stream, Reset its breaking the connection.
func (p *Peer) Close() { p.peerClosed = true }
func (p *Peer) Reset() { p.reset = true }

// Ended reports whether the server ended its stream or closed the connection.
func (p *Peer) Ended() bool { return p.serverShut || p.serverClosed }

// Gone reports whether the server closed its descriptor.
func (p *Peer) Gone() bool { return p.serverClosed }

// WasReset reports whether the connection broke by a fault or by the test.
func (p *Peer) WasReset() bool { return p.reset }

// Dial puts a new connection into a listener's queue.
func (k *Kernel) Dial() *Peer {
	peer := &Peer{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 1)}
	for _, fd := range k.descriptors() {
		if f := k.files[fd]; f.listener && !f.diverted {
			f.backlog = append(f.backlog, peer)
			return peer
		}
	}
	peer.reset = true // refused
	return peer
}

// Advance moves the clock.
func (k *Kernel) Advance(d time.Duration) { k.now += int64(d) }

// Open is the number of open descriptors.
func (k *Kernel) Open() int { return len(k.files) }

// Eventfd makes a wake-up descriptor.
func (k *Kernel) Eventfd() int { return k.add(&file{}) }

func (k *Kernel) descriptors() []int {
	all := make([]int, 0, len(k.files))
	for fd := range k.files {
		all = append(all, fd)
	}
	slices.Sort(all)
	return all
}

func (k *Kernel) add(f *file) int {
	fd := 3
	for k.files[fd] != nil {
		fd++
	}
	k.files[fd] = f
	return fd
}

// fails draws whether a fault happens.
func (k *Kernel) fails(name string, probability float64) bool {
	if probability == 0 || k.random.Float64() >= probability {
		return false
	}
	k.Injected[name]++
	return true
}

func (k *Kernel) Now() int64 { return k.now }

func (k *Kernel) EpollCreate() (int, syscall.Errno) { return k.add(&file{epoll: true}), 0 }

func (k *Kernel) Listen(poller.Address, poller.ListenOptions) (int, syscall.Errno) {
	return k.add(&file{listener: true}), 0
}

// Steer remembers the processor of a listener.
func (k *Kernel) Steer(listener, cpu int) syscall.Errno {
	k.files[listener].cpu = cpu
	return 0
}

// Divert has Dial pass a listener over.
func (k *Kernel) Divert(listener, _ int) syscall.Errno {
	k.files[listener].diverted = true
	return 0
}

// EndDivert changes nothing: a listener that drops SYNs goes on with it.
func (k *Kernel) EndDivert(int) syscall.Errno { return 0 }

func (k *Kernel) EpollCtl(epfd, op, fd int, event *unix.EpollEvent) syscall.Errno {
	ep := k.files[epfd]
	at := slices.IndexFunc(ep.interests, func(i *interest) bool { return i.fd == fd })
	switch {
	case k.files[fd] == nil:
		return unix.EBADF
	case op == unix.EPOLL_CTL_ADD && at >= 0:
		return unix.EEXIST
	case op != unix.EPOLL_CTL_ADD && at < 0:
		return unix.ENOENT
	case op == unix.EPOLL_CTL_ADD:
		if k.files[fd].peer != nil && k.fails("ENOSPC", k.Faults.EpollNoSpace) {
			return unix.ENOSPC
		}
		ep.interests = append(ep.interests, &interest{fd: fd, event: *event})
	case op == unix.EPOLL_CTL_MOD:
		ep.interests[at].event = *event
	default:
		ep.interests = slices.Delete(ep.interests, at, at+1)
	}
	return 0
}

// ready returns the events of a file that are true now.
func (k *Kernel) ready(f *file) (events uint32) {
	switch {
	case f.epoll:
		if slices.ContainsFunc(f.interests, func(i *interest) bool { return k.ready(k.files[i.fd])&i.event.Events != 0 }) {
			events = unix.EPOLLIN
		}
	case f.listener:
		if len(f.backlog) > 0 {
			events = unix.EPOLLIN
		}
	case f.peer != nil:
		if len(f.peer.toServer) > 0 {
			events |= unix.EPOLLIN
		}
		if f.peer.peerClosed {
			events |= unix.EPOLLIN | unix.EPOLLRDHUP
		}
		if f.peer.reset {
			events |= unix.EPOLLIN | unix.EPOLLERR | unix.EPOLLHUP
		}
		// As tcp_poll: writable from a third of free room on.
		if len(f.peer.toPeer) <= sendBufferBytes*2/3 {
			events |= unix.EPOLLOUT
		}
	}
	return events
}

func (k *Kernel) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, syscall.Errno) {
	if k.fails("EINTR", k.Faults.WaitEINTR) {
		return 0, unix.EINTR
	}
	n := 0
	ep := k.files[epfd]
	if len(k.stale) > 0 {
		old := k.stale[k.random.IntN(len(k.stale))]
		if old.epoll == ep && k.fails("stale", k.Faults.StaleEvent) {
			events[0] = old.event
			n++
		}
	}
	interests := ep.interests
	for _, at := range k.random.Perm(len(interests)) {
		if n == len(events) {
			break
		}
		i := interests[at]
		f := k.files[i.fd]
		if i.event.Events&unix.EPOLLET != 0 {
			if f.edges == i.edges {
				continue
			}
			i.edges = f.edges
			events[n] = unix.EpollEvent{Events: unix.EPOLLIN, Fd: i.event.Fd, Pad: i.event.Pad}
			n++
			continue
		}
		// EPOLLERR and EPOLLHUP are always reported (epoll_ctl(2)).
		if now := k.ready(f) & (i.event.Events | unix.EPOLLERR | unix.EPOLLHUP); now != 0 {
			events[n] = unix.EpollEvent{Events: now, Fd: i.event.Fd, Pad: i.event.Pad}
			n++
		}
	}
	if n == 0 && msec > 0 {
		k.now += int64(msec) * int64(time.Millisecond)
	}
	k.now += int64(10 * time.Microsecond)
	return n, 0
}

func (k *Kernel) Accept(listener int) (int, syscall.Errno) {
	f := k.files[listener]
	if len(f.backlog) == 0 {
		return -1, unix.EAGAIN
	}
	if k.fails("accept aborted", k.Faults.AcceptAbort) {
		f.backlog[0].reset = true
		f.backlog = f.backlog[1:]
		return -1, []syscall.Errno{unix.ECONNABORTED, unix.EPROTO}[k.random.IntN(2)]
	}
	if len(k.files) >= k.DescriptorsMax {
		k.Injected["descriptors used up"]++
		return -1, unix.EMFILE
	}
	if k.fails("accept exhausted", k.Faults.AcceptEMFILE) {
		return -1, []syscall.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}[k.random.IntN(4)]
	}
	peer := f.backlog[0]
	f.backlog = f.backlog[1:]
	return k.add(&file{peer: peer}), 0
}

// broken draws a reset and reports whether the connection is broken.
func (k *Kernel) broken(peer *Peer) bool {
	if k.fails("ECONNRESET", k.Faults.Reset) {
		peer.reset = true
	}
	return peer.reset
}

func (k *Kernel) Peer(fd int) (netip.AddrPort, syscall.Errno) {
	peer := k.files[fd].peer
	if peer.reset {
		return netip.AddrPort{}, unix.ENOTCONN
	}
	return peer.Address, 0
}

func (k *Kernel) Recv(fd int, p []byte) (int, syscall.Errno) {
	peer := k.files[fd].peer
	switch {
	case k.broken(peer):
		return 0, unix.ECONNRESET
	case len(peer.toServer) == 0 && peer.peerClosed:
		return 0, 0
	case len(peer.toServer) == 0:
		return 0, unix.EAGAIN
	}
	if len(peer.toServer) > 1 && k.fails("short read", k.Faults.ShortRead) {
		p = p[:1+k.random.IntN(len(peer.toServer)-1)]
	}
	n := copy(p, peer.toServer)
	peer.toServer = peer.toServer[n:]
	return n, 0
}

func (k *Kernel) Send(fd int, p []byte) (int, syscall.Errno) {
	peer := k.files[fd].peer
	room := sendBufferBytes - len(peer.toPeer)
	switch {
	case k.broken(peer):
		return 0, unix.ECONNRESET
	case peer.serverShut:
		return 0, unix.EPIPE
	case room <= 0, k.fails("EAGAIN", k.Faults.SendAgain):
		return 0, unix.EAGAIN
	case k.fails("ENOBUFS", k.Faults.SendNoBufs):
		return 0, unix.ENOBUFS
	}
	p = p[:min(len(p), room)]
	if len(p) > 1 && k.fails("partial write", k.Faults.PartialWrite) {
		p = p[:1+k.random.IntN(len(p)-1)]
	}
	peer.toPeer = append(peer.toPeer, p...)
	return len(p), 0
}

func (k *Kernel) Sendv(fd int, iov []unix.Iovec) (int, syscall.Errno) {
	var all []byte
	for i := range iov {
		all = append(all, unsafe.Slice(iov[i].Base, int(iov[i].Len))...)
	}
	return k.Send(fd, all)
}

func (k *Kernel) Shutdown(fd int) syscall.Errno {
	k.files[fd].peer.serverShut = true
	return 0
}

func (k *Kernel) Close(fd int) syscall.Errno {
	f := k.files[fd]
	if f == nil {
		panic("BUG: the loop closed a descriptor that is not open")
	}
	if f.peer != nil {
		f.peer.serverClosed = true
	}
	for _, waiting := range f.backlog {
		waiting.reset = true
	}
	delete(k.files, fd)
	for _, ep := range k.files {
		ep.interests = slices.DeleteFunc(ep.interests, func(i *interest) bool {
			if i.fd == fd && f.peer != nil && len(k.stale) < 1000 {
				gone := i.event
				gone.Events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLHUP
				k.stale = append(k.stale, registration{ep, gone})
			}
			return i.fd == fd
		})
	}
	return 0
}

func (k *Kernel) Wake(eventfd int) syscall.Errno {
	k.files[eventfd].edges++
	return 0
}
