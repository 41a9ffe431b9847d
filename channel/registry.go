package channel

import (
	"errors"
	"time"

	"c10m/poller"
)

// Config says how much a loop keeps for slow readers.
type Config struct {
	// LogBytes is how many bytes of messages (Message.cost) a log may hold before
	// its slowest members are overrun. The newest frame may pass it, so that
	// the largest message always fits.
	LogBytes int
	// LogAge is how long a frame may wait for a member whose socket is full
	// and has been full all that time. A frame that waits for the sweep does
	// not age.
	LogAge time.Duration
	// LogBytesTotal is LogBytes for all logs of the loop together.
	LogBytesTotal int
	// Skip moves slow members forward instead of having them closed.
	Skip bool
	// Pace bounds the writes of the sweeps of all loops; nil does not.
	Pace *Pace
	// Presence has the registry remember which channels members came to and left,
	// for Changes.
	Presence bool
}

// A Socket is what a registry needs of its loop. It may know members by other
// numbers than descriptors, as long as they are not 0.
type Socket interface {
	// Room is where the registry keeps a member: poller.Record's, or another one.
	Room(fd uint32) *[3]uint64
	Send(fd uint32, piece poller.Piece) (int, poller.Status)
	Sendv(fd uint32, pieces []poller.Piece) (int, poller.Status)
	// Respond is Send for a member that subscribed once. What it says is written is not
	// the registry's any more.
	Respond(fd uint32, response []byte) (int, poller.Status)
	ArmWrite(fd uint32, on bool)
	Now() int64
	Clock() int64
	Seated() bool
	Urgent()
	Crowded() bool
	Hurried() bool
	WorkBy(at int64)
}

// An Owner has the connections that are members. It must not call the registry
// back from these methods.
type Owner interface {
	// Overrun: fd has fallen off its log and is to be closed.
	Overrun(fd uint32, cause Cause)
	// Failed: writing to fd failed for good.
	Failed(fd uint32, status poller.Status)
	// Owe: fd was moved forward from the middle of a frame, and rest has to
	// be written before anything else. rest is immutable. The member is held.
	Owe(fd uint32, rest []byte)
	// Served: fd, which subscribed once, got its response and is no member any more. rest of it is not in the socket yet and is the owner's to write;
	// it is immutable.
	Served(fd uint32, rest []byte)
	// Interrupted: something is due to fd that was published after an interruption of
	// which it is untold, and it did not get that. It is to be told (Told), or closed,
	// in this turn if atOnce.
	Interrupted(fd uint32, atOnce bool)
}

// ErrName: a client may not subscribe to such a name.
var ErrName = errors.New("a channel is 1 to 255 bytes of UTF-8 and does not begin with -/")

// A Registry maps channels to the connections of one loop and brings every
// member up to the head of its channel's log. All methods are for the loop's
// thread.
type Registry struct {
	// Fixed after construction.
	config Config
	socket Socket
	owner  Owner
	stats  *Stats
	// ageUnit is the unit of member.since in nanoseconds.
	ageUnit int64

	// Owned by the loop.
	cells       cells
	index       index
	logs        []*log // by cell.log-1; nil where free
	logsFree    []uint32
	spares      []*log
	logHand     uint32 // where age and the total limit look next in logs
	ageTodo     int    // logs that age has still to look at in this round
	ageNext     int64  // when the next round begins
	small       queue
	large       queue
	overfull    int // logs for whose sake letters wait
	turn        uint32
	sliceWrites int  // of this turn
	burst       bool // a log has grown enough in this turn
	overTotal   *log // that limitTotal began with
	bytesTotal  int
	listings    []*listingOfLoop
	reserved    int   // writes that the pace allows
	reservedAt  int64 // from then on
	presence    presence
	surveys     []*Survey
	slowSurveys []*SlowSurvey
	busy        *busyList // nil while nobody looks
	pieces      [framesPerWriteMax]poller.Piece
	responses   responseCaches
	tally       tally

	interruptions interruptions
}

