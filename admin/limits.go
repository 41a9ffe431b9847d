package admin

// The limits of this package, unit last in the name. The reason stands beside
// each.
const (
	// A scraper, a probe, an operator with a browser and a profile under way
	// are ten connections. Each costs a goroutine and a descriptor that WebSockets
	// could have. With more, the one that waits longest makes room (door.go).
	connectionsMax = 64
	// Of one address (an IPv6 address counts as its /64): the rest is for others.
	connectionsPerAddressMax = 56
	// Beyond so many, each answer is the last on its connection, and newcomers end
	// those that have been idle for longer than any client takes to ask.
	crowdedMin            = 48
	crowdedIdleSecondsMax = 5
	// Request line and headers. Probes and scrapers send a few hundred bytes,
	// a browser behind a proxy with cookies 2 KiB. net/http adds 4 KiB.
	headerBytesMax = 16 << 10
	// A peer that is slower than these holds its connection in vain
	// (slowloris). No page reads a body: the second bounds those that come
	// unasked, which net/http reads to keep the connection, and those that publish.
	headerSecondsMax  = 5
	requestSecondsMax = 10
	// Writing a page of 100 KB over loopback takes milliseconds; 30 s is a
	// peer that does not read. net/http/pprof adds the length of a profile.
	responseSecondsMax = 30
	// Longer than the usual scrape interval of 15 to 60 s, so that a scraper
	// keeps its connection.
	idleSecondsMax = 120
	// How long /livez waits for the loops, whose turns take milliseconds: no busy
	// host may look like a dead server, since what follows is a restart. One answer
	// serves all who ask within liveGoodSeconds.
	liveSecondsMax  = 10
	liveGoodSeconds = 1
	// Scrapes at once. Each reads about 120 counters per loop; more than two
	// scrapers (one and its standby) is a mistake that should show.
	scrapesMax = 4
	// A CPU profile costs a few per cent, and a trace of five minutes is
	// gigabytes already. Whoever needs more fetches several.
	profileSecondsMax = 300

	// Publishing. What --message-bytes is, unless Config says something else.
	messageBytesDefault = 1 << 20
	// Of the body of a batch, and of what it publishes (a payload for three
	// channels counts three times), unless two of the longest messages are more.
	batchBytesMax = 4 << 20
	// Messages of a batch, each channel one. Behind it wait all other publishers
	// of the embedded bus, a message at a time.
	batchMessagesMax = 1000
	// The memory that a body begins with.
	bodyStartBytes = 4 << 10
	// Memory of bodies under way, over all connections.
	bodiesBytesMax = 64 << 20
	// Requests that are handing messages to the bus. With the embedded bus they
	// take turns there anyway; a Redis gets a pipeline of each.
	publishesMax = 8
	// Requests that wait for one of these places, and for how long: the mailboxes
	// of loops are full then. A second is as long as a caller should have to wait
	// to hear that it should come later.
	publishesWaitingMax   = 32
	publishWaitSecondsMax = 1
	// What is said to those who came in vain, when the loops or when the bus had
	// no room for them.
	overloadRetrySeconds = 1
	busDownRetrySeconds  = 5

	// The operator's page. A second of history is 13 numbers; ten minutes are 62 KB.
	historySecondsMax = 600
	// How often the closes by reason are kept, of which the page says how many
	// there were in the last historySecondsMax.
	closeMarkSeconds = 10
	// What the loops are asked every second serves all who look: a little less than
	// the page's own interval.
	lookMillis = 900
	// How long loops may take to answer before they are left out: their turns take
	// milliseconds. A survey takes many turns.
	operatorSecondsMax = 2
	surveySecondsMax   = 20
	// The next survey with the same pattern is made after surveyShare times as long
	// as the last one took of a loop's time, and surveyMillisMin at least.
	surveyShare     = 100
	surveyMillisMin = 2000
	// Rows of a table, and clients of a channel: more is for programs (/channels).
	rowsShownMax    = 50
	clientsShownMax = 200
	// The body of a disconnection: a name of 255 bytes may be escaped to 1,530.
	disconnectBytesMax = 4096
	// The longest time over which a channel is disconnected.
	disconnectSecondsMax = 3600

	// Listing channels. Each name costs its loops a look at the cell, and each
	// that is listed a question of how many are there.
	listedDefault, listedMax = 100, 10_000
	listPatternBytesMax      = 1024 // as at the bus
	listingsMax              = 2    // at once
)
