package bus

import "time"

// The limits of this package, unit last in the name, the reason beside each.
const (
	// What a loop's clients have published and the bus has not taken yet. At so
	// many messages, or so many bytes (NewUplink), they are not read from until
	// half is gone; a batch of them goes to the bus in one round trip.
	uplinkMessagesMax = 4096
	// Times these limits, messages are refused: one read brings many, and those
	// of a newcomer come with its request.
	uplinkHardFactor = 2
	// So many messages that took the long way keep clients from being read until all are
	// gone, where there is a shortcut: two batches of a client that says much at once.
	shortcutBacklogMax = 64
	// What goes to the bus at once.
	uplinkBatchMax      = 256
	uplinkBatchBytesMax = 1 << 20
	// What a message takes beside its channel and payload.
	publicationBytesExtra = 128
	// How long a publisher's key is remembered (Repeats): longer than any client of ours repeats a message,
	// and than browsers and proxies repeat a request.
	repeatsAge = 5 * time.Minute
	// The longest id of a message: a life, a hyphen, 20 digits.
	repeatIDBytesMax = 32
	// LogIntervalSecondsMin is between two log lines about the same trouble.
	LogIntervalSecondsMin = 5
	// Of a text that came over the network, in a sentence (Clip).
	clippedBytesMax = 300
)
