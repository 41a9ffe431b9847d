package epoll

import (
	"sync/atomic"

	"c10m/poller"

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
	kernel    Kernel
	config    *Config
	epfd      int
	listeners []listener
	engines   []*Engine

	// Shared: atomic. Whose it is; nil once it is to be closed and passed on no longer.
	holder atomic.Pointer[Engine]
}

// A listener is one descriptor and the tag of those who come by it.
type listener struct {
	fd  int
	tag poller.Tag
}

// open makes the listeners, in the calling thread's table. The first failure
// ends it, with the address; close is right then, too.
func (ln *lane) open() error {
	epfd, errno := ln.kernel.EpollCreate()
	if errno != 0 {
		return errno
	}
	ln.epfd = epfd
	for _, l := range ln.config.Listen {
		fd, errno := ln.kernel.Listen(l.Address, ln.config.Options)
		if errno != 0 {
			return listenError(l.Address, errno)
		}
		ln.listeners = append(ln.listeners, listener{fd, l.Tag})
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: int32(l.Tag)}
		if errno := ln.kernel.EpollCtl(epfd, unix.EPOLL_CTL_ADD, fd, &event); errno != 0 {
			return listenError(l.Address, errno)
		}
	}
	return nil
}

// close closes the lane's descriptors in the calling thread's table. In others
// they stay open, and with them the listeners.
func (ln *lane) close() { closeLane(ln.kernel, ln.epfd, ln.listeners) }

func closeLane(kernel Kernel, epfd int, listeners []listener) {
	for _, l := range listeners {
		kernel.Close(l.fd)
	}
	if epfd >= 0 {
		kernel.Close(epfd)
	}
}

// roomiest returns the loop with the fewest connections, but for one; nil if all are
// full.
func (ln *lane) roomiest(but *Engine, now int64) (roomiest *Engine) {
	fewest := int64(0)
	for _, e := range ln.engines {
		n := e.table.connections.Load()
		if e != but && !e.table.full(now) && (roomiest == nil || n < fewest) {
			roomiest, fewest = e, n
		}
	}
	return roomiest
}

// end has the lane passed on no longer, and returns the loop that is to accept what
// still comes and to close the lane. It is the one with the most room, since who
// waits then cannot go to another.
func (ln *lane) end(now int64) *Engine {
	holder := ln.holder.Swap(nil)
	if e := ln.roomiest(nil, now); e != nil {
		return e
	}
	return holder
}

// passOn gives the loop's lane to another loop that has room, if there is one.
// Nobody who waits in a queue notices. Two loops never hold it: the other takes it
// when it obeys the order, after this one has let go.
func (a *acceptor) passOn(e *Engine) bool {
	next := a.lane.roomiest(e, e.loop.Now())
	if next == nil || !a.lane.holder.CompareAndSwap(e, next) {
		return false
	}
	a.letGo(e)
	e.loop.Stats().LanesPassedOn.Add(1)
	next.loop.Run(func(*poller.Loop) { next.accept.take(next) })
	return true
}

// take makes the loop the one that holds its lane. A loop that has left it meanwhile
// does not.
func (a *acceptor) take(e *Engine) {
	a.holds = !a.closed
	a.watch(e, a.pausedTo == 0)
}

func (a *acceptor) letGo(e *Engine) {
	a.refund(e)
	a.watch(e, false)
	a.holds = false
}

// leave closes the loop's copies of the lane's descriptors. The lane is another's then,
// or on its way to one.
func (a *acceptor) leave(e *Engine) {
	a.letGo(e)
	a.shut(e)
	a.closed = true
}

// shut closes the descriptors that the loop has of its lane.
func (a *acceptor) shut(e *Engine) {
	closeLane(e.kernel, a.epfd, a.listeners)
	a.listeners, a.epfd = nil, -1
}
