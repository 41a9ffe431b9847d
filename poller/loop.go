package poller

import (
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// A Handler is the room above: what to do with connections. The loop calls it
// from its own thread only. No method may block.
type Handler interface {
	// Open tells of a new connection, by the listener of that tag. Its request is
	// usually there already.
	Open(number uint32, tag Tag)
	// Event tells what the engine saw. number is open and not marked for closing.
	Event(number uint32, event Event)
	// Letter hands over what somebody posted.
	Letter(body any)
	// Full asks whether letters should wait until Work has made room.
	Full() bool
	// Work does one bounded slice of what is owed (sweeps) and reports
	// whether more remains, so that the loop looks at its connections in between
	// without sleeping.
	Work() (more bool)
	// Tick does what depends on time and returns when it wants to be called
	// next, in nanoseconds of Now. It is called every second at least.
	Tick() (next int64)
	// Closed is the last call for number, at the end of the turn in which Close
	// was called: whatever the handler keeps for it must go.
	Closed(number uint32)
}

// A Loop is one reactor: a locked thread, an engine with its connections, a mailbox.
// Except for Post, Run and Stats, its methods are for its own thread only, that is, for
// its Handler and its engine.
type Loop struct {
	// Fixed after construction.
	id      int
	engine  Engine
	handler Handler
	turns   *turnstile // nil if every loop may have a processor of its own

	// Owned by the loop.
	nap         int64 // nanoseconds that the next sleep may be a nap
	now         int64
	tickAt      int64
	workBy      int64 // when Work has more to do, though it said that it had not
	own         ownSet
	guests      map[uint32]Guest
	closing     []uint32 // marked in this turn, for the reaper
	ready       [ReadyMax]Ready
	generations uint32
	hasWorked   bool   // since Worked was asked last
	enough      bool   // the handler wants no more newcomers in this turn
	more        bool   // Work has more to do
	seated      bool   // it has a seat at the turnstile
	free        bool   // it needs none in this turn
	seatedAt    int64  // when it got its seat, or last could take its time without
	writing     uint64 // 1 + the connection that was just called writable, until its first write

	// Shared: atomic.
	mailbox mailbox
	stats   Stats
	stop    atomic.Bool
}

// ID is the loop's number, from 0.
func (l *Loop) ID() int { return l.id }

// Engine returns what the loop runs on.
func (l *Loop) Engine() Engine { return l.engine }

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

// HasRoom reports whether Post would succeed, and PostAnyway posts whether it would or
// not: for a loop that posts one message to several others, all or none. Each that does so
// at the same time may take a mailbox one letter past its limit. Any goroutine may call
// them.
func (l *Loop) HasRoom() bool { return l.mailbox.hasRoom() }

func (l *Loop) PostAnyway(letter *Letter) {
	l.mailbox.count.Add(1)
	l.mailbox.add(letter)
	l.notify()
}

// TakesLetters reports whether no letter waits, and the handler would take one now.
func (l *Loop) TakesLetters() bool { return l.mailbox.count.Load() == 0 && !l.handler.Full() }

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
		l.engine.Wake()
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

	l.hasWorked = l.hasWorked || n > 0

	// 3. Events: what peers sent, room in sockets, newcomers. They are told again, so
	// a turn that is to be short leaves them.
	if l.Seated() {
		for _, ready := range l.ready[:n] {
			l.dispatch(ready)
		}
		l.engine.Accept(l.more)
	}
	l.enough = false

	// 4. Ticks: time-outs, pings, accepting again after a pause, or no more.
	if l.now >= l.tickAt {
		l.tickAt = min(l.handler.Tick(), l.now+tickNanosMax)
	}
	l.engine.Tick()

	// 5. Sweeps: one bounded slice of what is owed.
	l.workBy = math.MaxInt64
	l.more = l.handler.Work()

	// 6. Reap: the only place where a connection is closed, so that no phase
	// above can meet a new owner of a number that it still has in hand.
	l.reap()

	// 7. Check: how long the turn took.
	if !l.seated && l.Seated() {
		l.seatedAt = l.now // it did not starve in this one
	}
	l.now = l.engine.Now()
	l.stats.Turns.Observe(l.now - started)
}

