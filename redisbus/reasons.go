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

// A dropReason says why a message that reached the bus did not reach the Door's
// clients. Each has a counter.
type dropReason int32

const (
	// The Door returned an error, as for a payload that is too big.
	dropRefused dropReason = iota
	dropReasons            // how many
)

var dropReasonNames = [dropReasons]string{
	dropRefused: "refused",
}

func (r dropReason) String() string { return dropReasonNames[r] }

// A publishFailure says why a message of a client was not published, or is not known
// to be. Each has a counter.
type publishFailure int32

const (
	// Health was red: nobody here would hear it.
	publishDown publishFailure = iota
	// No connection was to be had: a dial, a password, TLS, all busy.
	publishUnreached
	// The bus said no, as with NOPERM, or for a payload that is too big.
	publishRefused
	// The Redis is a replica.
	publishReplica
	// It was sent, and the answer is missing or says nothing.
	publishUnconfirmed
	publishFailures // how many
)

var publishFailureNames = [publishFailures]string{
	publishDown:        "bus_down",
	publishUnreached:   "unreached",
	publishRefused:     "refused",
	publishReplica:     "replica",
	publishUnconfirmed: "unconfirmed",
}

func (r publishFailure) String() string { return publishFailureNames[r] }