// tally collects what a sweep did, so that the shared counters are touched
// once a slice and not once a delivery.
type tally struct{ deliveries, bytes, writes, batches uint64 }

// NewRegistry makes the registry of one loop.
func NewRegistry(config Config, socket Socket, owner Owner, stats *Stats) *Registry {
	r := &Registry{config: config, socket: socket, owner: owner, stats: stats}
	if config.Presence {
		r.presence = presence{name: newLife(), changes: make(map[string]presenceChange)}
	}
	r.ageUnit = max(1, int64(config.LogAge)/ageUnits)
	r.cells.init()
	r.index.init(&r.cells)
	return r
}

// Subscribe makes fd a member of a channel that gets its frames.
func (r *Registry) Subscribe(fd uint32, name []byte) error { return r.SubscribeAs(fd, name, Framed) }

// SubscribeAs makes fd a member of a channel, up to date from now on, that gets
// its messages in this format. It takes the same time with any number of channels
// and members. fd must not be a member yet. The error is ErrName.
func (r *Registry) SubscribeAs(fd uint32, name []byte, format Format) error {
	if !ValidName(name) {
		return ErrName
	}
	m := r.member(fd)
	if m.channel != 0 {
		panic("BUG: a connection subscribes twice")
	}
	hash := hashName(name)
	at := r.index.find(name, hash)
	if at == 0 {
		at, _ = r.cells.make(name, hash)
		r.index.insert(at)
		r.stats.Channels.Add(1)
	}
	c := r.cells.at(at)
	*m = member{channel: at, seq: c.head, flags: m.flags&memberHeld | r.interruptions.epoch, format: format}
	r.push(&c.first, fd, m)
	c.members++
	r.stats.Members.Add(1)
	r.changed(name, 1, 0)
	return nil
}

// SubscribeOnce is SubscribeAs for one response: with it, fd is no member any more
// (Owner.Served). The format needs a Shape.Join.
func (r *Registry) SubscribeOnce(fd uint32, name []byte, format Format) error {
	if err := r.SubscribeAs(fd, name, format); err != nil {
		return err
	}
	r.member(fd).flags |= memberOnce
	return nil
}

// Unsubscribe takes fd out of its channel, if it is in one. What it was still
// owed is forgotten, the rest of a frame that is partly in the socket too: who
// means to write more takes it with Hold before. A hold lasts.
func (r *Registry) Unsubscribe(fd uint32) {
	m := r.member(fd)
	if m.channel == 0 {
		return
	}
	c := r.cells.at(m.channel)
	g := r.logOf(c)
	if g != nil {
		if m.seq != g.head() {
			g.move(m, g.head())
		}
		if m.flags&memberBlocked != 0 {
			r.unblock(g, fd, m)
		}
		if g.cursor == fd {
			g.cursor = m.next
		}
	}
	r.unlink(&c.first, m)
	c.members--
	r.stats.Members.Add(-1)
	r.changed(c.name(), 0, 1)
	if g != nil {
		r.trim(g)
	}
	if c.members == 0 {
		r.index.remove(m.channel)
		r.cells.release(m.channel)
		r.stats.Channels.Add(-1)
	}
	*m = member{flags: m.flags & memberHeld}
}

// Name returns the channel of a member, valid until it unsubscribes; nil if it
// is in none.
func (r *Registry) Name(fd uint32) []byte {
	m := r.member(fd)
	if m.channel == 0 {
		return nil
	}
	return r.cells.at(m.channel).name()
}

// Format returns the format of a member; Framed if fd is in no channel.
func (r *Registry) Format(fd uint32) Format { return r.member(fd).format }

// Wants reports whether a message whose name has this hash may have members
// here. Any goroutine may call it. It says yes if a Subscribe returned before.
func (r *Registry) Wants(hash uint32) bool { return r.index.has(hash) }

// MembersOf returns how many connections a channel has here (index.members). Any goroutine
// may call it.
func (r *Registry) MembersOf(name []byte, hash uint32) (n int, isKnown bool) {
	return r.index.members(name, hash)
}

