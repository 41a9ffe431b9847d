package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/bench/usertcp"
	"c10m/poller"
)

// A userEngine is a poller.Engine over ends in user space: a connection's number is its
// place in the stack's table. What poller keeps in 32 bytes for a connection, it keeps in
// 7 (usertcp.Conn.Room), and shows a Record made of them.
type userEngine struct {
	// Fixed before it runs.
	loop   *poller.Loop
	first  uint32 // the number of connection 0
	stack  *usertcp.Stack
	wire   usertcp.Wire
	wakefd int

	// Owned by the loop.
	woke int64 // when Wait looked last
	// view is the record that was asked for last.
	view    poller.Record
	viewed  uint32
	viewing bool
	resets  map[uint32]bool // of those that are to be closed
	// told is what the stack has told: first what the loop was shown, of which all
	// before at was dealt with, then what came when Wait had ended. received are the
	// bytes of what was shown.
	told      []told
	shown, at int
	received  []byte
	errno     syscall.Errno // of the last call that failed
	histogram poller.Histogram
	// Lent to the kernel.
	fds        [2]unix.PollFd
	timeout    unix.Timespec
	wakeBuffer [8]byte
}

// told is something that happened to a connection.
type told struct {
	number   uint32
	event    poller.Event  // 0: nobody is to hear of it any more
	from, to int           // its bytes
	errno    syscall.Errno // if it has none, what ended the stream
}

// toldPerPacketMax is bytes and the end of the stream.
const toldPerPacketMax = 2

var _ poller.Engine = (*userEngine)(nil)

// newUserEngine makes one whose loop is still to be set.
func newUserEngine(wire usertcp.Wire, plan usertcp.Plan, first uint32, ackNanos int64) (*userEngine, error) {
	wakefd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make an eventfd: %w", err)
	}
	e := &userEngine{first: first, wire: wire, wakefd: wakefd, resets: map[uint32]bool{}, woke: poller.Now()}
	e.stack = usertcp.NewStack(usertcp.Config{Plan: plan, AckNanos: ackNanos, AckInTick: true, Header: usertcp.PacketHeader(),
		Offload: true, Write: wire.Write, Random: rand.Uint32()}, e)
	e.stack.SetNow(e.woke)
	return e, nil
}

// Open and Shut have nothing to do: others may write to wakefd still.
func (e *userEngine) Open() error { return nil }
func (e *userEngine) Shut()       {}

// Wait sleeps until there is a packet or something else to do, and hands packets to the
// stack.
func (e *userEngine) Wait(ready []poller.Ready, until int64) (n int) {
	e.store()
	e.histogram.Observe(poller.Now() - e.woke)
	if len(ready) > 0 {
		e.told = e.told[:copy(e.told, e.told[e.shown:])]
		e.received, e.shown, e.at = e.received[:0], 0, 0
	}
	if len(e.told) > 0 {
		until = 0
	}
	e.poll(until, len(ready) > 0)
	e.woke = poller.Now()
	e.stack.SetNow(e.woke)
	for len(e.told)+toldPerPacketMax <= len(ready) {
		packet, errno := e.wire.Read()
		if errno != 0 {
			break
		}
		e.stack.Input(packet)
	}
	if len(ready) > 0 {
		e.shown = min(len(e.told), len(ready))
	}
	for _, t := range e.told[:min(e.shown, len(ready))] {
		if t.event != 0 {
			ready[n] = poller.Ready{Number: t.number, Event: t.event}
			n++
		}
	}
	return n
}

// poll waits for Wake, and for the wire if that is wanted.
func (e *userEngine) poll(until int64, wire bool) {
	e.fds[0] = unix.PollFd{Fd: int32(e.wakefd), Events: unix.POLLIN}
	count := uintptr(1)
	if wire {
		e.fds[1], count = unix.PollFd{Fd: int32(e.wire.FD()), Events: unix.POLLIN}, 2
	}
	e.timeout = unix.NsecToTimespec(max(0, until-poller.Now()))
	call := unix.RawSyscall6
	if e.timeout.Nano() > 0 {
		call = unix.Syscall6
	}
	call(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&e.fds[0])), count, uintptr(unsafe.Pointer(&e.timeout)), 0, 0, 0)
	if e.fds[0].Revents != 0 {
		unix.Read(e.wakefd, e.wakeBuffer[:])
	}
}

