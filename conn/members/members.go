// Package members lets one connection be many members of a registry
// (docs/c10m.v1.md). The registry knows members by number and nothing of connections:
// numbers from First on are memberships, whose rooms are in a table of this package, and
// those below are connections, whose rooms are in their records. A Table stands between
// the registry and the loop, and tells them apart by one comparison, which is all that a
// raw WebSocket pays for it. It belongs to the loop's thread.
package members

import (
	"unsafe"

	"c10m/channel"
	"c10m/internal/slab"
	"c10m/poller"
)

// First is above the number of every connection.
const First = 1 << 31

// writesPerEventMax bounds the writes to one connection of many channels when its socket
// has room again, at 4 to 10 us each.
const writesPerEventMax = 16

// A membership is one channel of a connection: 32 bytes, pointer-free.
type membership struct {
	room [3]uint64 // the registry's
	fd   uint32    // the connection
	next uint32    // its next membership; 0 ends
}

// Many is what a connection of many channels keeps, in the room of its own
// record: it is no member itself.
type Many struct {
	// none lies where a member has its channel, and is 0: the registry takes the
	// connection for one that is in no channel.
	none  uint32
	First uint32 // its memberships, the youngest first; 0 ends
	// Busy is the only membership that may stand in the middle of a frame, or whose
	// frame's rest the connection owes.
	Busy  uint32
	Turn  uint32 // the membership that goes on next when the socket has room; 0 is the first
	Grant uint32 // the caller's: what its token allows
	Count uint8  // of its memberships
	// IsFull: the socket was full for one of them, and room is asked for on their behalf.
	IsFull bool
	_      [2]uint8
}

// It must fit the room in a record; two memberships share a cache line.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(membership{})-32]
	_ = [1]struct{}{}[unsafe.Sizeof(Many{})-unsafe.Sizeof(poller.Record{}.Room)]
)

// A Table is the channel.Socket of a registry whose members may be memberships, but for
// Respond.
type Table struct {
	// Fixed after construction.
	*poller.Loop
	Registry *channel.Registry
	// IsFree reports whether a connection is open and owes nothing of the caller's own.
	IsFree func(fd uint32) bool

	memberships slab.Table[membership] // their numbers are above First
	stuck       bool                   // the last write to a membership found its socket full
}

func (t *Table) at(n uint32) *membership { return t.memberships.At(n - First) }

// Of returns the state of a connection of many channels.
func (t *Table) Of(fd uint32) *Many { return (*Many)(unsafe.Pointer(&t.Loop.Record(fd).Room)) }

// Used is how many memberships there ever were at a time, Taken how many there are.
func (t *Table) Used() uint32 { return t.memberships.Used() }
func (t *Table) Taken() int   { return t.memberships.Taken() }

// Owner returns the connection of a member's number.
func (t *Table) Owner(n uint32) (fd uint32) {
	if n < First {
		return n
	}
	return t.at(n).fd
}

// Join makes fd a member of one more channel. It is not one yet, and the name is valid.
func (t *Table) Join(fd uint32, name []byte, format channel.Format) (n uint32) {
	m := t.Of(fd)
	if m.none != 0 {
		panic("BUG: a member of one channel joins another")
	}
	n = First + t.memberships.Take()
	*t.at(n) = membership{fd: fd, next: m.First}
	if err := t.Registry.SubscribeAs(n, name, format); err != nil {
		panic("BUG: a bad channel was let through")
	}
	m.First = n
	m.Count++
	return n
}

// Part ends a membership of fd. Nobody is owed the rest of a frame of its.
func (t *Table) Part(fd, n uint32) {
	m := t.Of(fd)
	link := &m.First
	for *link != n {
		link = &t.at(*link).next
	}
	*link = t.at(n).next
	t.Registry.Unsubscribe(n)
	t.memberships.Give(n - First)
	m.Count--
	if m.Busy == n {
		m.Busy = 0
	}
	if m.Turn == n {
		m.Turn = 0
	}
}

// Find returns the first membership of fd that is for one, 0 if there is none.
func (t *Table) Find(fd uint32, is func(n uint32) bool) (n uint32) {
	for n = t.Of(fd).First; n != 0 && !is(n); n = t.at(n).next {
	}
	return n
}