// wait fills l.ready and returns how many there are.
func (l *Loop) wait() int {
	until := int64(0)
	if !l.more && len(l.closing) == 0 {
		// Announce the sleep first and look into the mailbox second: a poster
		// does it the other way round, so one of us sees the other.
		l.mailbox.asleep.Store(true)
		if l.mailbox.idle() && !l.stop.Load() {
			until = min(l.tickAt, l.workBy, l.engine.Due(), l.now+tickNanosMax)
		}
	}
	sleeps := until > l.now
	if l.turns != nil {
		l.sitDown(sleeps)
	}
	ready := l.ready[:]
	if l.nap > 0 && sleeps {
		ready, until, l.nap = nil, min(until, l.now+l.nap), 0
	}
	n := l.engine.Wait(ready, until)
	l.mailbox.asleep.Store(false)
	l.now = l.engine.Now()
	if l.turns != nil && !l.seated {
		if sleeps {
			l.seatedAt = l.now // it had nothing to do, so it starves from now on
		}
		l.queue(l.turns.enter)
	}
	if l.turns != nil && n >= crowdedEventsMin {
		l.turns.crowd(l.now)
	}
	return n
}

// sitDown gives the loop's seat at the turnstile back if it is about to sleep,
// and lets others go first if it has had it for long. A loop without a seat
// has just slept, or done a turn with a pass: it asks for one after it has waited.
func (l *Loop) sitDown(sleeps bool) {
	switch {
	case sleeps:
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
// for each.
func (l *Loop) Nap(msec int) { l.nap = int64(msec) * int64(time.Millisecond) }

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
	l.now = l.engine.Now()
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
		l.hasWorked = true
		l.handler.Letter(letter.Body)
	}
}

// dispatch hands an event to whom it belongs.
func (l *Loop) dispatch(ready Ready) {
	number := ready.Number
	if !l.own.has(number) {
		if g := l.guests[number]; g != nil {
			g.Readable(l, number)
		}
		return
	}
	record := l.engine.Record(number)
	if record.Flags&FlagClosing != 0 {
		return
	}
	var seen Event
	if ready.Event&Writable != 0 && record.Flags&FlagWriteArmed != 0 {
		seen |= Writable
		l.writing = 1 + uint64(number)
	}
	// A hang-up or an error is fetched by reading. What else there is to read may have
	// been seen before the mailbox had it read no longer: then it waits.
	if ready.Event&HungUp != 0 || ready.Event&Readable != 0 && record.Flags&FlagReadPaused == 0 {
		seen |= Readable
	}
	if seen != 0 {
		l.handler.Event(number, seen)
	}
	l.writing = 0
}

// reap closes what was marked in this turn.
func (l *Loop) reap() {
	// Closed may mark further connections; they are taken in this same pass.
	for i := 0; i < len(l.closing); i++ {
		number := l.closing[i]
		l.handler.Closed(number)
		l.Leave(number)
		l.engine.Close(number)
	}
	l.closing = l.closing[:0]
}

// Newcomer is for the engine: it makes the loop own a connection that has a record and
// came by a listener, and shows it to the handler, who mostly finds the whole request
// there and answers at once. It reports whether the connection is still open.
func (l *Loop) Newcomer(number uint32, tag Tag) (isOpen bool) {
	l.Join(number)
	l.hasWorked = true
	l.stats.Accepted.Add(1)
	l.handler.Open(number, tag)
	return !l.Closing(number)
}

// Join is for the engine: the loop owns connection number from now on. Open is not called.
// Leave takes it back, without Closed.
func (l *Loop) Join(number uint32) {
	l.Mark(number)
	l.own.add(number)
	l.stats.Connections.Add(1)
}

func (l *Loop) Leave(number uint32) {
	record := l.engine.Record(number)
	*record = Record{Generation: record.Generation}
	l.own.remove(number)
	l.stats.Connections.Add(-1)
}

// Enough reports whether newcomers are to wait until the next turn.
func (l *Loop) Enough() bool { return l.enough }

// LeaveNewcomers has those who wait to be connected wait until the next turn: for a
// handler that has done as much for newcomers as one turn allows. Not if the listeners
// are about to close.
func (l *Loop) LeaveNewcomers() { l.enough = true }

// ArmWrite asks for Writable events (or no longer). Arm only after a socket was full:
// a loop whose idle socket is armed never sleeps.
func (l *Loop) ArmWrite(number uint32, on bool) {
	if record := l.engine.Record(number); on != (record.Flags&FlagWriteArmed != 0) {
		l.arm(number, record, FlagWriteArmed)
	}
}

