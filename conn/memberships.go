package conn

import (
	"unsafe"

	"c10m/channel"
	"c10m/internal/slab"
	"c10m/poller"
)

// Many channels on one connection (docs/c10m.v1.md). The registry knows members by
// number and nothing of connections, so a connection of many channels is many
// members to it: numbers from firstMembership on are memberships, whose rooms are
// in a table of this file, and those below are descriptors, whose rooms are in
// their records. memberships stands between the registry and the loop, and tells
// them apart by one comparison, which is all that a raw WebSocket pays for it.

// firstMembership is above every descriptor.
const firstMembership = 1 << 31

// A membership is one channel of a connection: 32 bytes, pointer-free.
type membership struct {
	room [3]uint64 // the registry's
	fd   uint32    // the connection
	next uint32    // its next membership; 0 ends
}

// twoWay is what a connection of many channels keeps, in the room of its own
// record: it is no member itself.
type twoWay struct {
	// none lies where a member has its channel, and is 0: the registry takes the
	// descriptor for one that is in no channel.
	none  uint32
	first uint32 // its memberships, the youngest first; 0 ends
	// busy is the only membership that may stand in the middle of a frame, or whose
	// frame's rest is owed (cold.owedFrame).
	busy  uint32
	turn  uint32 // the membership that goes on next when the socket has room; 0 is the first
	grant uint32 // what its token allows, in twoWays.grants; 0 is no token
	count uint8  // of its memberships
	marks uint8
	_     uint16
}

// The bits of twoWay.marks.
const (
	// twoWayFull: the socket was full for one of its memberships, and EPOLLOUT is
	// armed on their behalf.
	twoWayFull = 1 << iota
	// twoWayDeaf: it is not read from, since it does not read our answers.
	twoWayDeaf
)

// It must fit the room in a record, and its count hold the limit; two memberships
// share a cache line.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(membership{})-32]
	_ = [1]struct{}{}[unsafe.Sizeof(twoWay{})-unsafe.Sizeof(poller.Record{}.Room)]
	_ = uint8(membershipsMax)
)

// memberships is the channel.Socket of a registry whose members may be
// memberships. It belongs to the loop's thread.
type memberships struct {
	*poller.Loop
	server *Server
	table  slab.Table[membership] // their numbers are above firstMembership
	// stuck: the last write to a membership found its socket full.
	stuck bool
}

// at returns membership n.
func (t *memberships) at(n uint32) *membership { return t.table.At(n - firstMembership) }

// take returns the number of a blank membership, give ends the use of one, which is in no
// channel any more.
func (t *memberships) take() uint32  { return firstMembership + t.table.Take() }
func (t *memberships) give(n uint32) { t.table.Give(n - firstMembership) }

// owner returns the connection of a member's number.
func (t *memberships) owner(n uint32) (fd uint32) {
	if n < firstMembership {
		return n
	}
	return t.at(n).fd
}

// Room, Send, Sendv and ArmWrite, with the methods of the loop, make memberships
// a channel.Socket.
var _ channel.Socket = (*memberships)(nil)

// Room returns what the registry keeps of a member.
func (t *memberships) Room(n uint32) *[3]uint64 {
	if n < firstMembership {
		return &t.Loop.Record(n).Room
	}
	return &t.at(n).room
}

// Send writes to a member's socket. For a membership it finds the socket full
// while another one's frame, or something of our own, is unfinished in it: the
// registry then waits for Writable as it would for the kernel.
func (t *memberships) Send(n uint32, piece poller.Piece) (int, poller.Status) {
	if n < firstMembership {
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
func (t *memberships) Sendv(n uint32, pieces []poller.Piece) (int, poller.Status) {
	if n < firstMembership {
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
func (t *memberships) mayWrite(n uint32) (fd uint32, ok bool) {
	fd = t.at(n).fd
	record := t.Loop.Record(fd)
	w := twoWayOf(record)
	ok = record.Phase == phaseOpen &&
		(record.Marks&markCold == 0 || !t.server.cold[fd].owes()) &&
		(w.busy == 0 || w.busy == n || !t.server.registry.MidFrame(w.busy))
	t.stuck = !ok
	return fd, ok
}

// wrote notes a write that membership n was let make. Whether it ended in the middle
// of a frame only the registry knows, and is asked when somebody else wants to write.
func (t *memberships) wrote(fd, n uint32, stuck bool) {
	t.stuck = stuck
	if stuck {
		twoWayOf(t.Loop.Record(fd)).busy = n
	}
}

// ArmWrite asks for EPOLLOUT on behalf of a member. For a membership, serveMembers
// says when no longer.
func (t *memberships) ArmWrite(n uint32, on bool) {
	if n < firstMembership {
		t.Loop.ArmWrite(n, on)
		return
	}
	if on {
		fd := t.at(n).fd
		twoWayOf(t.Loop.Record(fd)).marks |= twoWayFull
		t.Loop.ArmWrite(fd, true)
	}
}

// twoWayOf returns the state of a connection of many channels.
func twoWayOf(record *poller.Record) *twoWay { return (*twoWay)(unsafe.Pointer(&record.Room)) }
