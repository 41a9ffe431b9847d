package reasons

// A Close is how a connection ended that was open. Those of requests only count: a flood of
// refusals would leave nothing else in the list.
type Close struct {
	NanosAgo int64
	Reason   Reason
	Channel  string
	IsCut    bool // Channel is only the beginning of a longer name
}

// A Recent holds the last closes of a loop. Owned by the loop.
type Recent struct {
	closes [recentMax]Close // NanosAgo is when they were, by the loop's clock
	count  uint64           // so far
}

// Add adds a close, at a time of the loop's clock.
func (r *Recent) Add(now int64, reason Reason, channel []byte) {
	kept := channel[:min(len(channel), recentChannelBytesMax)]
	r.closes[r.count%recentMax] = Close{now, reason, string(kept), len(kept) < len(channel)}
	r.count++
}

// List returns the last closes, the last first.
func (r *Recent) List(now int64) []Close {
	n := min(r.count, recentMax)
	closes := make([]Close, 0, n)
	for i := range n {
		c := r.closes[(r.count-1-i)%recentMax]
		c.NanosAgo = now - c.NanosAgo
		closes = append(closes, c)
	}
	return closes
}
