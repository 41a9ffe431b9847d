package poller

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A lane is a way in for newcomers: a listener for each address, in an epoll of
// their own. One loop at a time holds it, that is, has that epoll in its own and
// accepts; the lane goes to another when the loop's descriptor table is full, with
// all who wait in the listeners' queues. So there are as many acceptors as are good
// for the host, however many loops its descriptor tables make (docs/internals/poller.md).
//
// Where loops share one table each has a lane of its own.
type lane struct {
	// Fixed before its first loop runs. The descriptors are under the same
	// numbers in the tables of all its loops.
	epfd      int
	listeners []int
	loops     []*Loop

	// Shared: atomic. Whose it is; nil once it is to be closed and passed on no longer.
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
func (ln *lane) close(kernel Kernel) { closeLane(kernel, ln.epfd, ln.listeners) }

func closeLane(kernel Kernel, epfd int, listeners []int) {
	for _, fd := range listeners {
		kernel.Close(fd)
	}
	if epfd >= 0 {
		kernel.Close(epfd)
	}
}

// roomiest returns the loop with the fewest connections, but for one; nil if all are
// full.
func (ln *lane) roomiest(but *Loop, now int64) (roomiest *Loop) {
	fewest := int64(0)
	for _, l := range ln.loops {
		n := l.table.connections.Load()
		if l != but && !l.table.full(now) && (roomiest == nil || n < fewest) {
			roomiest, fewest = l, n
		}
	}
	return roomiest
}

// end has the lane passed on no longer, and returns the loop that is to accept what
// still comes and to close the lane. It is the one with the most room, since who
// waits then cannot go to another.
func (ln *lane) end(now int64) *Loop {
	holder := ln.holder.Swap(nil)
	if l := ln.roomiest(nil, now); l != nil {
		return l
	}
	return holder
}

// passOn gives the loop's lane to another loop that has room, if there is one.
// Nobody who waits in a queue notices. Two loops never hold it: the other takes it
// when it obeys the order, after this one has let go.
func (a *acceptor) passOn(l *Loop) bool {
	next := a.lane.roomiest(l, l.now)
	if next == nil || !a.lane.holder.CompareAndSwap(l, next) {
		return false
	}
	a.letGo(l)
	l.stats.LanesPassedOn.Add(1)
	next.Run(func(next *Loop) { next.accept.take(next) })
	return true
}

// take makes the loop the one that holds its lane. A loop that has left it meanwhile
// does not.
func (a *acceptor) take(l *Loop) {
	a.holds = !a.closed
	a.watch(l, a.pausedTo == 0)
}

func (a *acceptor) letGo(l *Loop) {
	a.refund(l)
	a.watch(l, false)
	a.holds = false
}

// leave closes the loop's copies of the lane's descriptors. The lane is another's then,
// or on its way to one.
func (a *acceptor) leave(l *Loop) {
	a.letGo(l)
	a.shut(l)
	a.closed = true
}

// shut closes the descriptors that the loop has of its lane.
func (a *acceptor) shut(l *Loop) {
	closeLane(l.kernel, a.epfd, a.listeners)
	a.listeners, a.epfd = nil, -1
}

// laneCount is how many lanes there are, so how many listeners of a port are ours.
func (config *Config) laneCount() int {
	if config.PrivateFDTables && config.Lanes > 0 {
		return min(config.Lanes, config.Loops)
	}
	return config.Loops
}

// lanes makes the lanes for the loops: each loop's own if they share a table, else
// config.Lanes, with consecutive loops on each.
func (config *Config) lanes(loops []*Loop) (lanes []*lane) {
	count := config.laneCount()
	for i := range count {
		ln := &lane{epfd: -1, loops: loops[i*len(loops)/count : (i+1)*len(loops)/count]}
		ln.holder.Store(ln.loops[0])
		for _, l := range ln.loops {
			l.accept.lane = ln
		}
		lanes = append(lanes, ln)
	}
	return lanes
}
