package poller

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// An acceptor is a loop's part in its lane. The lane's epoll is one descriptor in
// the loop's while the loop holds the lane. To pause all listeners is then one
// call, however many ports there are, and a flood of newcomers never crowds the
// connections out of a wait.
type acceptor struct {
	lane      *lane
	holds     bool  // the lane is this loop's to accept from
	epfd      int   // the lane's
	listeners []int // the lane's, as long as they are open in this loop's table
	pausedTo  int64 // 0 while accepting
	credit    int   // accepts that are reserved of the loops' rate and not made
	watched   bool  // epfd is in the loop's epoll
	closed    bool  // no listeners any more: draining
	enough    bool  // the handler wants no more newcomers in this turn
	steered   bool  // the kernel prefers them at the loop's processor
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
func (a *acceptor) run(l *Loop) {
	n, errno := l.kernel.EpollWait(a.epfd, a.events[:], 0)
	if errno != 0 {
		return // EINTR; level-triggered, so nothing is lost
	}
	held := a.holds
	budget, waiting := acceptsPerTurnMax, false
	for i := 0; i < n && budget > 0; i++ {
		limit := min(budget, acceptsPerListenerMax)
		calls := a.drain(l, int(a.events[i].Fd), limit)
		if a.pausedTo != 0 || a.holds != held {
			return
		}
		budget -= calls
		waiting = waiting || calls == limit
	}
	if !waiting || !held {
		a.refund(l)
	}
}

// visit has a loop that is awake, since it sweeps, accept from its lane as well
// though another one holds it: that has its share of the processors only, which is
// little while hundreds of loops sweep.
func (a *acceptor) visit(l *Loop) {
	if !a.holds && !a.closed && a.pausedTo == 0 && !l.table.full(l.now) {
		a.run(l)
	}
}

// drain accepts up to limit connections from one listener and returns how many
// calls it made.
func (a *acceptor) drain(l *Loop, listener, limit int) (calls int) {
	for calls < limit && (!a.enough || a.stop.last) {
		calls++
		if l.table.full(l.now) {
			a.overflow(l)
			return calls
		}
		if !a.afford(l) {
			return calls
		}
		fd, errno := l.kernel.Accept(listener)
		if errno == 0 {
			a.spent(l)
			if a.welcome(l, uint32(fd)); a.pausedTo != 0 {
				return calls // epoll is full
			}
			continue
		}
		switch classify(errno) {
		case acceptEmpty:
			return calls
		case acceptTableFull:
			l.table.exhaustedTo.Store(l.now + acceptPauseNanos)
			a.overflow(l)
			return calls
		case acceptRetry:
			l.stats.AcceptRetries.Add(1)
		case acceptExhausted:
			l.stats.AcceptPauses.Add(1)
			a.pause(l)
			return calls
		case acceptUnexpected:
			l.stats.AcceptUnexpected.Add(1)
			a.pause(l)
			return calls
		}
	}
	return calls
}

// overflow is what a full table does to the loop's lane: another loop goes on, or
// newcomers wait. A visitor leaves them to the loop that holds it.
func (a *acceptor) overflow(l *Loop) {
	if a.holds && !a.passOn(l) {
		l.stats.AcceptPauses.Add(1)
		a.pause(l)
	}
}

// welcome gives a new connection its record and shows it to the handler, who
// mostly finds the whole request there (TCP_DEFER_ACCEPT) and answers before
// epoll ever hears of the connection.
func (a *acceptor) welcome(l *Loop, fd uint32) {
	if errno := l.admit(fd); errno != 0 {
		l.kernel.Close(int(fd))
		l.stats.AcceptRefused.Add(1)
		return
	}
	l.stats.Accepted.Add(1)
	l.handler.Open(fd)
	if l.Closing(fd) {
		return
	}
	if errno := l.register(fd); errno != 0 {
		// ENOSPC: fs.epoll.max_user_watches; ENOMEM. Those already here live on.
		l.stats.AcceptRefused.Add(1)
		l.stats.AcceptPauses.Add(1)
		l.Close(fd)
		a.pause(l)
	}
}

// pause takes the listeners out of the loop's epoll for acceptPauseNanos.
// Others may have what it has reserved of the rate.
func (a *acceptor) pause(l *Loop) {
	a.refund(l)
	a.pauseTo(l, l.now+acceptPauseNanos)
}

func (a *acceptor) pauseTo(l *Loop, at int64) {
	a.pausedTo = at
	a.watch(l, false)
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
func (a *acceptor) resume(l *Loop) {
	if a.pausedTo != 0 && l.now >= a.pausedTo {
		a.pausedTo = 0
		a.watch(l, true)
	}
}

func (a *acceptor) watch(l *Loop, on bool) {
	on = on && a.holds && !a.closed
	if on == a.watched {
		return
	}
	op := unix.EPOLL_CTL_DEL
	if on {
		op = unix.EPOLL_CTL_ADD
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(a.epfd)}
	if errno := l.kernel.EpollCtl(l.epfd, op, a.epfd, &event); errno != 0 {
		// ENOMEM or ENOSPC while adding: try again after another pause.
		a.pausedTo = l.now + acceptPauseNanos
		return
	}
	a.watched = on
}

// enter gives the loop its part in the lane, whose descriptors are open in its
// table.
func (a *acceptor) enter(l *Loop) {
	a.epfd, a.listeners = a.lane.epfd, a.lane.listeners
	if l.cpu >= 0 && len(a.lane.loops) == 1 {
		a.steer(l, l.cpu)
	}
	if a.lane.loops[0] == l {
		a.take(l)
	}
}

// LeaveNewcomers has the others wait in the listeners' queues until the next
// turn: for a handler that has done as much for newcomers as one turn allows. Not
// if the listeners are about to close.
func (l *Loop) LeaveNewcomers() { l.accept.enough = true }
