package conn

import (
	"sync/atomic"

	"c10m/conn/reasons"
)

// Stats are the counters of one loop's connections. The loop writes them,
// anybody may read them.
type Stats struct {
	Open         atomic.Int64 // members: upgraded, or getting events; and not yet ended
	OpenEvents   atomic.Int64 // those of them that get server-sent events
	EventStreams atomic.Uint64
	OpenPolls    atomic.Int64 // polls that wait, not in Open
	Polls        atomic.Uint64
	PollsEmpty   atomic.Uint64 // answered with nothing
	Handshakes   atomic.Uint64
	Unfinished   atomic.Int64 // requests that are not complete
	Lingering    atomic.Int64 // ended by us, not yet by the peer
	Pinned       atomic.Int64 // bytes of frames that connections hold after their logs let go
	Pings        atomic.Uint64
	PingsSkipped atomic.Uint64 // the socket was full: its data will tell if the peer is gone
	Pongs        atomic.Uint64 // answers to clients' pings
	PongsDropped atomic.Uint64
	PongsIn      atomic.Uint64
	TokenPauses  atomic.Uint64 // turns that had enough of tokens

	HTTP             atomic.Int64  // connections that go on after an answer, or wait for one
	Requests         atomic.Uint64 // requests answered that were no upgrades, refusals left aside
	PublishesRefused atomic.Uint64 // POSTs answered with 429, since too many were under way

	Published       atomic.Uint64 // messages of clients that were taken
	PublishesFailed atomic.Uint64 // those of them that the bus did not take
	PublishPauses   atomic.Uint64 // times that a client was not read from, since too many were under way
	PublishPaused   atomic.Int64  // clients that are not read from now

	Resent         atomic.Uint64 // messages that came of the history
	PresenceFailed atomic.Uint64 // messages about who came and left that the bus did not take
	AnswersStale   atomic.Uint64 // answers of the history to connections that had left

	Closes          [reasons.Count]atomic.Uint64
	RefusalsDropped atomic.Uint64 // those of which Config.Refusals does not tell

	TwoWay          atomic.Int64  // open connections of many channels
	Memberships     atomic.Int64  // their channels, all together
	Commands        atomic.Uint64 // what they said
	CommandsRefused atomic.Uint64 // and was answered with ERR

	Notices        atomic.Uint64 // pings that tell of a drain
	NoticesSkipped atomic.Uint64 // left out like PingsSkipped
}
