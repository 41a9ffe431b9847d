package usertcp

import "time"

// The limits of the package, with their reasons.
const (
	// ConnBytesMax is what a connection may cost: at 5,000,000 it is 80 MB.
	ConnBytesMax = 16
	// FirstPort and PortsPerSource are the ports of one source address: above
	// those on which servers of this project listen, so that nobody mixes them
	// up in a trace, and a number that divides fast.
	FirstPort      = 1 << 14
	PortsPerSource = 1<<16 - FirstPort
	// mtuBytes is Ethernet's: what clients have.
	mtuBytes = 1500
	mssBytes = mtuBytes - ipHeaderBytes - tcpHeaderBytes
	// windowBytes is the most that fits without scaling. Whatever is in order is
	// taken at once, so the window never closes.
	windowBytes = 1<<16 - 1
	// flightBytesMax bounds what one connection has sent and has not had
	// acknowledged: a request of some 4 KiB, or 100 pongs.
	flightBytesMax = 16 << 10
	// retransmitNanos is until anything is sent again; it doubles. It is the
	// initial one of RFC 6298 (2.1): nobody's round trips are measured here,
	// which would take more bytes per connection.
	retransmitNanos = int64(time.Second)
	// triesMax is how often; then the connection counts as dead, after 63 s.
	triesMax = 6
	// timersPerTickMax bounds the retransmissions and the delayed
	// acknowledgements of a turn (some 3 us each).
	timersPerTickMax = 256
	// issStep is by how much a new initial sequence number is past whatever the
	// last connection of the same ends has sent, so that a server that still has
	// that one in TIME_WAIT lets it go (RFC 6191, RFC 9293, 3.6.1).
	issStep = 1 << 17
	// packetBytesMax is what one read of the device takes, header included: TCP
	// segmentation offload hands over up to 64 KiB at once.
	packetBytesMax = 1<<16 + vnetHeaderBytes
	// txQueuePackets is the device's queue. A packet for which there is no room
	// is dropped; 16 Ki are 0.1 s of a fast server's sweep and some 16 MB.
	txQueuePackets = 1 << 14
)
