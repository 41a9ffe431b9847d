package report

// The limits of the room, with their reasons.
const (
	// clientCoresShareMax is the share of its cores from which the client is
	// called the limit: its loops wait for each other then, and what they
	// measure contains their own queues.
	clientCoresShareMax = 0.90
	// hostCoresShareMax is the same for a host; higher, because what remains is
	// taken by the kernel at once when a process wants it.
	hostCoresShareMax = 0.95
	// latePublishShareMax is how many publishes may be late before the rate
	// asked for was not offered: more than one percent shows in the p99.
	latePublishShareMax = 0.01
	// readDelayShareMax is how much of a p99 may be the client's own.
	readDelayShareMax = 0.20

	// The criteria; doc.go explains them.
	connectMeanMillisMax  = 100.0
	deliveryMeanMillisMax = 500.0
	levelFactorMax        = 1.5
	levelSpareMillis      = 5.0
	levelSecondsMin       = 3

	// lineSecondsMin is how far apart lines of progress are; a little under a
	// second, as samples are not exactly a second apart.
	lineSecondsMin = 0.95
	// nameColumns is the left column of the text, as wide as its longest name;
	// textColumnsMax is what stands beside it, so that lines are short enough
	// to be read.
	nameColumns    = 12
	textColumnsMax = 92
	// barColumns is the width of the bar itself, so that its line with text
	// fits into 80 columns.
	barColumns = 10
)
