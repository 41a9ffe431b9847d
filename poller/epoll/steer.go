package epoll

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
func (a *acceptor) steer(e *Engine, cpu int) {
	for _, listener := range a.listeners {
		e.kernel.Steer(listener.fd, cpu)
	}
	a.steered = cpu >= 0
}

// balance gives steering up for this loop, once and for good, if it has brought
// it far more connections than the others have: a network card with one queue,
// or one busy sender on the same host, lets all packets arrive at one processor.
func (e *Engine) balance(connections int) {
	if e.cpu < 0 || e.loop.Now() < e.balanceAt {
		return
	}
	e.balanceAt = e.loop.Now() + balanceNanos
	all := e.crew.connections.Add(int64(connections - e.reported))
	e.reported = connections
	if !e.accept.steered {
		return
	}
	// More than once, since what the others said may be a second old.
	if e.unbalanced++; 2*int64(connections) <= steerHalves*all/e.crew.loops+2*steerSlackConnections {
		e.unbalanced = 0
	}
	if e.unbalanced == steerLooks {
		e.accept.steer(e, -1)
		e.loop.Stats().SteeringsEnded.Add(1)
	}
}
