package poller

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A lane is a way in for newcomers: a listener for each address, in an epoll of
// their own. One loop at a time holds it, that is, has that epoll in its own and
// accepts; the lane goes to another when the loop's descriptor table is full, with
// all who wait in the listeners' queues. So there are as many acceptors as are good
// for the host, however many loops its descriptor tables make (doc.go, "Lanes").
//
// Where loops share one table each has a lane of its own.
type lane struct {
	// Fixed before its first loop runs. The descriptors are under the same
	// numbers in the tables of all its loops.
	epfd      int
	listeners []int
	loops     []*Loop
	lanes     int // how many there are, so how many listeners of a port are ours

	// Shared: atomic. Whose it is; nil once it is to be closed and stays where it is.
	holder atomic.Pointer[Loop]
}

// open makes the listeners, in the calling thread's table. The first failure
// ends it, with the address; close is right then, too.
func (ln *lane) open(kernel Kernel, addresses []Address, options ListenOptions) error {
	epfd, errno := kernel.EpollCreate()
	if errno != 0 {
		return errno
	}
	ln.epfd = epfd
	for _, address := range addresses {
		fd, errno := kernel.Listen(address, options)
		if errno != 0 {
			return listenError(address, errno)
		}
		ln.listeners = append(ln.listeners, fd)
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if errno := kernel.EpollCtl(epfd, unix.EPOLL_CTL_ADD, fd, &event); errno != 0 {
			return listenError(address, errno)
		}
	}
	return nil
}

// close closes the lane's descriptors in the calling thread's table. In others
// they stay open, and with them the listeners.
func (ln *lane) close(kernel Kernel) {
	for _, fd := range ln.listeners {
		kernel.Close(fd)
	}
	if ln.epfd >= 0 {
		kernel.Close(ln.epfd)
	}
}

// next returns the loop with the most room, nil if all others are full, too.
func (ln *lane) next(from *Loop) (next *Loop) {
	fewest := int64(0)
	for _, l := range ln.loops {
		n := l.table.connections.Load()
		if l != from && !l.table.full() && (next == nil || n < fewest) {
			next, fewest = l, n
		}
	}
	return next
}

// passOn gives the loop's lane to another loop that has room, if there is one.
// Nobody who waits in a queue notices. Two loops never hold it: the other takes it
// when it obeys the order, after this one has let go.
func (a *acceptor) passOn(l *Loop) bool {
	next := a.lane.next(l)
	if next == nil || !a.lane.holder.CompareAndSwap(l, next) {
		return false
	}
	a.refund(l)
	a.watch(l, false)
	a.holds = false
	l.stats.LanesPassedOn.Add(1)
	next.Run(func(next *Loop) {
		next.accept.holds = true
		next.accept.watch(next, true)
	})
	return true
}

// leave closes the loop's copies of the descriptors of a lane that it does not hold.
func (a *acceptor) leave(l *Loop) {
	if a.holds {
		panic("BUG: a loop leaves the lane that it holds")
	}
	a.shut(l)
	a.closed = true
}

// shut closes the descriptors that the loop has of its lane.
func (a *acceptor) shut(l *Loop) {
	for _, fd := range a.listeners {
		l.kernel.Close(fd)
	}
	if a.epfd >= 0 {
		l.kernel.Close(a.epfd)
	}
	a.listeners, a.epfd = nil, -1
}

// lanes makes the lanes for the loops: each loop's own if they share a table, else
// config.Lanes, with consecutive loops on each.
func (config *Config) lanes(loops []*Loop) (lanes []*lane) {
	count := len(loops)
	if config.PrivateFDTables && config.Lanes > 0 {
		count = min(config.Lanes, count)
	}
	for i := range count {
		ln := &lane{epfd: -1, lanes: count, loops: loops[i*len(loops)/count : (i+1)*len(loops)/count]}
		ln.holder.Store(ln.loops[0])
		for _, l := range ln.loops {
			l.accept.lane = ln
		}
		lanes = append(lanes, ln)
	}
	return lanes
}
