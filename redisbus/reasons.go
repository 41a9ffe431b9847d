package redisbus

// A closeReason says why a RESP peer's connection ended. Each has a counter.
type closeReason int32

const (
	closeNone closeReason = iota // still open
	closeEOF
	closeReadError
	closeWriteError
	closeWriteStalled
	closeQuit
	closeLagged
	closeProtocolError
	closeHTTP
	closeAuthTimeout
	closeAuthFailures // too many wrong passwords
	closePeersMax
	closeEvicted // silent, when all places were taken
	closeShutdown
	closeReasons // how many
)

var closeReasonNames = [closeReasons]string{
	closeNone:          "open",
	closeEOF:           "eof",
	closeReadError:     "read_error",
	closeWriteError:    "write_error",
	closeWriteStalled:  "write_stalled",
	closeQuit:          "quit",
	closeLagged:        "lagged",
	closeProtocolError: "protocol_error",
	closeHTTP:          "http",
	closeAuthTimeout:   "auth_timeout",
	closeAuthFailures:  "auth_failures",
	closePeersMax:      "peers_max",
	closeEvicted:       "evicted",
	closeShutdown:      "shutdown",
}

func (r closeReason) String() string { return closeReasonNames[r] }

// closed are the numbers of connections that ended, by reason.
func closed(count func(closeReason) uint64) map[string]uint64 {
	all := make(map[string]uint64, closeReasons)
	for reason := closeNone + 1; reason < closeReasons; reason++ {
		all[reason.String()] = count(reason)
	}
	return all
}
