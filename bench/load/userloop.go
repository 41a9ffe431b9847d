package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/bench/usertcp"
	"c10m/poller"
)

// A userLoop is a reactor over ends in user space: fd is a connection's place in
// the stack's table. What poller keeps in 32 bytes for a connection, it keeps in
// 7 (usertcp.Conn.Room), and shows the handler a Record made of them.
type userLoop struct {
	// Fixed after construction.
	id      int
	first   uint32 // the number of connection 0
	handler *handler
	stack   *usertcp.Stack
	wire    usertcp.Wire
	wakefd  int
	// timerNanos is how soon a timer may be due that nobody has set yet.
	timerNanos int64

	// Owned by the loop.
	now, tickAt, timerAt int64
	// view is the record of the connection that the handler looked at last.
	view       poller.Record
	viewed     uint32
	viewing    bool
	closing    []uint32
	resets     map[uint32]bool // of those that are to be closed
	pending    []byte          // received and not read by the handler yet
	ended      bool            // the event is about the end of the stream
	errno      syscall.Errno   // that ended it
	busy       bool            // Work has more to do
	histogram  poller.Histogram
	wakeBuffer [8]byte

	// Shared: atomic.
	stop   atomic.Bool
	asleep atomic.Bool

	// Guarded by mu.
	mu     sync.Mutex
	orders []func()
}

func newUserLoop(id int, wire usertcp.Wire, plan usertcp.Plan, first uint32, ackNanos int64) (*userLoop, error) {
	wakefd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make an eventfd: %w", err)
	}
	l := &userLoop{id: id, first: first, wire: wire, wakefd: wakefd, resets: map[uint32]bool{}, now: Nanos(), timerNanos: int64(time.Second)}
	if ackNanos > 0 {
		l.timerNanos = ackNanos
	}
	l.stack = usertcp.NewStack(usertcp.Config{Plan: plan, AckNanos: ackNanos, Header: usertcp.PacketHeader(),
		Offload: true, Write: wire.Write, Random: rand.Uint32()}, l)
	l.stack.SetNow(l.now)
	return l, nil
}

// run is the loop's thread, until stop.
func (l *userLoop) run() {
	runtime.LockOSThread()
	for !l.stop.Load() {
		l.turn()
	}
	// The server is told; it could not know that the device is gone.
	l.Walk(0, l.stack.Connections(), func(fd uint32) { l.stack.Close(fd, true) })
	unix.Close(l.wakefd)
}

// turn is one round, in the order of poller.Loop's.
func (l *userLoop) turn() {
	l.wait()
	started := l.now
	l.obey()
	for range packetsPerTurnMax {
		packet, errno := l.wire.Read()
		if errno != 0 {
			break
		}
		l.stack.Input(packet)
	}
	if l.now >= l.timerAt {
		l.timerAt = l.stack.Tick(l.now + l.timerNanos)
	}
	if l.now >= l.tickAt {
		l.tickAt = min(l.handler.Tick(), l.now+int64(time.Second))
	}
	l.busy = l.handler.Work()
	l.reap()
	l.histogram.Observe(Nanos() - started)
}

// wait sleeps until there is a packet, an order, or something to do at a time.
func (l *userLoop) wait() {
	l.store()
	fds := [2]unix.PollFd{{Fd: int32(l.wire.FD()), Events: unix.POLLIN}, {Fd: int32(l.wakefd), Events: unix.POLLIN}}
	l.asleep.Store(true)
	var timeout unix.Timespec
	if !l.busy && !l.ordered() && !l.stop.Load() {
		timeout = unix.NsecToTimespec(max(0, min(l.tickAt, l.timerAt)-Nanos()))
	}
	call := unix.RawSyscall6
	if timeout.Nano() > 0 {
		call = unix.Syscall6
	}
	call(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	l.asleep.Store(false)
	if fds[1].Revents != 0 {
		unix.Read(l.wakefd, l.wakeBuffer[:])
	}
	l.now = Nanos()
	l.stack.SetNow(l.now)
}

func (l *userLoop) ordered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.orders) > 0
}

func (l *userLoop) order(f func()) {
	l.mu.Lock()
	l.orders = append(l.orders, f)
	l.mu.Unlock()
	l.wake()
}