// Letter takes what the Hub posted. It reports false for anything else.
func (r *Registry) Letter(body any) bool {
	switch body := body.(type) {
	case *Message:
		r.deliver(body)
	case *listingOfLoop:
		r.listings = append(r.listings, body)
	case *presenceOfLoop:
		r.answerPresence(body)
	default:
		return false
	}
	return true
}

// deliver appends a message to its channel's log, or only counts the members
// if the message is a question.
func (r *Registry) deliver(message *Message) {
	members := 0
	at := r.index.find(message.name, message.hash)
	if at != 0 {
		members = int(r.cells.at(at).members)
	}
	if message.frame != nil {
		r.stats.Messages.Add(1)
		if at == 0 {
			r.stats.Unwanted.Add(1)
		} else {
			r.enter(at, message)
		}
	}
	if message.receipt != nil {
		message.receipt.Settle(members)
	}
}

// enter appends a message to the log of a channel that has members.
func (r *Registry) enter(at ref, message *Message) {
	c := r.cells.at(at)
	g := r.logOf(c)
	if g == nil {
		g = r.openLog(c)
	}
	g.append(message, c.members-g.behind)
	r.countBytes(message.cost())
	if g.turn != r.turn {
		g.turn, g.turnBytes = r.turn, 0
	}
	g.turnBytes += message.cost()
	r.burst = r.burst || g.turnBytes > r.config.LogBytes/fullPart
	r.limit(g)
	r.gauge(g)
	r.enqueue(g)
	if r.busy != nil {
		r.busy.note(at, c)
	}
	if c.members <= smallMembersMax && (r.large.len() > 0 || r.socket.Crowded()) {
		r.socket.Urgent()
	}
}

// Full reports that letters should wait until Work has made room: a sweep is
// far behind, or a log has grown enough for one turn, or slow members are still
// being overrun to shorten a log that is far too long, or all logs together are
// far too long. Slow members alone, within their limits, never make a registry
// full.
func (r *Registry) Full() bool {
	return r.burst || r.overfull > 0 || r.bytesTotal > fullFactor*r.config.LogBytesTotal
}

// gauge counts a log in overfull, or no longer.
func (r *Registry) gauge(g *log) {
	is := g.sweepBytes > r.config.LogBytes/fullPart ||
		g.evicting && g.bytes > fullFactor*r.config.LogBytes
	if is == g.overfull {
		return
	}
	g.overfull = is
	if is {
		r.overfull++
	} else {
		r.overfull--
	}
}

func (r *Registry) countBytes(change int) {
	r.bytesTotal += change
	r.stats.LogBytes.Add(int64(change))
}

func (r *Registry) logOf(c *cell) *log {
	if c.log == 0 {
		return nil
	}
	return r.logs[c.log-1]
}

// openLog gives a channel an empty log.
func (r *Registry) openLog(c *cell) *log {
	var g *log
	if n := len(r.spares); n > 0 {
		g, r.spares = r.spares[n-1], r.spares[:n-1]
	} else {
		g = &log{}
	}
	*g = log{cell: c, ring: g.ring, tail: c.head, sweptTo: c.head}
	if n := len(r.logsFree); n > 0 {
		c.log, r.logsFree = r.logsFree[n-1]+1, r.logsFree[:n-1]
		r.logs[c.log-1] = g
	} else {
		r.logs = append(r.logs, g)
		c.log = uint32(len(r.logs))
	}
	r.stats.Logs.Add(1)
	return g
}

// trim drops what is owed to nobody; a log that is empty then is taken from
// its channel.
func (r *Registry) trim(g *log) {
	if g.released {
		return
	}
	if g.entry(g.tail).waiting == 0 {
		before, now := g.bytes, r.socket.Clock()
		for g.count > 0 && g.entry(g.tail).waiting == 0 {
			r.stats.Lag.Observe(now - g.dropTail().at)
		}
		r.countBytes(g.bytes - before)
	}
	if g.count == 0 {
		g.evicting = false
	}
	r.gauge(g)
	if g.count == 0 {
		r.closeLog(g)
	}
}

