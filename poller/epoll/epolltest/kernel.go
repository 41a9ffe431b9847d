// Package epolltest is a kernel in memory for the epoll engine, in a pollertest.World: the
// real loop and the real engine run over sockets that a test writes to and reads from.
//
// It implements what the engine uses and the way Linux does it: the lowest free
// descriptor is the next, so that numbers are reused at once; level- and
// edge-triggered epoll; nested epoll; a socket buffer with an end.
package epolltest

import (
	"net/netip"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/poller/pollertest"

	"golang.org/x/sys/unix"
)

// Kernel is a fake epoll.Kernel. It is not safe for concurrent use.
type Kernel struct {
	*pollertest.World
	files map[int]*file
	stale []registration // of connections that were closed
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
	backlog  []*pollertest.Peer
	cpu      int
	diverted bool // takes no newcomers
	// A connection has a peer.
	peer *pollertest.Peer
}

type interest struct {
	fd    int
	event unix.EpollEvent
	edges int // of an eventfd, seen so far
}

// New makes a kernel whose faults come from seed.
func New(seed uint64) *Kernel {
	return &Kernel{World: pollertest.NewWorld(seed), files: make(map[int]*file)}
}

// Dial puts a new connection into a listener's queue.
func (k *Kernel) Dial() *pollertest.Peer {
	peer := pollertest.NewPeer()
	for _, fd := range k.descriptors() {
		if f := k.files[fd]; f.listener && !f.diverted {
			f.backlog = append(f.backlog, peer)
			return peer
		}
	}
	peer.Reset() // refused
	return peer
}

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

func (k *Kernel) EpollCreate() (int, syscall.Errno) { return k.add(&file{epoll: true}), 0 }

func (k *Kernel) Listen(poller.Address, epoll.ListenOptions) (int, syscall.Errno) {
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
		if k.files[fd].peer != nil && k.Fails("ENOSPC", k.Faults.EpollNoSpace) {
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
		ready := f.peer.Ready()
		if ready&poller.Readable != 0 {
			events |= unix.EPOLLIN
		}
		if f.peer.HasEnded() {
			events |= unix.EPOLLRDHUP
		}
		if ready&poller.HungUp != 0 {
			events |= unix.EPOLLERR | unix.EPOLLHUP
		}
		if ready&poller.Writable != 0 {
			events |= unix.EPOLLOUT
		}
	}
	return events
}

func (k *Kernel) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, syscall.Errno) {
	if k.Fails("wait", k.Faults.WaitNothing) {
		return 0, unix.EINTR
	}
	n := 0
	ep := k.files[epfd]
	if len(k.stale) > 0 {
		old := k.stale[k.Random.IntN(len(k.stale))]
		if old.epoll == ep && k.Fails("stale", k.Faults.StaleEvent) {
			events[0] = old.event
			n++
		}
	}
	interests := ep.interests
	for _, at := range k.Random.Perm(len(interests)) {
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
		k.Advance(time.Duration(msec) * time.Millisecond)
	}
	k.Advance(10 * time.Microsecond)
	return n, 0
}

func (k *Kernel) Accept(listener int) (int, syscall.Errno) {
	f := k.files[listener]
	if len(f.backlog) == 0 {
		return -1, unix.EAGAIN
	}
	if k.Fails("accept aborted", k.Faults.AcceptAbort) {
		f.backlog[0].Reset()
		f.backlog = f.backlog[1:]
		return -1, []syscall.Errno{unix.ECONNABORTED, unix.EPROTO}[k.Random.IntN(2)]
	}
	if len(k.files) >= k.DescriptorsMax {
		k.Injected["descriptors used up"]++
		return -1, unix.EMFILE
	}
	if k.Fails("accept exhausted", k.Faults.AcceptEMFILE) {
		return -1, []syscall.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}[k.Random.IntN(4)]
	}
	peer := f.backlog[0]
	f.backlog = f.backlog[1:]
	return k.add(&file{peer: peer}), 0
}

func (k *Kernel) Peer(fd int) (netip.AddrPort, syscall.Errno) {
	peer := k.files[fd].peer
	if peer.WasReset() {
		return netip.AddrPort{}, unix.ENOTCONN
	}
	return peer.Address, 0
}

func (k *Kernel) Recv(fd int, p []byte) (int, syscall.Errno) {
	n, status := k.World.Recv(k.files[fd].peer, p)
	return n, errnoOf(status, unix.ECONNRESET)
}

func (k *Kernel) Send(fd int, p []byte) (int, syscall.Errno) {
	if k.Fails("ENOBUFS", k.Faults.SendNoBufs) {
		return 0, unix.ENOBUFS
	}
	peer := k.files[fd].peer
	gone := unix.EPIPE
	n, status := k.World.Send(peer, p)
	if peer.WasReset() {
		gone = unix.ECONNRESET
	}
	return n, errnoOf(status, gone)
}

func errnoOf(status poller.Status, gone syscall.Errno) syscall.Errno {
	switch status {
	case poller.OK:
		return 0
	case poller.Full:
		return unix.EAGAIN
	}
	return gone
}

func (k *Kernel) Sendv(fd int, iov []unix.Iovec) (int, syscall.Errno) {
	var all []byte
	for i := range iov {
		all = append(all, unsafe.Slice(iov[i].Base, int(iov[i].Len))...)
	}
	return k.Send(fd, all)
}

func (k *Kernel) Shutdown(fd int) syscall.Errno {
	k.files[fd].peer.Shut()
	return 0
}

func (k *Kernel) Close(fd int) syscall.Errno {
	f := k.files[fd]
	if f == nil {
		panic("BUG: the loop closed a descriptor that is not open")
	}
	if f.peer != nil {
		f.peer.Leave()
	}
	for _, waiting := range f.backlog {
		waiting.Reset()
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
