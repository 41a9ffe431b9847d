package channel

import (
	"sync"
	"sync/atomic"
)

// A Receipt tells how many connections of this process a published message
// goes to. The loops settle it, each for its own members; one goroutine, the
// publisher's, waits for it.
//
// A loop settles with WaitGroup.Done, which never blocks and allocates
// nothing, so this is no exception to "the loop never blocks".
type Receipt struct {
	open    sync.WaitGroup
	members atomic.Int64
	hub     *Hub   // fixed, like number, before anybody else sees the receipt
	number  uint64 // of the message's id
}

// NewReceipt returns a receipt that waits for as many answers as there are
// loops.
func NewReceipt(loops int) *Receipt {
	r := &Receipt{}
	r.open.Add(loops)
	return r
}

// Settle adds one loop's number of members. Each loop calls it once.
func (r *Receipt) Settle(members int) {
	if members != 0 {
		r.members.Add(int64(members))
	}
	r.open.Done()
}

// Wait blocks until every loop has answered, which is one turn of the busiest
// loop, and returns the number of connections.
func (r *Receipt) Wait() int {
	r.open.Wait()
	return int(r.members.Load())
}

// ID is the id of the message; empty where none was given, since nobody can
// subscribe to its channel.
func (r *Receipt) ID() string {
	if r.number == 0 {
		return ""
	}
	return string(r.hub.appendPosition(nil, r.number))
}