func (e *userEngine) Wake()      { unix.Write(e.wakefd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }
func (e *userEngine) Now() int64 { return poller.Now() }

// Accept has nothing to do: nobody listens.
func (e *userEngine) Accept(bool) {}

// Tick acknowledges and sends again.
func (e *userEngine) Tick()      { e.stack.Tick() }
func (e *userEngine) Due() int64 { return e.stack.Due() }

// Opened, Received and Ended are the stack's.
func (e *userEngine) Opened(i uint32) {
	e.told = append(e.told, told{number: i, event: poller.Writable})
}

func (e *userEngine) Received(i uint32, p []byte) {
	from := len(e.received)
	e.received = append(e.received, p...)
	e.told = append(e.told, told{number: i, event: poller.Readable, from: from, to: len(e.received)})
}

func (e *userEngine) Ended(i uint32, errno syscall.Errno) {
	e.told = append(e.told, told{number: i, event: poller.Readable, errno: errno})
}

// next is what a connection is to read next, or nil. The loop goes through what it is
// shown in order.
func (e *userEngine) next(number uint32) *told {
	for i := e.at; i < e.shown; i++ {
		if t := &e.told[i]; t.number == number && t.event&poller.Readable != 0 {
			e.at = i
			return t
		}
	}
	return nil
}

// Recv takes what the event is about.
func (e *userEngine) Recv(number uint32, p []byte) (n int, status poller.Status) {
	t := e.next(number)
	if t == nil {
		return 0, e.failed(unix.EAGAIN)
	}
	if n = copy(p, e.received[t.from:t.to]); n < t.to-t.from {
		t.from += n
		return n, poller.OK
	}
	t.event = 0
	return n, e.failed(t.errno)
}

// Send takes all or nothing. What is beyond a connection's flight is not taken at all,
// also later.
func (e *userEngine) Send(number uint32, piece poller.Piece) (int, poller.Status) {
	p := piece.Bytes()
	if errno := e.stack.Send(number, p); errno != 0 {
		return 0, e.failed(errno)
	}
	return len(p), poller.OK
}

func (e *userEngine) Sendv(number uint32, pieces []poller.Piece) (n int, status poller.Status) {
	for _, piece := range pieces {
		sent, status := e.Send(number, piece)
		if n += sent; status != poller.OK {
			if n > 0 {
				status = poller.OK
			}
			return n, status
		}
	}
	return n, poller.OK
}

func (e *userEngine) failed(errno syscall.Errno) poller.Status {
	switch e.errno = errno; errno {
	case 0:
		return poller.OK
	case unix.EAGAIN:
		return poller.Full
	case unix.ETIMEDOUT:
		return poller.TimedOut
	case unix.ECONNRESET, unix.ECONNREFUSED, unix.ENOTCONN:
		return poller.Gone
	}
	return poller.Broken
}

// Arm and Stalled have nothing to do: Opened is told anyway, and nobody else has to wait
// for room.
func (e *userEngine) Arm(uint32)     {}
func (e *userEngine) Stalled(uint32) {}

func (e *userEngine) Peer(number uint32) (netip.AddrPort, bool) { return e.stack.Peer(number), true }

// Shutdown is never called: a client that leaves closes.
func (e *userEngine) Shutdown(uint32) { panic("BUG: a client ended one direction of a connection") }

// Close ends a connection; what was told of it meanwhile is of nobody. At the end the
// server is told with a reset, since it could not know that the device is gone.
func (e *userEngine) Close(number uint32) {
	e.stack.Close(number, e.resets[number] || e.loop.Stopping())
	delete(e.resets, number)
	for i := e.shown; i < len(e.told); i++ {
		if e.told[i].number == number {
			e.told[i].event = 0
		}
	}
}

// open is of ends; a number is open once only.
func (e *userEngine) open(number int) (fd uint32, errno syscall.Errno) {
	fd = uint32(number) - e.first
	e.store()
	e.stack.Open(fd)
	e.loop.Join(fd)
	return fd, 0
}

func (e *userEngine) connectError(fd uint32) syscall.Errno {
	if t := e.next(fd); t != nil {
		return t.errno
	}
	return 0
}

func (e *userEngine) Errno() syscall.Errno     { return e.errno }
func (e *userEngine) resetOnClose(fd uint32)   { e.resets[fd] = true }
func (e *userEngine) wokeAt() int64            { return e.woke }
func (e *userEngine) turns() *poller.Histogram { return &e.histogram }

// The 7 bytes of a room: the sequence that is due in the lower 30 bits of four,
// then two marks; the slot or, when it is open, the number of messages; phase,
// marks and storm. Two flags follow from the phase: a connection is open if it has
// one, and waits to be writable while it connects.
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

// Record makes the view show fd.
func (e *userEngine) Record(fd uint32) *poller.Record {
	if e.viewing && e.viewed == fd {
		return &e.view
	}
	e.store()
	e.viewed, e.viewing = fd, true
	e.load(e.stack.Room(fd))
	return &e.view
}

func (e *userEngine) load(room *[7]byte) {
	e.view = poller.Record{}
	c := (*connection)(unsafe.Pointer(&e.view.Room))
	c.number = e.first + e.viewed
	due, count := binary.LittleEndian.Uint32(room[:]), binary.LittleEndian.Uint16(room[4:])
	if c.next = uint64(due & roomSequence); due&roomAtMost != 0 {
		c.next |= atMost
	}
	packed := room[6]
	if e.view.Phase = packed & roomPhase; e.view.Phase != 0 {
		e.view.Flags |= poller.FlagOpen
		e.view.Generation = e.stack.Generation(e.viewed)
	}
	if e.view.Phase == phaseConnecting {
		e.view.Flags |= poller.FlagWriteArmed
	}
	if due&roomClosing != 0 {
		e.view.Flags |= poller.FlagClosing
	}
	if e.view.Phase == phaseConnecting || e.view.Phase == phaseUpgrading {
		c.slot = count
	} else {
		c.received = uint32(count)
	}
	if packed&roomPartial != 0 {
		e.view.Marks |= markPartial
	}
	if packed&roomReturns != 0 {
		e.view.Marks |= markReturns
	}
	if packed&roomReturned != 0 {
		c.returned = 1
	}
	c.storm = packed >> roomStormShift
}

// store writes back what may have changed in the view.
func (e *userEngine) store() {
	if !e.viewing {
		return
	}
	e.viewing = false
	room := e.stack.Room(e.viewed)
	c := (*connection)(unsafe.Pointer(&e.view.Room))
	due := uint32(min(c.next&^atMost, roomSequence))
	if c.next&atMost != 0 {
		due |= roomAtMost
	}
	if e.view.Flags&poller.FlagClosing != 0 {
		due |= roomClosing
	}
	binary.LittleEndian.PutUint32(room[:], due)
	count := uint16(min(c.received, 1<<16-1))
	if e.view.Phase == phaseConnecting || e.view.Phase == phaseUpgrading {
		count = c.slot
	}
	binary.LittleEndian.PutUint16(room[4:], count)
	packed := e.view.Phase | c.storm<<roomStormShift
	if e.view.Marks&markPartial != 0 {
		packed |= roomPartial
	}
	if e.view.Marks&markReturns != 0 {
		packed |= roomReturns
	}
	if c.returned != 0 {
		packed |= roomReturned
	}
	room[6] = packed
}
