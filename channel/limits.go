package channel

import "c10m/poller"

// The limits of the room, with their reasons. What an operator may want to
// change is in Config.
const (
	// NameBytesMax is the longest channel name: its length is one byte.
	NameBytesMax = 255
	// lifeBytes is the length of a life in positions, 5 bits a byte: enough that
	// no two processes of a client's day have the same.
	lifeBytes = 8
	// forgottenBuckets is for how many classes of channels it is known what the
	// latest message was that is not kept any more, once nothing of them is: 32 KB.
	forgottenBuckets = 4096
	// keptBytesExtra is what a kept message takes beside itself: its place in two
	// orders, and a share of its channel's.
	keptBytesExtra = 128
	// answerBytesExtra is what an answer takes of a mailbox beside its list.
	answerBytesExtra = 256
	// expiresPerAge is how often in its age, at most, a timer looks for messages
	// that are too old: they go that much later where nothing else happens.
	expiresPerAge = 16
	// presenceChannelsMax bounds the channels of a loop of which it is still to be
	// told who came and left: some 10 MB.
	presenceChannelsMax = 1 << 16
	// sliceWritesMax is one slice of a sweep over many members: at 4 to 10 us
	// a write about half a millisecond, after which epoll, the mailbox and
	// the small channels have their turn.
	sliceWritesMax = 64
	// sliceWritesHurried is the same where loops that share processors take
	// turns, since one of them has an urgent message.
	sliceWritesHurried = 16
	// sliceVisitsMax bounds the members looked at in a slice, most of whom
	// may need nothing.
	sliceVisitsMax = 1024
	// smallMembersMax is how many members a channel may have to be served
	// ahead of the round robin of the large ones.
	smallMembersMax = 16
	// smallWritesPerTurnMax keeps the small channels from starving the large.
	smallWritesPerTurnMax = 256
	// framesPerWriteMax and bytesPerWriteMax bound one batch: beyond them a
	// write takes so long that others wait for it. A visit is one write; who
	// lacks more is visited again in the next round.
	framesPerWriteMax = poller.PiecesMax
	bytesPerWriteMax  = 256 << 10
	// ResponseMessagesMax and responseBytesMax bound what one response carries:
	// its list of messages has to fit the 4 KiB that proxies keep for headers,
	// and what is collected is copied. The first message always fits.
	ResponseMessagesMax = 64
	responseBytesMax    = 256 << 10
	// listedCellsPerTurnMax bounds what Hub.Channels costs in one turn.
	listedCellsPerTurnMax = 1024
	// surveyCellsPerTurnMax bounds what a survey of the largest channels costs in
	// one turn (BenchmarkSurvey), and surveyLargestMax how many each loop names:
	// a page shows fewer, and what is large on all loops together is among these.
	surveyCellsPerTurnMax = 4096
	surveyLargestMax      = 64
	// slowLooksPerTurnMax bounds the logs and members that a survey of slow
	// members looks at in a turn, slowLooksPerLogMax those of one log, and
	// slowestMax is how many it names.
	slowLooksPerTurnMax = 1024
	slowLooksPerLogMax  = 256
	slowestMax          = 32
	// busyEntries is how many channels are counted while somebody looks for the
	// busiest, and busyIdleSeconds when nobody does any more: a page asks every
	// second.
	busyEntries     = 64
	busyIdleSeconds = 5
	// spareLogsMax is how many empty logs are kept for the next message.
	spareLogsMax = 1024
	// spareLogEntriesMax: a larger ring goes back to the collector instead.
	spareLogEntriesMax = 256
	// fullPart: when a sweep is behind by this part of a log's limit, the loop
	// takes no more letters, and publishers wait. It is also what one turn may
	// add to a log, so that readers that are blocked have a chance to go on
	// in between. It is so much less than the limit that a reader whose socket
	// took nothing of one such burst may still get a second one before it
	// counts as slow (keepQuarters).
	fullPart = 4
	// fullFactor times a limit is when the loop takes no more letters while
	// slow members are being overrun, which takes many turns if they are many.
	fullFactor = 2
	// keepQuarters of a log's limit, in quarters, stays when slow members
	// are overrun, so that the blocked list is walked once per quarter that was
	// published and not once per message.
	keepQuarters = 3
	// agedLogsPerTurnMax bounds the logs whose age is looked at in a turn.
	agedLogsPerTurnMax = 1024
	// ageRounds is how often in a LogAge each log's age is looked at.
	ageRounds = 8
	// ageUnits is how many units of member.since are one LogAge.
	ageUnits = 128
	// totalLogsPerTurnMax bounds the logs among which a turn looks for one
	// with slow members when all logs together are over their limit.
	totalLogsPerTurnMax = 1024
	// orderBuckets is how many buckets the locks of channels have: about as many as there are
	// publishers at once (BenchmarkPublishInParallel has more), in 6 KB.
	orderBuckets = 256
	// publishRetryMillisMax is the longest pause of a publisher between two tries
	// to post to a loop whose mailbox is full.
	publishRetryMillisMax = 5
)
