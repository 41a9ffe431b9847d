package poller

import (
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Event says what epoll saw on a connection.
type Event uint8

const (
	// Readable: bytes, the end of the peer's stream, or an error to fetch.
	Readable Event = 1 << iota
	// Writable: the socket takes bytes again (only after ArmWrite).
	Writable
)

// A Handler is the room above: what to do with connections. The loop calls it
// from its own thread only. No method may block.
type Handler interface {
	// Open tells of a new connection. Its request is usually there already.
	Open(fd uint32)
	// Event tells what epoll saw. fd is open and not marked for closing.
	Event(fd uint32, event Event)
	// Letter hands over what somebody posted.
	Letter(body any)
	// Full asks whether letters should wait until Work has made room.
	Full() bool
	// Work does one bounded slice of what is owed (sweeps) and reports
	// whether more remains, so that the loop looks at epoll in between
	// without sleeping.
	Work() (more bool)
	// Tick does what depends on time and returns when it wants to be called
	// next, in nanoseconds of Now. It is called every second at least.
	Tick() (next int64)
	// Closed is the last call for fd, at the end of the turn in which Close
	// was called: whatever the handler keeps for it must go.
	Closed(fd uint32)
}

// A Loop is one reactor: a locked thread, an epoll, a part in a lane of listeners,
// a mailbox and the records of its connections. Except for Post, Run and Stats, its methods
// are for its own thread only, that is, for its Handler.
type Loop struct {
	// Fixed after construction.
	id      int
	kernel  Kernel
	handler Handler
	table   *table
	wakefd  int
	turns   *turnstile // nil if every loop may have a processor of its own
	crew    *crew
	rate    *acceptRate // nil: no limit
	cpu     int         // it is bound to; -1: none

	// Owned by the loop.
	epfd        int
	napfd       int // an epoll with nothing in it but wakefd; -1: never needed
	nap         int // milliseconds that the next sleep may be a nap
	now         int64
	tickAt      int64
	workBy      int64 // when Work has more to do, though it said that it had not
	accept      acceptor
	own         ownSet
	closing     []uint32 // marked in this turn, for the reaper
	events      [eventsPerWaitMax]unix.EpollEvent
	event       unix.EpollEvent // lent to EpollCtl: a variable would be garbage of every connection
	generations uint32
	more        bool   // Work has more to do
	seated      bool   // it has a seat at the turnstile
	free        bool   // it needs none in this turn
	seatedAt    int64  // when it got its seat, or last could take its time without
	balanceAt   int64  // when balance looks next
	reported    int    // connections, to the crew
	writing     uint64 // 1 + the connection that epoll has just called writable, until its first write
	stalls      stalls
	unbalanced  int // looks in a row at which it had far more than the others

	// Shared: atomic.
	mailbox mailbox
	stats   Stats
	stop    atomic.Bool
}

// ID is the loop's number, from 0.
func (l *Loop) ID() int { return l.id }

// Stats returns the loop's counters. Any goroutine may call it.
func (l *Loop) Stats() *Stats { return &l.stats }

// Post puts a letter into the mailbox and wakes the loop if it sleeps. Any
// goroutine may call it, and the handlers of other loops. It returns false if
// the mailbox is full; nothing was posted then.
func (l *Loop) Post(letter *Letter) bool {
	if !l.mailbox.push(letter) {
		l.stats.PostsRefused.Add(1)
		return false
	}
	l.notify()
	return true
}

// Run has the loop call f in its next turn, before and whatever letters wait:
// an operator's word is not to queue behind a million messages. Any goroutine
// may call it, but not once per message: nothing bounds what waits.
func (l *Loop) Run(f func(*Loop)) {
	l.mailbox.command(&order{run: f})
	l.notify()
}

// notify makes the loop look into its mailbox soon: by waking it, or by letting
// it past those who wait for a processor.
func (l *Loop) notify() {
	if l.mailbox.wakes() {
		l.stats.Wakeups.Add(1)
		l.kernel.Wake(l.wakefd)
	} else if l.mailbox.passes() {
		l.stats.Passes.Add(1)
		l.mailbox.pass.Store(true)
		l.turns.wake(l.id)
	}
}

// turn is one round of the reactor. The order of the phases matters.
func (l *Loop) turn() {
	// 1. Wait: not at all while something is owed, else until the next tick.
	n := l.wait()
	started := l.now

	// 2. Mailbox first: a message that came in while we slept is older than
	// what the peers sent, and to a channel of one it leaves at once.
	l.readMailbox()

	// 3. Events: what peers sent, room in sockets, newcomers. epoll tells them
	// again (it is level-triggered), so a turn that is to be short leaves them.
	if !l.Seated() {
		n = 0
	}
	for i := range l.events[:n] {
		l.dispatch(&l.events[i])
	}
	if l.more && l.Seated() {
		l.accept.visit(l)
	}
	l.accept.enough = false

	// 4. Ticks: time-outs, pings, accepting again after a pause, or no more.
	if l.now >= l.tickAt {
		l.tickAt = min(l.handler.Tick(), l.now+tickNanosMax)
	}
	l.accept.resume(l)
	l.accept.finish(l)
	l.retry()
	l.balance()

	// 5. Sweeps: one bounded slice of what is owed.
	l.workBy = math.MaxInt64
	l.more = l.handler.Work()

	// 6. Reap: the only place where a descriptor is closed, so that no phase
	// above can meet a new owner of a number that it still has in hand.
	l.reap()

	// 7. Check: how long the turn took.
	if !l.seated && l.Seated() {
		l.seatedAt = l.now // it did not starve in this one
	}
	l.now = l.kernel.Now()
	l.stats.Turns.Observe(l.now - started)
}

// wait fills l.events and returns their number.
func (l *Loop) wait() int {
	msec := 0
	if !l.more && len(l.closing) == 0 {
		// Announce the sleep first and look into the mailbox second: a poster
		// does it the other way round, so one of us sees the other.
		l.mailbox.asleep.Store(true)
		if l.mailbox.idle() && !l.stop.Load() {
			until := min(l.tickAt, l.workBy, l.accept.resumeAt(), l.retryAt(), l.now+tickNanosMax)
			msec = int(max(0, until-l.now+999_999) / 1_000_000)
		}
	}
	if l.turns != nil {
		l.sitDown(msec)
	}
	epfd := l.epfd
	if l.nap > 0 && msec != 0 {
		epfd, msec, l.nap = l.napfd, min(msec, l.nap), 0
	}
	n, errno := l.kernel.EpollWait(epfd, l.events[:], msec)
	l.mailbox.asleep.Store(false)
	l.now = l.kernel.Now()
	if l.turns != nil && !l.seated {
		if msec != 0 {
			l.seatedAt = l.now // it had nothing to do, so it starves from now on
		}
		l.queue(l.turns.enter)
	}
	if errno != 0 {
		if errno != unix.EINTR {
			panic(fmt.Sprintf("BUG: epoll_wait on loop %d: %v", l.id, errno))
		}
		return 0
	}
	if l.turns != nil && n >= crowdedEventsMin {
		l.turns.crowd(l.now)
	}
	return n
}

// sitDown gives the loop's seat at the turnstile back if it is about to sleep,
// and lets others go first if it has had it for long. A loop without a seat
// has just slept, or done a turn with a pass: it asks for one after epoll_wait.
func (l *Loop) sitDown(msec int) {
	switch {
	case msec != 0:
		l.giveBack()
	case l.seated && l.now-l.seatedAt > l.turns.quantum():
		l.seatedAt = l.now
		l.queue(l.turns.yield)
	}
}

// giveBack leaves the seat that the loop may have, or ends its going without.
func (l *Loop) giveBack() {
	if l.seated {
		l.turns.leave()
		l.seated = false
	}
	l.free = false
}

// Hurried reports whether loops take turns now, so that slices should be short.
func (l *Loop) Hurried() bool { return l.turns != nil && !l.free }

// Crowded reports whether loops share processors and one of them had many events of
// late: from millions that leave at once, or answer pings.
func (l *Loop) Crowded() bool { return l.turns != nil && l.turns.crowded(l.now) }

// Urgent says that a message should not wait for the loops that sweep over
// many, or are crowded. Where loops share processors, they take turns for a while then.
func (l *Loop) Urgent() {
	if l.turns != nil {
		l.turns.close(l.now)
	}
}

// Nap has the loop look at its mailbox only, and not at its connections, when it
// next sleeps, for so many milliseconds or until somebody posts: for a handler that
// expects many small answers and would rather read them together than be woken
// for each. It does nothing if there is no descriptor left.
func (l *Loop) Nap(msec int) {
	if l.napfd < 0 {
		epfd, errno := l.kernel.EpollCreate()
		if errno != 0 {
			return
		}
		if errno := l.watchWakefd(epfd); errno != 0 {
			l.kernel.Close(epfd)
			return
		}
		l.napfd = epfd
	}
	l.nap = msec
}

// queue waits for a seat, or for a pass, which the loop has already if there is
// something in the mailbox that the handler would take.
func (l *Loop) queue(wait func(id int, pass *atomic.Bool) (seated bool)) {
	if l.turns.open(l.now) {
		l.giveBack()
		l.free = true
		return
	}
	l.free = false
	m := &l.mailbox
	if !l.handler.Full() {
		// Announce it first and look second, as before a sleep.
		m.queued.Store(true)
		if !m.idle() {
			m.pass.Store(true)
		}
	}
	l.seated = wait(l.id, &m.pass)
	m.queued.Store(false)
	m.pass.Store(false)
	l.now = l.kernel.Now()
	if l.seated {
		l.seatedAt = l.now
	}
}

// Seated reports whether the loop may take its time in this turn. If not, it
// should only do what is urgent and short: it runs beside as many loops as there
// are processors. A loop that is passed in again and again, and so keeps losing
// its place in the queue, may take its time after roundNanos all the same.
func (l *Loop) Seated() bool {
	return l.turns == nil || l.seated || l.free || l.now-l.seatedAt > roundNanos
}

// readMailbox obeys orders, and handles posted letters until the handler is
// full.
func (l *Loop) readMailbox() {
	for o := l.mailbox.takeOrders(); o != nil; o = o.next {
		o.run(l)
	}
	l.mailbox.collect()
	for range lettersPerTurnMax {
		if l.handler.Full() {
			break
		}
		letter := l.mailbox.next()
		if letter == nil {
			break
		}
		l.stats.Letters.Add(1)
		l.handler.Letter(letter.Body)
	}
}

// dispatch hands one epoll event to whom it belongs.
func (l *Loop) dispatch(event *unix.EpollEvent) {
	fd, generation := uint32(event.Fd), uint32(event.Pad)
	if generation == 0 {
		// The loop's own: the wake-up eventfd, which is edge-triggered and
		// never read, or the lane's epoll.
		if int(fd) == l.accept.epfd {
			l.accept.run(l)
		}
		return
	}
	record := l.table.get(fd)
	if record == nil || record.generation != generation || record.flags&flagOpen == 0 {
		l.stats.StaleEvents.Add(1)
		return
	}
	if record.flags&flagClosing != 0 {
		return
	}
	var seen Event
	if event.Events&unix.EPOLLOUT != 0 && record.flags&flagWriteArmed != 0 {
		seen |= Writable
	}
	// A hang-up or an error is fetched by reading. What else there is to read may have
	// been seen before the mailbox had it read no longer: then it waits.
	wanted := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR)
	if record.flags&flagReadPaused != 0 {
		wanted = unix.EPOLLHUP | unix.EPOLLERR
	}
	if event.Events&wanted != 0 {
		seen |= Readable
	}
	if seen&Writable != 0 {
		l.writing = 1 + uint64(fd)
	}
	if seen != 0 {
		l.handler.Event(fd, seen)
	}
	l.writing = 0
}

