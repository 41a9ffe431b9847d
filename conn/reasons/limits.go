package reasons

// The limits of what is kept of ends, with their reasons.
const (
	// recentMax is how many closes a loop remembers, and recentChannelBytesMax how
	// much of a channel's name with each: 11 KB a loop.
	recentMax             = 64
	recentChannelBytesMax = 128
	// refusalsKept is how many refusals of a loop wait to be logged, which is done
	// every 100 ms (only with --log-level debug), refusalLineBytesMax what is shown of
	// a request line.
	refusalsKept        = 256
	refusalLineBytesMax = 200
)
