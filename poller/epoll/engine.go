package epoll

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"c10m/internal/fifo"
	"c10m/poller"

	"golang.org/x/sys/unix"
)

// An Engine is the kernel's sockets of one loop: a poller.Engine. A connection's number
// is its descriptor.
type Engine struct {
	// Fixed before it runs.
	kernel  Kernel
	loop    *poller.Loop
	table   *table
	wakefd  int
	crew    *crew
	rate    *acceptRate // nil: no limit
	cpu     int         // the loop is bound to it; -1: none
	private bool        // it has a descriptor table of its own

	// Owned by the loop.
	epfd       int
	wakeEpfd   int // an epoll with nothing in it but wakefd; -1: not needed yet
	accept     acceptor
	events     [poller.ReadyMax]unix.EpollEvent
	event      unix.EpollEvent // lent to EpollCtl: a variable would be garbage of every connection
	iov        [poller.PiecesMax]unix.Iovec
	errno      syscall.Errno // of the last call that failed
	stalls     fifo.Queue[stalled]
	foundAt    int64 // when a sleep last ended because there was something
	busyTo     int64 // sleeps are short until then
	balanceAt  int64 // when balance looks next
	reported   int   // connections, to the crew
	unbalanced int   // looks in a row at which it had far more than the others
}

var _ poller.Host = (*Engine)(nil)

// Open takes the loop's descriptor table and processor, and makes its epoll and, if
// nobody did before, its listeners.
func (e *Engine) Open() error {
	if e.private {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			return fmt.Errorf("cannot make a private descriptor table: %w; use --fd-tables shared", err)
		}
	}
	if e.cpu >= 0 {
		if err := bind(e.cpu); err != nil {
			return err
		}
	}
	epfd, errno := e.kernel.EpollCreate()
	if errno != 0 {
		return fmt.Errorf("cannot make an epoll descriptor: %w", errno)
	}
	e.epfd = epfd
	if errno := e.watchWakefd(epfd); errno != 0 {
		return fmt.Errorf("cannot watch a wake-up descriptor: %w", errno)
	}
	if !e.private {
		if err := e.accept.lane.open(); err != nil {
			e.accept.lane.close()
			return err
		}
	}
	e.accept.enter(e)
	return nil
}

// watchWakefd has an epoll tell when somebody wakes the loop. Edge-triggered: every
// wake-up is one event, and nobody has to read it.
func (e *Engine) watchWakefd(epfd int) syscall.Errno {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(e.wakefd)}
	return e.kernel.EpollCtl(epfd, unix.EPOLL_CTL_ADD, e.wakefd, &event)
}

// Shut closes the engine's descriptors, but for wakefd, to which others may write still.
func (e *Engine) Shut() {
	e.accept.shut(e)
	for _, fd := range []int{e.epfd, e.wakeEpfd} {
		if fd >= 0 {
			e.kernel.Close(fd)
		}
	}
}

// Now is the kernel's clock.
func (e *Engine) Now() int64 { return e.kernel.Now() }

// Wake ends the loop's epoll_wait.
func (e *Engine) Wake() { e.kernel.Wake(e.wakefd) }

// Wait is epoll_wait.
func (e *Engine) Wait(ready []poller.Ready, until int64) (n int) {
	msec := 0
	if now := e.loop.Now(); until > now {
		msec = int((until - now + 999_999) / 1_000_000)
	}
	e.accept.ready = false
	if len(ready) == 0 {
		e.waitForWake(msec)
		return 0
	}
	events := e.events[:min(len(ready), len(e.events))]
	found, errno := e.wait(events, msec)
	if errno != 0 {
		if errno != unix.EINTR {
			panic(fmt.Sprintf("BUG: epoll_wait on loop %d: %v", e.loop.ID(), errno))
		}
		return 0
	}
	for i := range events[:found] {
		event := &events[i]
		fd, generation := uint32(event.Fd), uint32(event.Pad)
		if generation == 0 {
			// The engine's own: the wake-up eventfd, which is edge-triggered and
			// never read, or the lane's epoll.
			e.accept.ready = e.accept.ready || int(fd) == e.accept.epfd
			continue
		}
		record := e.table.records.At(fd)
		if record == nil || record.Generation != generation || record.Flags&poller.FlagOpen == 0 {
			e.loop.Stats().StaleEvents.Add(1)
			continue
		}
		ready[n] = poller.Ready{Number: fd, Event: eventOf(event.Events)}
		n++
	}
	return n
}