// Room returns what the registry keeps of a member.
func (t *Table) Room(n uint32) *[3]uint64 {
	if n < First {
		return &t.Loop.Record(n).Room
	}
	return &t.at(n).room
}

// Send writes to a member's socket. For a membership it finds the socket full
// while another one's frame, or something of the caller's own, is unfinished in it: the
// registry then waits for Writable as it would for the kernel.
func (t *Table) Send(n uint32, piece poller.Piece) (int, poller.Status) {
	if n < First {
		return t.Loop.Send(n, piece)
	}
	fd, ok := t.mayWrite(n)
	if !ok {
		return 0, poller.Full
	}
	sent, status := t.Loop.Send(fd, piece)
	t.wrote(fd, n, sent < len(piece.Bytes()))
	return sent, status
}

// Sendv is Send for several frames.
func (t *Table) Sendv(n uint32, pieces []poller.Piece) (int, poller.Status) {
	if n < First {
		return t.Loop.Sendv(n, pieces)
	}
	fd, ok := t.mayWrite(n)
	if !ok {
		return 0, poller.Full
	}
	sent, status := t.Loop.Sendv(fd, pieces)
	t.wrote(fd, n, sent < poller.BytesOf(pieces))
	return sent, status
}

// mayWrite returns the connection of membership n, and whether n may write to it
// now.
func (t *Table) mayWrite(n uint32) (fd uint32, ok bool) {
	fd = t.at(n).fd
	m := t.Of(fd)
	ok = t.IsFree(fd) && (m.Busy == 0 || m.Busy == n || !t.Registry.MidFrame(m.Busy))
	t.stuck = !ok
	return fd, ok
}

// wrote notes a write that membership n was let make. Whether it ended in the middle
// of a frame only the registry knows, and is asked when somebody else wants to write.
func (t *Table) wrote(fd, n uint32, stuck bool) {
	t.stuck = stuck
	if stuck {
		t.Of(fd).Busy = n
	}
}

// ArmWrite asks for room on behalf of a member. For a membership, Rest says when no longer.
func (t *Table) ArmWrite(n uint32, on bool) {
	if n < First {
		t.Loop.ArmWrite(n, on)
		return
	}
	if on {
		t.Wait(t.at(n).fd)
	}
}

// Wait asks for room on behalf of memberships of fd, Rest ends that.
func (t *Table) Wait(fd uint32) { t.Of(fd).IsFull = true; t.Loop.ArmWrite(fd, true) }
func (t *Table) Rest(fd uint32) { t.Of(fd).IsFull = false; t.Loop.ArmWrite(fd, false) }

// ServeBusy makes one write to the membership of fd whose frame is unfinished, if there is
// one, and reports whether the socket took all of it.
func (t *Table) ServeBusy(fd uint32) (more bool) {
	busy := t.Of(fd).Busy
	return busy == 0 || !t.Registry.MidFrame(busy) || t.serve(fd, busy)
}

// Serve makes one write to each blocked membership of fd in turn, for at most
// writesPerEventMax of them, and reports whether some are behind still: there is more to
// do when the socket has room, which the loop tells again.
func (t *Table) Serve(fd uint32) (isBehind bool) {
	m := t.Of(fd)
	writes, n := 0, m.Turn
	for range m.Count {
		if n == 0 {
			n = m.First
		}
		next := t.at(n).next
		if t.Registry.Blocked(n) {
			if writes == writesPerEventMax {
				m.Turn = n
				return true
			}
			writes++
			if !t.serve(fd, n) {
				m.Turn = next
				return true
			}
			isBehind = isBehind || t.Registry.Blocked(n)
		}
		n = next
	}
	m.Turn = n
	return isBehind
}

// serve makes one write to a member that is blocked, and reports whether the
// socket took all of it.
func (t *Table) serve(fd, n uint32) (more bool) {
	t.stuck = false
	t.Registry.Writable(n)
	return !t.stuck && !t.Loop.Closing(fd)
}

// Release is the registry's, which may write, and reports whether the socket took all.
func (t *Table) Release(n uint32) (more bool) {
	t.stuck = false
	t.Registry.Release(n)
	return !t.stuck
}