// reap closes what was marked in this turn.
func (l *Loop) reap() {
	// Closed may mark further connections; they are taken in this same pass.
	for i := 0; i < len(l.closing); i++ {
		fd := l.closing[i]
		l.handler.Closed(fd)
		record := l.table.get(fd)
		*record = Record{generation: record.generation}
		l.own.remove(fd)
		l.kernel.Close(int(fd))
		l.table.connections.Add(-1)
		l.stats.Connections.Add(-1)
	}
	l.closing = l.closing[:0]
}

// Adopt makes the loop own fd, a non-blocking socket that was opened on its
// thread, and watch it. Open is not called. It fails when the table or epoll
// is full; fd is still the caller's then.
func (l *Loop) Adopt(fd uint32) syscall.Errno {
	if errno := l.admit(fd); errno != 0 {
		return errno
	}
	if errno := l.register(fd); errno != 0 {
		l.disown(fd)
		return errno
	}
	return 0
}

// admit makes a record for a new descriptor; disown takes it back.
func (l *Loop) admit(fd uint32) syscall.Errno {
	record := l.table.make(fd)
	if record == nil {
		return unix.EMFILE
	}
	if record.flags != 0 {
		panic(fmt.Sprintf("BUG: loop %d got descriptor %d, which is open already", l.id, fd))
	}
	l.generations++
	if l.generations == 0 {
		l.generations = 1
	}
	*record = Record{generation: l.generations, flags: flagOpen}
	l.own.add(fd)
	l.table.connections.Add(1)
	l.stats.Connections.Add(1)
	return 0
}