func (l *userLoop) wake() {
	if l.asleep.Load() {
		unix.Write(l.wakefd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (l *userLoop) obey() {
	l.mu.Lock()
	orders := l.orders
	l.orders = nil
	l.mu.Unlock()
	for _, f := range orders {
		f()
	}
}

// reap closes what was marked.
func (l *userLoop) reap() {
	for i := 0; i < len(l.closing); i++ {
		fd := l.closing[i]
		l.handler.Closed(fd)
		l.stack.Close(fd, l.resets[fd])
		delete(l.resets, fd)
		l.Record(fd)
		l.view = poller.Record{}
		l.setClosing(fd, false)
	}
	l.closing = l.closing[:0]
}

// Opened, Received and Ended are the stack's.
func (l *userLoop) Opened(i uint32) { l.event(i, poller.Writable) }

func (l *userLoop) Received(i uint32, p []byte) {
	l.pending = p
	l.event(i, poller.Readable)
	l.pending = nil
}

func (l *userLoop) Ended(i uint32, errno syscall.Errno) {
	l.ended, l.errno = true, errno
	l.event(i, poller.Readable)
	l.ended, l.errno = false, 0
}

func (l *userLoop) event(fd uint32, event poller.Event) {
	if !l.Closing(fd) {
		l.handler.Event(fd, event)
	}
}

// open is of reactor; a number is open once only.
func (l *userLoop) open(number int) (fd uint32, errno syscall.Errno) {
	fd = uint32(number) - l.first
	l.store()
	l.stack.Open(fd)
	return fd, 0
}

func (l *userLoop) socketError(uint32) syscall.Errno { return l.errno }
func (l *userLoop) resetOnClose(fd uint32)           { l.resets[fd] = true }

func (l *userLoop) turns() []uint64 {
	_, counts, _ := l.histogram.Read()
	return counts
}

func (l *userLoop) ID() int      { return l.id }
func (l *userLoop) Now() int64   { return l.now }
func (l *userLoop) Clock() int64 { return Nanos() }
func (l *userLoop) TickNow()     { l.tickAt = 0 }

// ArmWrite does nothing: Opened comes anyway, and Send takes all or nothing.
func (l *userLoop) ArmWrite(uint32, bool) {}

// Recv takes what the event is about.
func (l *userLoop) Recv(_ uint32, p []byte) (int, syscall.Errno) {
	switch {
	case len(l.pending) > 0:
		n := copy(p, l.pending)
		l.pending = l.pending[n:]
		return n, 0
	case l.ended:
		return 0, l.errno
	}
	return 0, unix.EAGAIN
}

func (l *userLoop) Send(fd uint32, p []byte) (int, syscall.Errno) {
	if errno := l.stack.Send(fd, p); errno != 0 {
		return 0, errno
	}
	return len(p), 0
}

func (l *userLoop) Close(fd uint32) {
	if !l.Closing(fd) {
		l.setClosing(fd, true)
		l.closing = append(l.closing, fd)
	}
}

func (l *userLoop) Generation(fd uint32) uint32 { return l.stack.Generation(fd) }

// Walk visits as poller's does; a table is so dense that it needs no set.
func (l *userLoop) Walk(cursor uint32, limit int, visit func(fd uint32)) (next uint32) {
	for fd := cursor; fd < uint32(l.stack.Connections()); fd++ {
		if l.stack.Generation(fd) == 0 || l.Closing(fd) {
			continue
		}
		if limit == 0 {
			return fd
		}
		limit--
		visit(fd)
	}
	return 0
}

// The 7 bytes of a room: the sequence that is due in the lower 30 bits of four,
// then two marks; the slot or, when it is open, the number of messages; phase,
// marks and storm.
const (
	roomSequence   = 1<<30 - 1
	roomAtMost     = 1 << 31
	roomClosing    = 1 << 30
	roomPhase      = 0x07
	roomPartial    = 0x08
	roomReturns    = 0x10
	roomReturned   = 0x20
	roomStormShift = 6
)

// expectUserSpaceMax is what two bytes count, and one more for a surplus.
const expectUserSpaceMax = 1<<16 - 3

func (l *userLoop) Closing(fd uint32) bool { return l.stack.Room(fd)[3]&(roomClosing>>24) != 0 }

func (l *userLoop) setClosing(fd uint32, on bool) {
	room := l.stack.Room(fd)
	if room[3] &^= roomClosing >> 24; on {
		room[3] |= roomClosing >> 24
	}
}

// Record makes the view show fd.
func (l *userLoop) Record(fd uint32) *poller.Record {
	if l.viewing && l.viewed == fd {
		return &l.view
	}
	l.store()
	l.viewed, l.viewing = fd, true
	l.load(l.stack.Room(fd))
	return &l.view
}

func (l *userLoop) load(room *[7]byte) {
	l.view = poller.Record{}
	c := (*connection)(unsafe.Pointer(&l.view.Room))
	c.number = l.first + l.viewed
	due, count := binary.LittleEndian.Uint32(room[:]), binary.LittleEndian.Uint16(room[4:])
	if c.next = uint64(due & roomSequence); due&roomAtMost != 0 {
		c.next |= atMost
	}
	packed := room[6]
	l.view.Phase = packed & roomPhase
	if l.view.Phase == phaseConnecting || l.view.Phase == phaseUpgrading {
		c.slot = count
	} else {
		c.received = uint32(count)
	}
	if packed&roomPartial != 0 {
		l.view.Marks |= markPartial
	}
	if packed&roomReturns != 0 {
		l.view.Marks |= markReturns
	}
	if packed&roomReturned != 0 {
		c.returned = 1
	}
	c.storm = packed >> roomStormShift
}

// store writes back what the handler may have changed in the view.
func (l *userLoop) store() {
	if !l.viewing {
		return
	}
	l.viewing = false
	room := l.stack.Room(l.viewed)
	c := (*connection)(unsafe.Pointer(&l.view.Room))
	due := uint32(min(c.next&^atMost, roomSequence))
	if c.next&atMost != 0 {
		due |= roomAtMost
	}
	due |= uint32(room[3]) << 24 & roomClosing
	binary.LittleEndian.PutUint32(room[:], due)
	count := uint16(min(c.received, 1<<16-1))
	if l.view.Phase == phaseConnecting || l.view.Phase == phaseUpgrading {
		count = c.slot
	}
	binary.LittleEndian.PutUint16(room[4:], count)
	packed := l.view.Phase | c.storm<<roomStormShift
	if l.view.Marks&markPartial != 0 {
		packed |= roomPartial
	}
	if l.view.Marks&markReturns != 0 {
		packed |= roomReturns
	}
	if c.returned != 0 {
		packed |= roomReturned
	}
	room[6] = packed
}
