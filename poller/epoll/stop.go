package epoll

import (
	"sync"
	"syscall"
	"time"
	"unsafe"

	"c10m/poller"

	"golang.org/x/sys/unix"
)

// How a loop stops accepting without a refused or reset connection.
//
// Closing a listener resets what waits in its queue (inet_csk_listen_stop in
// the kernel's net/ipv4) and forgets the handshakes that it has begun, whose
// clients then get a reset for their next packet. To accept until the queue is
// empty and close at once still loses the second kind, and to go on accepting
// for a while only has new ones take the place of the old. So the listeners
// first stop taking new handshakes, then have time to end those that they have
// begun, and are closed when nothing is left: see docs/internals/poller.md.

// stopping is a loop's way from accepting to not accepting.
type stopping struct {
	at       int64  // when to look next whether listeners can be closed
	by       int64  // when they are closed in any case
	done     func() // nil: nobody has asked the loop to stop
	diverted bool
	last     bool // what waits is taken now, however many the handler wants
}

// StopAccepting closes all listeners, each on its loop, and returns when that
// is done: for the time of grace they take nobody new but end the handshakes
// that they have begun, and then all that waits in their queues is accepted.
// HandoverGrace is right where another process may listen on the same ports; 0
// closes at once. It takes lastAcceptsNanosMax longer if descriptors are used
// up. Any goroutine may call it, once.
func (s *Sockets) StopAccepting(grace time.Duration) {
	ends := make(map[*Engine]bool)
	for _, ln := range s.lanes {
		ends[ln.end(ln.kernel.Now())] = true
	}
	// The others first: a listener is closed with the last of its descriptors, and
	// who comes between the one that accepts and another would be reset.
	s.runAll(func(e *Engine) bool { return !ends[e] }, func(e *Engine, done func()) { e.accept.leave(e); done() })
	s.runAll(func(e *Engine) bool { return ends[e] }, func(e *Engine, done func()) { e.accept.take(e); e.StopAccepting(grace, done) })
}

// runAll has the loops of those engines run f, and waits until each is done.
func (s *Sockets) runAll(which func(*Engine) bool, f func(e *Engine, done func())) {
	var all sync.WaitGroup
	for _, e := range s.engines {
		if which(e) {
			all.Add(1)
			e.loop.Run(func(*poller.Loop) { f(e, all.Done) })
		}
	}
	all.Wait()
}

// StopAccepting is Sockets.StopAccepting for the one loop that still has its lane's
// descriptors. It returns at once; done is called on the loop's thread when the
// listeners are closed.
func (e *Engine) StopAccepting(grace time.Duration, done func()) {
	a, now := &e.accept, e.loop.Now()
	if a.stop.done != nil {
		panic("BUG: a loop was told twice to stop accepting")
	}
	a.stop = stopping{at: now + int64(grace), by: now, done: done}
	if grace > 0 {
		a.stop.by = a.stop.at + lastAcceptsNanosMax
		a.stop.diverted = true
		for _, listener := range a.listeners {
			// An error leaves the listener as it is: newcomers are accepted
			// until the end, and the last of them may be lost.
			e.kernel.Divert(listener.fd, e.crew.lanes)
		}
	}
	a.finish(e)
}

// finish closes the listeners that have nobody waiting, once their time has
// come.
func (a *acceptor) finish(e *Engine) {
	if a.closed || a.stop.done == nil || e.loop.Now() < a.stop.at {
		return
	}
	if a.stop.diverted {
		for _, listener := range a.listeners {
			e.kernel.EndDivert(listener.fd)
		}
		a.stop.diverted = false
	}
	a.stop.last = true
	if a.credit > 0 {
		a.pausedTo = 0 // it was waiting for its rate only
	}
	var left []listener // not in place: the list is the lane's
	for _, listener := range a.listeners {
		isEmpty := a.pausedTo == 0 && a.drain(e, listener, lastAcceptsPerListenerMax) < lastAcceptsPerListenerMax && a.pausedTo == 0
		if isEmpty || e.loop.Now() >= a.stop.by {
			e.kernel.Close(listener.fd)
		} else {
			left = append(left, listener)
		}
	}
	a.listeners = left
	a.stop.last = false
	if len(left) > 0 {
		a.stop.at = min(e.loop.Now()+acceptPauseNanos, a.stop.by)
		return
	}
	a.closed = true
	a.refund(e)
	a.watch(e, false)
	a.pausedTo = 0
	a.stop.done()
}

// Offsets and bits of a TCP header (RFC 9293, 3.1), at which a filter on a TCP
// socket begins.
const (
	tcpFlagsOffset = 13
	tcpSYN         = 0x02
	tcpACK         = 0x10
)

// skfRandom is where a filter loads a random number from (SKF_AD_OFF +
// SKF_AD_RANDOM in linux/filter.h).
const skfRandom = 0xfffff000 + 56

// dropSYNs drops what begins a handshake and lets everything else pass.
var dropSYNs = [...]unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: tcpFlagsOffset},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: tcpSYN | tcpACK},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: tcpSYN, Jt: 0, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
}

// chooseLater chooses one of the second own listeners of a port, in the order
// in which they began to listen. If there are none, the kernel falls back to
// its hash over all.
func chooseLater(own int) [4]unix.SockFilter {
	return [...]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: skfRandom},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(own)},
		{Code: unix.BPF_ALU | unix.BPF_ADD | unix.BPF_K, K: uint32(own)},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
}

func (Linux) Divert(listener, own int) syscall.Errno {
	choose := chooseLater(own)
	first := attach(listener, unix.SO_ATTACH_REUSEPORT_CBPF, choose[:])
	if errno := attach(listener, unix.SO_ATTACH_FILTER, dropSYNs[:]); errno != 0 {
		return errno
	}
	return first
}

func (Linux) EndDivert(listener int) syscall.Errno {
	var unused int32
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(listener), unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF,
		uintptr(unsafe.Pointer(&unused)), unsafe.Sizeof(unused), 0)
	return errno
}

func attach(listener, option int, program []unix.SockFilter) syscall.Errno {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: unsafe.SliceData(program)}
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(listener), unix.SOL_SOCKET, uintptr(option),
		uintptr(unsafe.Pointer(&p)), unsafe.Sizeof(p), 0)
	return errno
}
