package reasons

// A recentClose is a close of a connection that was open. Those of requests only count:
// a flood of refusals would leave nothing else in the list.
type recentClose struct {
	at       int64 // of the loop's clock
	reason   Reason
	cut      bool // the channel's name is longer
	nameLen  uint8
	nameText [recentChannelBytesMax]byte
}

// A Recent holds the last closes of a loop. Owned by the loop.
type Recent struct {
	closes []recentClose // recentMax of them, once there is one
	count  uint64        // so far
}

// Add adds a close, at a time of the loop's clock.
func (r *Recent) Add(now int64, reason Reason, channel []byte) {
	if r.closes == nil {
		r.closes = make([]recentClose, recentMax)
	}
	c := &r.closes[r.count%recentMax]
	r.count++
	c.at, c.reason = now, reason
	c.nameLen = uint8(copy(c.nameText[:], channel))
	c.cut = len(channel) > recentChannelBytesMax
}

// A Close is how a connection ended that was open.
type Close struct {
	NanosAgo int64
	Reason   Reason
	Channel  string
	IsCut    bool // Channel is only the beginning of a longer name
}

// List returns the last closes, the last first.
func (r *Recent) List(now int64) []Close {
	n := min(r.count, recentMax)
	closes := make([]Close, 0, n)
	for i := range n {
		c := &r.closes[(r.count-1-i)%recentMax]
		closes = append(closes, Close{now - c.at, c.reason, string(c.nameText[:c.nameLen]), c.cut})
	}
	return closes
}
