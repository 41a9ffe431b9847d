package poller

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Where loops run, and which connections come to them.
//
// A loop that is bound to a processor (Config.CPUs) and gets the connections
// whose packets arrive at that processor finds their sockets in that
// processor's caches: what the kernel's receive path has just touched, and what
// a delivery touches next. docs/internals/poller.md has the figures.

// A crew is what the loops of a poller know of each other.
type crew struct {
	// Fixed after construction.
	loops int64
	lanes int
	// Shared: atomic. Each loop adds what changed once a second.
	connections atomic.Int64
}

// bind binds the calling thread, which must be locked, to a processor.
func bind(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("cannot bind a loop to processor %d: %w; name processors that this process may use, or let the kernel choose", cpu, err)
	}
	return nil
}

// steer asks the kernel to prefer this loop's listeners for connections that
// arrive at its processor (SO_INCOMING_CPU, socket(7); among the listeners of
// a port since Linux 6.2). An older kernel ignores it, and any kernel falls back
// to its hash when no loop has that processor.
func (a *acceptor) steer(l *Loop, cpu int) {
	for _, listener := range a.listeners {
		l.kernel.Steer(listener, cpu)
	}
	a.steered = cpu >= 0
}

// balance gives steering up for this loop, once and for good, if it has brought
// it far more connections than the others have: a network card with one queue,
// or one busy sender on the same host, lets all packets arrive at one processor.
func (l *Loop) balance() {
	if l.cpu < 0 || l.now < l.balanceAt {
		return
	}
	l.balanceAt = l.now + tickNanosMax
	all := l.crew.connections.Add(int64(l.own.count - l.reported))
	l.reported = l.own.count
	if !l.accept.steered {
		return
	}
	// More than once, since what the others said may be a second old.
	if l.unbalanced++; 2*int64(l.own.count) <= steerHalves*all/l.crew.loops+2*steerSlackConnections {
		l.unbalanced = 0
	}
	if l.unbalanced == steerLooks {
		l.accept.steer(l, -1)
		l.stats.SteeringsEnded.Add(1)
	}
}