// closeLog takes a log that is owed to nobody from its channel.
func (r *Registry) closeLog(g *log) {
	slot := g.cell.log - 1
	g.cell.log = 0
	r.logs[slot] = nil
	r.logsFree = append(r.logsFree, slot)
	g.released = true
	r.stats.Logs.Add(-1)
	if !g.queued {
		r.spare(g)
	}
}

func (r *Registry) spare(g *log) {
	if len(r.spares) < spareLogsMax && len(g.ring) <= spareLogEntriesMax {
		r.spares = append(r.spares, g)
	}
}

// enqueue puts a log that owes something into its queue.
func (r *Registry) enqueue(g *log) {
	if g.queued || !g.owing() {
		return
	}
	g.queued = true
	if g.cell.members <= smallMembersMax {
		r.small.push(g)
	} else {
		r.large.push(g)
	}
}

// Work does one slice: the small channels, then the next of the large ones,
// then what is in no hurry.
func (r *Registry) Work() (more bool) {
	r.turn++
	r.burst = false
	r.sliceWrites = sliceWritesMax
	if r.socket.Hurried() {
		r.sliceWrites = sliceWritesHurried
	}
	r.limitTotal()
	for budget := smallWritesPerTurnMax; budget > 0; {
		g := r.small.pop()
		if g == nil {
			break
		}
		budget -= 1 + r.slice(g)
	}
	waits := false
	if r.socket.Seated() {
		waits = !r.sliceLarge()
		r.survey()
		r.slowSurvey()
	}
	r.age()
	r.list()
	r.publishTally()
	return r.small.len() > 0 || r.large.len() > 0 && !waits || r.ageTodo > 0 ||
		len(r.listings) > 0 || len(r.surveys) > 0 || len(r.slowSurveys) > 0
}

// sliceLarge works on the next of the large channels, if the pace allows; it reports
// false if one has to wait for that.
func (r *Registry) sliceLarge() bool {
	if r.large.len() == 0 {
		return true
	}
	if !r.affords() {
		return false
	}
	before := r.tally
	r.slice(r.large.pop())
	r.spent(r.tally.writes-before.writes, r.tally.bytes-before.bytes)
	return true
}

// slice works on one log from a queue and puts it back if more is to do. The
// result is its cost in writes.
func (r *Registry) slice(g *log) (cost int) {
	if !g.released && g.behind > g.blocked {
		cost = r.sweep(g)
		r.responses.forget()
	}
	if !g.released && g.evicting {
		cost += r.evict(g)
	}
	g.queued = false
	if g.released {
		r.spare(g)
		return cost
	}
	r.gauge(g)
	r.enqueue(g)
	return cost
}

func (r *Registry) publishTally() {
	if r.tally == (tally{}) {
		return
	}
	r.stats.Deliveries.Add(r.tally.deliveries)
	r.stats.Bytes.Add(r.tally.bytes)
	r.stats.Writes.Add(r.tally.writes)
	r.stats.Batches.Add(r.tally.batches)
	r.tally = tally{}
}

// A queue of logs, first in first out, that keeps its memory.
type queue struct {
	logs  []*log
	first int
}

func (q *queue) len() int { return len(q.logs) - q.first }

func (q *queue) push(g *log) {
	// Only when half is free: else a long queue would be copied at each push.
	if len(q.logs) == cap(q.logs) && 2*q.first >= len(q.logs) {
		n := copy(q.logs, q.logs[q.first:])
		clear(q.logs[n:])
		q.logs, q.first = q.logs[:n], 0
	}
	q.logs = append(q.logs, g)
}

func (q *queue) pop() *log {
	if q.first == len(q.logs) {
		return nil
	}
	g := q.logs[q.first]
	q.logs[q.first] = nil
	q.first++
	if q.first == len(q.logs) {
		q.logs, q.first = q.logs[:0], 0
	}
	return g
}
