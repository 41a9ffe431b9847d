package bus

import "sync/atomic"

// Stats are counters since the start, and gauges where a comment says so.
type Stats struct {
	// MessagesIn and BytesIn (bytes of payload) count what was handed to the
	// Door, refused messages included.
	MessagesIn, BytesIn uint64
	// ReservedIn counts messages on the reserved channels, which the Door
	// never sees.
	ReservedIn uint64
	// Dropped counts messages that reached the bus and not the clients, by
	// reason. Every reason is present, also at zero.
	Dropped map[string]uint64
	// Unpublished counts messages of clients (PublishBatch) that the bus did not
	// take, or did not say that it took, by reason. Every reason is present.
	Unpublished map[string]uint64

	// Of a driver that subscribes at a broker. Reconnects counts confirmed
	// subscriptions after the first, Gaps is as in Health, ProbesLost counts probes
	// that did not come back in time.
	Reconnects, Gaps, ProbesLost uint64
	// ProbeRoundTripSeconds is a gauge: how long the last probe that came back
	// took. Zero before the first, and always where there are none.
	ProbeRoundTripSeconds float64

	PeerStats
}

// PeerStats are of the RESP connections to this server, all zero where the driver
// takes none.
type PeerStats struct {
	// Peers and Subscriptions are gauges: RESP connections and their
	// subscriptions of all kinds. QueuedBytes is a gauge of what waits for them.
	Peers, Subscriptions, QueuedBytes int64
	// PeersAccepted counts RESP connections, refused ones included.
	PeersAccepted uint64
	// PeersClosed counts RESP connections that ended, by reason. Every reason
	// is present, also at zero.
	PeersClosed map[string]uint64
	// Commands counts RESP commands, unknown ones included.
	Commands uint64
	// ProtocolErrors, AuthFailures and AcceptErrors count what their names say.
	ProtocolErrors, AuthFailures, AcceptErrors uint64
}

// A DropReason says why a message that reached the bus did not reach the Door's
// clients. Each has a counter.
type DropReason int32

const (
	// The Door returned an error, as for a payload that is too big.
	DropRefused DropReason = iota
	DropReasons            // how many
)

var dropReasonNames = [DropReasons]string{
	DropRefused: "refused",
}

func (r DropReason) String() string { return dropReasonNames[r] }

// A PublishFailure says why a message of a client was not published, or is not known
// to be. Each has a counter.
type PublishFailure int32

const (
	// Health was red: nobody here would hear it.
	PublishDown PublishFailure = iota
	// No connection was to be had: a dial, a password, TLS, all busy.
	PublishUnreached
	// The bus said no, as with NOPERM, or for a payload that is too big.
	PublishRefused
	// The member of the bus that was asked is a replica.
	PublishReplica
	// It was sent, and the answer is missing or says nothing.
	PublishUnconfirmed
	PublishFailures // how many
)

var publishFailureNames = [PublishFailures]string{
	PublishDown:        "bus_down",
	PublishUnreached:   "unreached",
	PublishRefused:     "refused",
	PublishReplica:     "replica",
	PublishUnconfirmed: "unconfirmed",
}

func (r PublishFailure) String() string { return publishFailureNames[r] }

// Counters are those that every driver has. All are atomic.
type Counters struct {
	Messages, Bytes, Reserved atomic.Uint64
	Dropped                   [DropReasons]atomic.Uint64
	Unpublished               [PublishFailures]atomic.Uint64
}

// Stats is a snapshot of them; the driver adds its own.
func (c *Counters) Stats() Stats {
	s := Stats{
		MessagesIn:  c.Messages.Load(),
		BytesIn:     c.Bytes.Load(),
		ReservedIn:  c.Reserved.Load(),
		Dropped:     make(map[string]uint64, DropReasons),
		Unpublished: make(map[string]uint64, PublishFailures),
	}
	for reason := range DropReasons {
		s.Dropped[reason.String()] = c.Dropped[reason].Load()
	}
	for reason := range PublishFailures {
		s.Unpublished[reason.String()] = c.Unpublished[reason].Load()
	}
	return s
}
