package walks

import "time"

// The limits of the room, with their reasons.
const (
	// drainNotice is how long before its close a drain tells a connection: time
	// for its client to resolve, connect, shake hands and be let in.
	drainNotice = 5 * time.Second
	// duePerSecondMax and dueMax, at once, bound those of a loop who are
	// told of a gap out of turn, as a message was due to them: as many connect anew.
	duePerSecondMax = 1000
	dueMax          = 256
)