func (l *Loop) disown(fd uint32) {
	record := l.table.get(fd)
	*record = Record{generation: record.generation}
	l.own.remove(fd)
	l.table.connections.Add(-1)
	l.stats.Connections.Add(-1)
}

// register puts fd into epoll, as it was armed meanwhile.
func (l *Loop) register(fd uint32) syscall.Errno {
	record := l.table.get(fd)
	l.event = connectionEvent(fd, record)
	if errno := l.kernel.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, int(fd), &l.event); errno != 0 {
		return errno
	}
	record.flags |= flagRegistered
	return 0
}

func connectionEvent(fd uint32, record *Record) unix.EpollEvent {
	event := unix.EpollEvent{
		Fd:  int32(fd),
		Pad: int32(record.generation),
	}
	if record.flags&flagReadPaused == 0 {
		event.Events |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if record.flags&(flagWriteArmed|flagWriteStalled) == flagWriteArmed {
		event.Events |= unix.EPOLLOUT
	}
	return event
}

// ArmWrite asks for Writable events (or no longer). Arm only after a socket
// was full: an armed idle socket makes epoll return at once, again and again.
func (l *Loop) ArmWrite(fd uint32, on bool) {
	record := l.table.get(fd)
	if on == (record.flags&flagWriteArmed != 0) {
		return
	}
	record.flags ^= flagWriteArmed
	l.rewatch(fd, record)
}

// ArmRead asks for Readable events again after it was told to ask for them no
// longer: who does not read is not to be told, or epoll returns at once, again
// and again. An error and a hang-up of both sides are told all the same, as
// Readable (epoll_ctl(2)); the end of the peer's stream is not.
func (l *Loop) ArmRead(fd uint32, on bool) {
	record := l.table.get(fd)
	if on == (record.flags&flagReadPaused == 0) {
		return
	}
	record.flags ^= flagReadPaused
	l.rewatch(fd, record)
}

// rewatch tells epoll what is wanted of a connection now.
func (l *Loop) rewatch(fd uint32, record *Record) {
	if record.flags&flagRegistered == 0 || record.flags&flagClosing != 0 {
		return
	}
	l.event = connectionEvent(fd, record)
	if errno := l.kernel.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, int(fd), &l.event); errno != 0 {
		panic(fmt.Sprintf("BUG: epoll_ctl on open descriptor %d: %v", fd, errno))
	}
}

