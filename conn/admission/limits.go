package admission

import "time"

// The limits of the room, with their reasons.
const (
	// protocolLinesMax is how many lines of Sec-WebSocket-Protocol a request may have;
	// everybody writes one.
	protocolLinesMax = 8
	// tokenNanosPerTurnMax is when a turn has verified enough tokens (0.06 ms
	// each if their keys are public ones): newcomers wait for the next one, as
	// a storm of bad signatures must not cost those already connected more
	// than the accepts of a turn do.
	tokenNanosPerTurnMax = int64(500 * time.Microsecond)
)
