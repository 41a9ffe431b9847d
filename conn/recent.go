package conn

// A recent is a close of a connection that was open. Those of requests only count:
// a flood of refusals would leave nothing else in the list.
type recent struct {
	at       int64 // of the loop's clock
	reason   Reason
	cut      bool // the channel's name is longer
	nameLen  uint8
	nameText [recentChannelBytesMax]byte
}

// A recentRing holds the last closes of a loop. Owned by the loop.
type recentRing struct {
	closes []recent // recentMax of them, once there is one
	count  uint64   // so far
}

func (r *recentRing) add(now int64, reason Reason, channel []byte) {
	if r.closes == nil {
		r.closes = make([]recent, recentMax)
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

// list returns the last closes, the last first.
func (r *recentRing) list(now int64) []Close {
	n := min(r.count, recentMax)
	closes := make([]Close, 0, n)
	for i := range n {
		c := &r.closes[(r.count-1-i)%recentMax]
		closes = append(closes, Close{now - c.at, c.reason, string(c.nameText[:c.nameLen]), c.cut})
	}
	return closes
}