// wait is epoll_wait, in several steps while the loop is busy: see sleep.go.
func (e *Engine) wait(events []unix.EpollEvent, msec int) (found int, errno syscall.Errno) {
	now := e.loop.Now()
	linux, _ := e.kernel.(Linux)
	for ; linux.KeepsP && msec > keptMillisMax && now < e.busyTo; msec -= keptMillisMax {
		if found, errno = e.kernel.EpollWait(e.epfd, events, keptMillisMax); found > 0 || errno != 0 {
			break
		}
		now += keptMillisMax * int64(time.Millisecond)
	}
	if found == 0 && errno == 0 {
		found, errno = e.kernel.EpollWait(e.epfd, events, msec)
	}
	if found > 0 && msec > 0 {
		now = e.kernel.Now()
		if now-e.foundAt < busyNanos {
			e.busyTo = now + busyNanos
		}
		e.foundAt = now
	}
	return found, errno
}

// waitForWake waits for the eventfd alone, in an epoll that is made when it is first
// needed. Without a descriptor for that it waits as always, and what else it finds is
// found again.
func (e *Engine) waitForWake(msec int) {
	if e.wakeEpfd < 0 {
		if epfd, errno := e.kernel.EpollCreate(); errno == 0 {
			if e.watchWakefd(epfd) == 0 {
				e.wakeEpfd = epfd
			} else {
				e.kernel.Close(epfd)
			}
		}
	}
	epfd := e.wakeEpfd
	if epfd < 0 {
		epfd = e.epfd
	}
	e.kernel.EpollWait(epfd, e.events[:], msec)
}

func eventOf(events uint32) (event poller.Event) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0 {
		event |= poller.Readable
	}
	if events&unix.EPOLLOUT != 0 {
		event |= poller.Writable
	}
	if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		event |= poller.HungUp
	}
	return event
}

// Accept takes newcomers from the lane if it has some, or, with a loop that is busy
// anyway, though another loop holds the lane.
func (e *Engine) Accept(isBusy bool) {
	if e.accept.ready {
		e.accept.run(e)
	}
	if isBusy {
		e.accept.visit(e)
	}
}

// Tick ends pauses, closes listeners, and gives stalled connections another try.
func (e *Engine) Tick() {
	e.accept.resume(e)
	e.accept.finish(e)
	e.retry()
	e.balance(e.loop.Connections())
}

// Due is when Tick has something to do.
func (e *Engine) Due() int64 { return min(e.accept.resumeAt(), e.retryAt()) }

// Record is a descriptor's; nil if that was never open.
func (e *Engine) Record(fd uint32) *poller.Record { return e.table.records.At(fd) }

// Adopt makes the loop own fd, a non-blocking socket that was opened on its
// thread, and watch it. Open is not called. It fails when the table or epoll
// is full; fd is still the caller's then.
func (e *Engine) Adopt(fd uint32) syscall.Errno {
	if e.table.records.Make(fd) == nil {
		return unix.EMFILE
	}
	e.loop.Join(fd)
	if errno := e.register(fd); errno != 0 {
		e.loop.Leave(fd)
		return errno
	}
	e.table.connections.Add(1)
	return 0
}

// Watch and Unwatch make Engine a poller.Host.
func (e *Engine) Watch(fd uint32) bool {
	if e.table.records.Make(fd) == nil {
		return false
	}
	e.loop.Mark(fd)
	if e.register(fd) != 0 {
		*e.table.records.At(fd) = poller.Record{}
		return false
	}
	e.table.connections.Add(1)
	return true
}

func (e *Engine) Unwatch(fd uint32) {
	if errno := e.kernel.EpollCtl(e.epfd, unix.EPOLL_CTL_DEL, int(fd), &e.event); errno != 0 {
		panic(fmt.Sprintf("BUG: epoll_ctl on open descriptor %d: %v", fd, errno))
	}
	record := e.table.records.At(fd)
	*record = poller.Record{Generation: record.Generation}
	e.table.connections.Add(-1)
}

