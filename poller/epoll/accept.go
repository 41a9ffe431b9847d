package epoll

import (
	"math"
	"syscall"

	"c10m/poller"

	"golang.org/x/sys/unix"
)

// An acceptor is a loop's part in its lane. The lane's epoll is one descriptor in
// the loop's while the loop holds the lane. To pause all listeners is then one
// call, however many ports there are, and a flood of newcomers never crowds the
// connections out of a wait.
type acceptor struct {
	lane      *lane
	holds     bool       // the lane is this loop's to accept from
	epfd      int        // the lane's
	listeners []listener // the lane's, as long as they are open in this loop's table
	pausedTo  int64      // 0 while accepting
	credit    int        // accepts that are reserved of the loops' rate and not made
	watched   bool       // epfd is in the loop's epoll
	closed    bool       // no listeners any more: draining
	ready     bool       // the wait saw that somebody wants to come in
	steered   bool       // the kernel prefers them at the loop's processor
	stop      stopping
	events    [acceptsPerTurnMax]unix.EpollEvent
}

// acceptClass is what an accept error means for the listener.
type acceptClass int

const (
	acceptEmpty      acceptClass = iota // nobody waits any more
	acceptRetry                         // that connection died; the next may be well
	acceptTableFull                     // descriptors of this table are used up: pass on, or pause
	acceptExhausted                     // the host's descriptors, or memory, are used up: pause
	acceptUnexpected                    // nothing that accept(2) names: pause, and count apart
)

// classify sorts the errors of accept(2). Linux passes errors of the new
// socket on as errors of accept ("treat them like EAGAIN by retrying").
func classify(errno syscall.Errno) acceptClass {
	switch errno {
	case unix.EAGAIN:
		return acceptEmpty
	case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP,
		unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ENONET,
		unix.EPERM, unix.ETIMEDOUT:
		return acceptRetry
	case unix.EMFILE:
		return acceptTableFull
	case unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC:
		return acceptExhausted
	}
	return acceptUnexpected
}

// run takes newcomers, at most acceptsPerTurnMax, from the listeners that have
// some. What is left is reported again by the next wait.
func (a *acceptor) run(e *Engine) {
	n, errno := e.kernel.EpollWait(a.epfd, a.events[:], 0)
	if errno != 0 {
		return // EINTR; level-triggered, so nothing is lost
	}
	held := a.holds
	budget, waiting := acceptsPerTurnMax, false
	for i := 0; i < n && budget > 0; i++ {
		limit := min(budget, acceptsPerListenerMax)
		event := &a.events[i]
		calls := a.drain(e, listener{int(event.Fd), poller.Tag(event.Pad)}, limit)
		if a.pausedTo != 0 || a.holds != held {
			return
		}
		budget -= calls
		waiting = waiting || calls == limit
	}
	if !waiting || !held {
		a.refund(e)
	}
}

// visit has a loop that is awake, since it sweeps, accept from its lane as well
// though another one holds it: that has its share of the processors only, which is
// little while hundreds of loops sweep.
func (a *acceptor) visit(e *Engine) {
	if !a.holds && !a.closed && a.pausedTo == 0 && !e.table.full(e.loop.Now()) {
		a.run(e)
	}
}

// drain accepts up to limit connections from one listener and returns how many
// calls it made.
func (a *acceptor) drain(e *Engine, from listener, limit int) (calls int) {
	for calls < limit && (!e.loop.Enough() || a.stop.last) {
		calls++
		if e.table.full(e.loop.Now()) {
			a.overflow(e)
			return calls
		}
		if !a.afford(e) {
			return calls
		}
		fd, errno := e.kernel.Accept(from.fd)
		if errno == 0 {
			a.spent(e)
			if a.welcome(e, uint32(fd), from.tag); a.pausedTo != 0 {
				return calls // epoll is full
			}
			continue
		}
		switch classify(errno) {
		case acceptEmpty:
			return calls
		case acceptTableFull:
			e.table.exhaustedTo.Store(e.loop.Now() + acceptPauseNanos)
			a.overflow(e)
			return calls
		case acceptRetry:
			e.loop.Stats().AcceptRetries.Add(1)
		case acceptExhausted:
			e.loop.Stats().AcceptPauses.Add(1)
			a.pause(e)
			return calls
		case acceptUnexpected:
			e.loop.Stats().AcceptUnexpected.Add(1)
			a.pause(e)
			return calls
		}
	}
	return calls
}

// overflow is what a full table does to the loop's lane: another loop goes on, or
// newcomers wait. A visitor leaves them to the loop that holds it.
func (a *acceptor) overflow(e *Engine) {
	if a.holds && !a.passOn(e) {
		e.loop.Stats().AcceptPauses.Add(1)
		a.pause(e)
	}
}

// welcome gives a new connection its record and shows it to the loop: mostly the whole
// request is there (TCP_DEFER_ACCEPT) and is answered before epoll ever hears of the
// connection.
func (a *acceptor) welcome(e *Engine, fd uint32, tag poller.Tag) {
	stats := e.loop.Stats()
	if e.table.records.Make(fd) == nil {
		e.kernel.Close(int(fd))
		stats.AcceptRefused.Add(1)
		return
	}
	e.table.connections.Add(1)
	if !e.loop.Newcomer(fd, tag) {
		return
	}
	if errno := e.register(fd); errno != 0 {
		// ENOSPC: fs.epoll.max_user_watches; ENOMEM. Those already here live on.
		stats.AcceptRefused.Add(1)
		stats.AcceptPauses.Add(1)
		e.loop.Close(fd)
		a.pause(e)
	}
}

// pause takes the listeners out of the loop's epoll for acceptPauseNanos.
// Others may have what it has reserved of the rate.
func (a *acceptor) pause(e *Engine) {
	a.refund(e)
	a.pauseTo(e, e.loop.Now()+acceptPauseNanos)
}

func (a *acceptor) pauseTo(e *Engine, at int64) {
	a.pausedTo = at
	a.watch(e, false)
}

// resumeAt is when accepting starts again, or its end is due, or never.
func (a *acceptor) resumeAt() int64 {
	at := int64(math.MaxInt64)
	if a.pausedTo != 0 {
		at = a.pausedTo
	}
	if a.stop.done != nil && !a.closed {
		at = min(at, a.stop.at)
	}
	return at
}

// resume ends a pause whose time is over. If descriptors are still used up,
// the next accept pauses again: ten tries a second, whatever waits.
func (a *acceptor) resume(e *Engine) {
	if a.pausedTo != 0 && e.loop.Now() >= a.pausedTo {
		a.pausedTo = 0
		a.watch(e, true)
	}
}

func (a *acceptor) watch(e *Engine, on bool) {
	on = on && a.holds && !a.closed
	if on == a.watched {
		return
	}
	op := unix.EPOLL_CTL_DEL
	if on {
		op = unix.EPOLL_CTL_ADD
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(a.epfd)}
	if errno := e.kernel.EpollCtl(e.epfd, op, a.epfd, &event); errno != 0 {
		// ENOMEM or ENOSPC while adding: try again after another pause.
		a.pausedTo = e.loop.Now() + acceptPauseNanos
		return
	}
	a.watched = on
}

// enter gives the loop its part in the lane, whose descriptors are open in its
// table.
func (a *acceptor) enter(e *Engine) {
	a.epfd, a.listeners = a.lane.epfd, a.lane.listeners
	if e.cpu >= 0 && len(a.lane.engines) == 1 {
		a.steer(e, e.cpu)
	}
	if a.lane.engines[0] == e {
		a.take(e)
	}
}