// Close marks fd; the reaper closes it at the end of the turn. Marking twice
// is the same as once.
func (l *Loop) Close(fd uint32) {
	record := l.table.get(fd)
	if record.flags&flagOpen == 0 {
		panic(fmt.Sprintf("BUG: closing descriptor %d, which is not open", fd))
	}
	if record.flags&flagClosing == 0 {
		record.flags |= flagClosing
		l.closing = append(l.closing, fd)
	}
}

// Closing reports whether fd is marked.
func (l *Loop) Closing(fd uint32) bool { return l.table.get(fd).flags&flagClosing != 0 }

// Record returns the record of an open connection, until it is reaped.
func (l *Loop) Record(fd uint32) *Record { return l.table.get(fd) }

// Generation tells this use of the descriptor fd from earlier and later ones;
// 0 means that it is not open, or another loop's: loops that share a table count
// generations each for itself, so theirs may be the same.
func (l *Loop) Generation(fd uint32) uint32 {
	if !l.own.has(fd) {
		return 0
	}
	return l.table.get(fd).generation
}

// Latest is the generation of the connection that came last.
func (l *Loop) Latest() uint32 { return l.generations }

// CameAfter reports whether fd, which is open, came after the connection that
// had the generation latest, as Latest returned it. It is as exact as generations
// are: they come again after 2^32 connections of this loop.
func (l *Loop) CameAfter(fd, latest uint32) bool {
	return cameAfter(l.table.get(fd).generation, latest, l.generations)
}