// register puts fd into epoll, as it was armed meanwhile.
func (e *Engine) register(fd uint32) syscall.Errno {
	record := e.table.records.At(fd)
	e.event = connectionEvent(fd, record)
	if errno := e.kernel.EpollCtl(e.epfd, unix.EPOLL_CTL_ADD, int(fd), &e.event); errno != 0 {
		return errno
	}
	record.Flags |= flagRegistered
	return 0
}

func connectionEvent(fd uint32, record *poller.Record) unix.EpollEvent {
	event := unix.EpollEvent{
		Fd:  int32(fd),
		Pad: int32(record.Generation),
	}
	if record.Flags&poller.FlagReadPaused == 0 {
		event.Events |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if record.Flags&(poller.FlagWriteArmed|flagWriteStalled) == poller.FlagWriteArmed {
		event.Events |= unix.EPOLLOUT
	}
	return event
}

// Arm tells epoll what is wanted of a connection now. An error and a hang-up are told
// in any case (epoll_ctl(2)).
func (e *Engine) Arm(fd uint32) {
	record := e.table.records.At(fd)
	if record.Flags&flagRegistered == 0 {
		return
	}
	e.event = connectionEvent(fd, record)
	if errno := e.kernel.EpollCtl(e.epfd, unix.EPOLL_CTL_MOD, int(fd), &e.event); errno != 0 {
		panic(fmt.Sprintf("BUG: epoll_ctl on open descriptor %d: %v", fd, errno))
	}
}

// Peer is getpeername(2).
func (e *Engine) Peer(fd uint32) (netip.AddrPort, bool) {
	peer, errno := e.kernel.Peer(int(fd))
	return peer, errno == 0
}

// Recv is recv(2).
func (e *Engine) Recv(fd uint32, p []byte) (int, poller.Status) {
	n, errno := e.kernel.Recv(int(fd), p)
	if errno == 0 {
		return n, poller.OK
	}
	status := e.failed(errno)
	if errno == unix.ENOBUFS || errno == unix.ENOMEM {
		status = poller.Broken // to try again would spin
	}
	return 0, status
}

// Send is send(2).
func (e *Engine) Send(fd uint32, piece poller.Piece) (int, poller.Status) {
	n, errno := e.kernel.Send(int(fd), piece.Frame[piece.Off:])
	if errno != 0 {
		return 0, e.failed(errno)
	}
	return n, poller.OK
}

// Sendv is sendmsg(2).
func (e *Engine) Sendv(fd uint32, pieces []poller.Piece) (int, poller.Status) {
	iov := e.iov[:min(len(pieces), len(e.iov))]
	for i := range iov {
		b := pieces[i].Bytes()
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	n, errno := e.kernel.Sendv(int(fd), iov)
	clear(iov) // or it would hold frames that nobody is owed any more
	if errno != 0 {
		return 0, e.failed(errno)
	}
	return n, poller.OK
}

func (e *Engine) failed(errno syscall.Errno) poller.Status {
	e.errno = errno
	return statusOf(errno)
}

// Errno is what the last Recv, Send or Sendv failed with, for those who tell a person why.
func (e *Engine) Errno() syscall.Errno { return e.errno }

// statusOf says what an error of recv(2), send(2) or sendmsg(2) means. The peer may
// have broken a connection with a reset, or be known to be gone since the last call;
// TCP_USER_TIMEOUT is ETIMEDOUT (tcp(7)).
func statusOf(errno syscall.Errno) poller.Status {
	switch errno {
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS, unix.ENOMEM:
		return poller.Full
	case unix.ECONNRESET, unix.EPIPE:
		return poller.Gone
	case unix.ETIMEDOUT:
		return poller.TimedOut
	}
	return poller.Broken
}

// Shutdown is shutdown(2) of the sending direction.
func (e *Engine) Shutdown(fd uint32) { e.kernel.Shutdown(int(fd)) }

// Close is close(2).
func (e *Engine) Close(fd uint32) {
	e.kernel.Close(int(fd))
	e.table.connections.Add(-1)
}