// ArmRead asks for Readable events again after it was told to ask for them no
// longer: who does not read is not to be told, or the loop never sleeps. An error and a
// hang-up of both sides are told all the same, as Readable; the end of the peer's
// stream is not.
func (l *Loop) ArmRead(number uint32, on bool) {
	if record := l.engine.Record(number); on != (record.Flags&FlagReadPaused == 0) {
		l.arm(number, record, FlagReadPaused)
	}
}

func (l *Loop) arm(number uint32, record *Record, flag uint8) {
	record.Flags ^= flag
	if record.Flags&FlagClosing == 0 {
		l.engine.Arm(number)
	}
}

// Close marks number; the reaper closes it at the end of the turn. Marking twice
// is the same as once.
func (l *Loop) Close(number uint32) {
	record := l.engine.Record(number)
	if record.Flags&FlagOpen == 0 {
		panic(fmt.Sprintf("BUG: closing connection %d, which is not open", number))
	}
	if record.Flags&FlagClosing == 0 {
		record.Flags |= FlagClosing
		l.closing = append(l.closing, number)
	}
}

// Closing reports whether number is marked.
func (l *Loop) Closing(number uint32) bool { return l.engine.Record(number).Flags&FlagClosing != 0 }

// Record returns the record of an open connection, until it is reaped.
func (l *Loop) Record(number uint32) *Record { return l.engine.Record(number) }

// Generation tells this use of a number from earlier and later ones;
// 0 means that it is not open, or another loop's: loops that share a table count
// generations each for itself, so theirs may be the same.
func (l *Loop) Generation(number uint32) uint32 {
	if !l.own.has(number) {
		return 0
	}
	return l.engine.Record(number).Generation
}

// Latest is the generation of the connection that came last.
func (l *Loop) Latest() uint32 { return l.generations }

// CameAfter reports whether number, which is open, came after the connection that
// had the generation latest, as Latest returned it. It is as exact as generations
// are: they come again after 2^32 connections of this loop.
func (l *Loop) CameAfter(number, latest uint32) bool {
	return cameAfter(l.engine.Record(number).Generation, latest, l.generations)
}

// cameAfter reports whether generation is one of those given out after latest,
// of which newest is the last. The numbers wrap.
func cameAfter(generation, latest, newest uint32) bool { return generation-latest-1 < newest-latest }

// Now is the monotonic time in nanoseconds at which this turn began to work.
func (l *Loop) Now() int64 { return l.now }

// Clock reads the time now, for what a turn's start is too coarse for.
func (l *Loop) Clock() int64 { return l.engine.Now() }

// Peer, Recv, Send, Sendv and Shutdown are the engine's calls of these names on one of
// the loop's connections.
func (l *Loop) Peer(number uint32) (netip.AddrPort, bool) { return l.engine.Peer(number) }

func (l *Loop) Recv(number uint32, p []byte) (int, Status) { return l.engine.Recv(number, p) }

func (l *Loop) Send(number uint32, piece Piece) (int, Status) {
	n, status := l.engine.Send(number, piece)
	if l.writing == 1+uint64(number) {
		l.wrote(number, status)
	}
	return n, status
}

func (l *Loop) Sendv(number uint32, pieces []Piece) (int, Status) {
	n, status := l.engine.Sendv(number, pieces)
	if l.writing == 1+uint64(number) {
		l.wrote(number, status)
	}
	return n, status
}

// wrote looks at the first write after the engine said that there is room.
func (l *Loop) wrote(number uint32, status Status) {
	l.writing = 0
	if status == Full {
		l.engine.Stalled(number)
	}
}

func (l *Loop) Shutdown(number uint32) { l.engine.Shutdown(number) }

// Worked reports whether there were newcomers, events or letters since it was asked last.
func (l *Loop) Worked() (hasWorked bool) {
	hasWorked, l.hasWorked = l.hasWorked, false
	return hasWorked
}

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
func (l *Loop) Walk(cursor uint32, limit int, visit func(number uint32)) (next uint32) {
	for word := int(cursor >> 6); word < len(l.own.words); word++ {
		set := l.own.words[word]
		if word == int(cursor>>6) {
			set &^= 1<<(cursor&63) - 1
		}
		for set != 0 {
			number := uint32(word<<6 + bits.TrailingZeros64(set))
			if limit == 0 {
				return number
			}
			limit--
			set &= set - 1
			if !l.Closing(number) {
				visit(number)
			}
		}
	}
	return 0
}
