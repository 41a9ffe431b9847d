package channel

import (
	"sync/atomic"

	"c10m/poller"
)

// Stats are the counters of one loop's registry. The loop writes them, anybody
// may read them.
type Stats struct {
	Channels   atomic.Int64 // with at least one member
	Members    atomic.Int64
	Logs       atomic.Int64 // channels that owe something now
	LogBytes   atomic.Int64 // what their messages cost (Message.cost)
	Blocked    atomic.Int64 // members behind because their socket is full
	Messages   atomic.Uint64
	Unwanted   atomic.Uint64 // messages that came when the last member had just left
	Deliveries atomic.Uint64 // frames that went whole into a socket
	Bytes      atomic.Uint64 // bytes that went into sockets
	Writes     atomic.Uint64 // system calls for them
	Batches    atomic.Uint64 // those that carried more than one frame
	Overruns   [causes]atomic.Uint64
	Skipped    atomic.Uint64 // frames that a slow member was not given (slow=skip)
	Passed     atomic.Uint64 // frames that an untold member was not given, as they came after an interruption
	Lag        poller.Histogram

	PresenceUnnamed atomic.Uint64 // the same, since presence: and the channel's name are too long for a name
	PresenceDropped atomic.Uint64 // members that came or left and are not told of, since too many channels changed
}

// Cause is why a slow member lost its place in the log.
type Cause uint8

const (
	// OverBytes: the channel's log was longer than Config.LogBytes.
	OverBytes Cause = iota
	// OverAge: its oldest frame was older than Config.LogAge.
	OverAge
	// OverTotal: all logs of the loop together were longer than
	// Config.LogBytesTotal.
	OverTotal

	causes
)

func (c Cause) String() string { return [causes]string{"log_bytes", "log_age", "log_bytes_total"}[c] }
