package channel

import (
	"unsafe"

	"c10m/poller"
)

// A member is a connection's place in its channel, 24 bytes in the
// connection's own record: finding, serving and removing a member touches no
// other cache line of ours.
type member struct {
	channel    ref
	prev, next uint32 // neighbours in the channel's or the log's list, by descriptor; 0 ends
	seq        uint32 // the next frame that it is owed; the channel's head when it is up to date
	off        uint32 // bytes of that frame already in the socket
	flags      uint8
	format     Format
	since      uint16 // when it was blocked, in Registry.ageUnit; wraps
}

// The member must fit the room in a record.
var _ = [1]struct{}{}[unsafe.Sizeof(member{})-unsafe.Sizeof(poller.Record{}.Room)]

const (
	// memberBlocked: its socket was full, or it is held. It is in the log's
	// list of blocked members instead of the channel's list, so that no sweep
	// meets it again before EPOLLOUT.
	memberBlocked = 1 << iota
	// memberHeld: the owner has bytes of its own to write first (the rest of
	// a control frame, a close). No frame is begun until Release.
	memberHeld
	// memberDead: a write failed, or it was overrun. It gets nothing more; the
	// owner closes it.
	memberDead
	// memberOnce: it is a member until it was given something (respond).
	memberOnce

	// The upper four bits are the epoch (interruption.go).
)

// member returns what is kept of fd; channel is 0 if it is in none.
func (r *Registry) member(fd uint32) *member {
	return (*member)(unsafe.Pointer(r.socket.Room(fd)))
}

// push puts fd at the front of a list.
func (r *Registry) push(first *uint32, fd uint32, m *member) {
	m.prev, m.next = 0, *first
	if *first != 0 {
		r.member(*first).prev = fd
	}
	*first = fd
}

// unlink takes fd out of a list.
func (r *Registry) unlink(first *uint32, m *member) {
	if m.prev != 0 {
		r.member(m.prev).next = m.next
	} else {
		*first = m.next
	}
	if m.next != 0 {
		r.member(m.next).prev = m.prev
	}
}
