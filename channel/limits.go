package channel

// The limits of the room, with their reasons. What an operator may want to
// change is in Config.
const (
	// NameBytesMax is the longest channel name: its length is one byte.
	NameBytesMax = 255
	// sliceWritesMax is one slice of a sweep over many members: at 4 to 10 us
	// a write about half a millisecond, after which epoll, the mailbox and
	// the small channels have their turn.
	sliceWritesMax = 64
	// sliceVisitsMax bounds the members looked at in a slice, most of whom
	// may need nothing.
	sliceVisitsMax = 1024
	// smallMembersMax is how many members a channel may have to be served
	// ahead of the round robin of the large ones.
	smallMembersMax = 16
	// smallWritesPerTurnMax keeps the small channels from starving the large.
	smallWritesPerTurnMax = 256
	// framesPerWriteMax and bytesPerWriteMax bound one batch: beyond them a
	// write takes so long that others wait for it.
	framesPerWriteMax = 64
	bytesPerWriteMax  = 256 << 10
	// listedCellsPerTurnMax bounds what PUBSUB CHANNELS costs in one turn.
	listedCellsPerTurnMax = 1024
	// spareLogsMax is how many empty logs are kept for the next message.
	spareLogsMax = 1024
	// spareLogEntriesMax: a larger ring goes back to the collector instead.
	spareLogEntriesMax = 256
	// fullFactor times a log's limit is when the loop takes no more letters
	// until its sweeps have caught up: publishers then wait.
	fullFactor = 2
	// publishRetryMax is the longest pause of a publisher between two tries
	// to post to a loop whose mailbox is full.
	publishRetryMillisMax = 5
)
