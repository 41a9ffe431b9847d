package conn

import "time"

// The limits of the room, with their reasons.
const (
	// RequestBytesDefault is the longest head of a request. Browsers with cookies
	// send 1 to 2 KiB; nginx's default for one header line is 8 KiB, Apache's, too.
	RequestBytesDefault = 8 << 10
	// RequestBytesLeast and RequestBytesMost bound what an operator may choose: the
	// first is what tokens with public keys and a few cookies need, the second half of
	// a read, and what nginx takes with all of its buffers.
	RequestBytesLeast = 1 << 10
	RequestBytesMost  = 32 << 10
	// requestBytesTotalMax bounds what unfinished requests hold per loop.
	requestBytesTotalMax = 16 << 20
	// handshakeTimeout is the time to finish a request, from the accept on.
	handshakeTimeout = 10 * time.Second
	// keptTimeout is for how long a connection may wait for its next request. Proxies
	// keep theirs for 60 s at the most (nginx), and are to be the first to close:
	// a request that meets our close is lost.
	keptTimeout = 75 * time.Second
	// keptCrowdedTimeout is for how long when newcomers are refused. They come back
	// after 10 s (Retry-After), and then there is room.
	keptCrowdedTimeout = 5 * time.Second
	// bodyTimeout is the time for the body of a POST: 1 MiB at 35 KB/s.
	bodyTimeout = 30 * time.Second
	// answerTimeout is for how long a client may not take an answer.
	answerTimeout = 30 * time.Second
	// exchangeLook is how often these four are looked at, so what they may be late.
	// They and it are below the 256 s after which Record.Stamp starts anew.
	exchangeLook = 5 * time.Second
	// keptMax is how many connections of a loop may wait for their next request, or
	// for an answer; with more, each answer is the last on its connection.
	keptMax = 16384
	// exchangesPerReadMax bounds the requests that are answered in one go, 3 us
	// each; a read brings up to 1,500.
	exchangesPerReadMax = 64
	// countsMax bounds the goroutines of a loop that ask how many connections a
	// channel has.
	countsMax = 64
	// lingerTimeout is how long a connection that we ended may take to read
	// our last words and end its side.
	lingerTimeout = 5 * time.Second
	// coldMax bounds the connections of a loop that have state outside their
	// record: unfinished requests, partial frames, unsent control frames.
	coldMax = 1 << 17
	// coldSparesMax is how many such states are kept for the next use.
	coldSparesMax = 64
	// inboundBytesMax is the longest message of a client that may not publish.
	// It is not kept, only checked before it is refused.
	inboundBytesMax = 64 << 10
	// resumesPerTurnMax bounds the clients that are read from again in one turn,
	// about 1 us each, after all had to wait for the bus.
	resumesPerTurnMax = 256
	// pausedStaleMax is how many entries of the list of such clients may stand
	// for some that have left, beside as many as there are.
	pausedStaleMax = 1024
	// membershipsMax is how many channels one connection may have. Each is 32 bytes,
	// and SUB and UNSUB look through all of the connection's.
	membershipsMax = 128
	// subsAgainMax is how many SUBs of a channel may wait for the first one's answer:
	// they are answered at once with it, with up to 800 bytes each.
	subsAgainMax = 128
	// repliesBytesMax is when a client has asked for too much without reading the
	// answers. It is not read from meanwhile, so they are those of one read.
	repliesBytesMax = 128 << 10
	// owedBytesTotalMax is when it is too much for all of them, and for those who ask
	// for long answers over HTTP, with what else waits for room in the loop's sockets.
	owedBytesTotalMax = 64 << 20
	// owedBytesMax bounds the control frames that wait for room in a socket. Beyond it
	// pongs are dropped.
	owedBytesMax = 1024
	// pongBatchBytesMax is when the pongs to one read of pings are written, and
	// replyBatchBytesMax the answers to one read of commands, which are owed in any
	// case: at 100 bytes each, a write for 80 of them.
	pongBatchBytesMax  = 1024
	replyBatchBytesMax = 8 << 10
	// scratchBytes is one read. A larger burst is read in the next turn.
	scratchBytes = 64 << 10
	// frameReadBytesMax is one read of a WebSocket that is not inside a frame with
	// more to come than that: 1,300 of the shortest frames, 0.1 ms of the loop's turn. 64 KiB
	// of them would take up to 1.1 ms.
	frameReadBytesMax = 8 << 10
	// eventDrainRetryMillis is the shortest pause that a drain's notice asks of an
	// EventSource, and eventRetryChoices how many there are up to twice as much.
	eventDrainRetryMillis = 500
	eventRetryChoices     = 16
	// pollSecondsMax is for how long a poll waits: below what proxies allow a
	// backend at the most, as a rule, and below the 256 s of Record.Stamp.
	pollSecondsMax = 120
	// napMax is how long a loop lets the pongs to its pings gather, and
	// napShare the part of its time, so that data from clients and newcomers
	// wait at most so long, and seldom.
	napMax   = 5 * time.Millisecond
	napShare = 16
)