// cameAfter reports whether generation is one of those given out after latest,
// of which newest is the last. The numbers wrap.
func cameAfter(generation, latest, newest uint32) bool { return generation-latest-1 < newest-latest }

// Now is the monotonic time in nanoseconds at which this turn began to work.
func (l *Loop) Now() int64 { return l.now }

// Clock reads the time now, for what a turn's start is too coarse for.
func (l *Loop) Clock() int64 { return l.kernel.Now() }

// Peer, Recv, Send, Sendv and Shutdown are the Kernel's calls of these names on one
// of the loop's connections.
func (l *Loop) Peer(fd uint32) (netip.AddrPort, syscall.Errno) { return l.kernel.Peer(int(fd)) }

func (l *Loop) Recv(fd uint32, p []byte) (int, syscall.Errno) { return l.kernel.Recv(int(fd), p) }

func (l *Loop) Send(fd uint32, p []byte) (int, syscall.Errno) {
	n, errno := l.kernel.Send(int(fd), p)
	if l.writing == 1+uint64(fd) {
		l.wrote(fd, errno)
	}
	return n, errno
}

func (l *Loop) Sendv(fd uint32, iov []unix.Iovec) (int, syscall.Errno) {
	n, errno := l.kernel.Sendv(int(fd), iov)
	if l.writing == 1+uint64(fd) {
		l.wrote(fd, errno)
	}
	return n, errno
}

func (l *Loop) Shutdown(fd uint32) syscall.Errno { return l.kernel.Shutdown(int(fd)) }

// TickNow asks for a Tick in the next turn, for time that became scarce.
func (l *Loop) TickNow() { l.tickAt = 0 }

// WorkBy has the loop call Work again at that time, though nothing else happens
// and Work says that there is nothing more to do now. It is for Work to call.
func (l *Loop) WorkBy(at int64) { l.workBy = min(l.workBy, at) }

// Stopping reports whether the loop is closing what it has because it ends.
func (l *Loop) Stopping() bool { return l.stop.Load() }

// Connections is the number of open connections.
func (l *Loop) Connections() int { return l.own.count }

// Walk calls visit for open connections with numbers from cursor on, at most
// limit of them, and returns where to go on; 0 means that the end was reached.
// Connections that come and go between two calls are seen or not, never twice.
func (l *Loop) Walk(cursor uint32, limit int, visit func(fd uint32)) (next uint32) {
	for word := int(cursor >> 6); word < len(l.own.words); word++ {
		set := l.own.words[word]
		if word == int(cursor>>6) {
			set &^= 1<<(cursor&63) - 1
		}
		for set != 0 {
			fd := uint32(word<<6 + bits.TrailingZeros64(set))
			if limit == 0 {
				return fd
			}
			limit--
			set &= set - 1
			if !l.Closing(fd) {
				visit(fd)
			}
		}
	}
	return 0
}
