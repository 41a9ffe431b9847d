package redisbus

import (
	"context"
	"time"

	"c10m/channel"
)

// A Door is the way into the loops. channel.Hub is one; tests bring their own.
// The bus calls it from many goroutines at once.
type Door interface {
	// Publish hands a message to the loops and copies what it keeps: both
	// slices are the caller's again on return. Two calls from one goroutine
	// arrive in call order. It may block, which is the backpressure of the
	// loops on the publishers. An error means that nobody gets the message;
	// its text is shown to the publisher.
	Publish(channel, payload []byte) (*channel.Receipt, error)
	// Count returns the number of WebSocket connections here of each channel,
	// in the order asked.
	Count(channels []string) []int
	// Channels lists channels with at least one WebSocket connection for which
	// match returns true, at most max of them. match keeps nothing, never
	// blocks, and takes time linear in the name's length.
	Channels(match func(name string) bool, max int) []string
}

// A Bus is what main and admin see of either way in. All methods may be called
// from any goroutine.
type Bus interface {
	Publishable
	// Health is a snapshot of whether published messages reach this server.
	Health() Health
	// Stats is a snapshot of the counters, read one by one.
	Stats() Stats
	// Close ends the bus and waits for its goroutines until ctx is done, whose
	// error it then returns. A second call does nothing.
	Close(ctx context.Context) error
}

// Health says whether a message published now reaches this server's clients.
type Health struct {
	// Up is true while the bus is known to work.
	Up bool
	// Since is when Up last changed.
	Since time.Time
	// Reason is one sentence for the operator. Empty while up.
	Reason string
	// Gaps counts the times that the subscription was, or may have been,
	// interrupted after it had been up. Redis cannot say what was lost.
	Gaps uint64
	// GapFrom and GapTo bound the latest gap: the last sign of life before it,
	// and the confirmed subscription after it. Messages published between them
	// may be lost. GapTo is zero while the gap is open; both are without one.
	GapFrom, GapTo time.Time
}

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

	// Peers and Subscriptions are gauges: RESP connections and their
	// subscriptions of all kinds. QueuedBytes is a gauge of what waits for them.
	Peers, Subscriptions, QueuedBytes int64
	// PeersAccepted counts RESP connections, refused ones included.
	PeersAccepted uint64
	// PeersClosed counts RESP connections that ended, by reason. Every reason
	// is present, also at zero.
	PeersClosed map[string]uint64
	// SubscribersLagged counts RESP subscribers that were disconnected because
	// they did not read fast enough. It is PeersClosed["lagged"].
	SubscribersLagged uint64
	// Commands counts RESP commands, unknown ones included.
	Commands uint64
	// ProtocolErrors, AuthFailures and AcceptErrors count what their names say.
	ProtocolErrors, AuthFailures, AcceptErrors uint64

	// Reconnects counts confirmed subscriptions after the first, Gaps is as in
	// Health, ProbesLost counts probes that did not come back in time.
	Reconnects, Gaps, ProbesLost uint64
	// ProbeRoundTripSeconds is a gauge: how long the last probe that came back
	// took. Zero before the first, and always with the embedded bus.
	ProbeRoundTripSeconds float64
}

// reservedPrefix begins the channels that the servers keep for themselves. No
// WebSocket client may subscribe to one (its path would be the server's own
// page), so nothing published there is handed to the Door.
const reservedPrefix = "-/"

// probePrefix begins the channel on which one server hears itself.
const probePrefix = reservedPrefix + "c10m/probe/"

// serverName is what INFO and HELLO say, and how a second server recognises
// the owner of a port that is taken.
const serverName = "10m-server"

func isReserved[T string | []byte](channel T) bool {
	return len(channel) >= 2 && channel[0] == reservedPrefix[0] && channel[1] == reservedPrefix[1]
}
