// Package pollertest is a network in memory for tests of what stands on the reactor: the
// real loop runs, one turn at a time, over connections whose other ends a test writes to
// and reads from, with a virtual clock and with faults by a seed. The same seed gives the
// same run.
//
// Engine is a poller.Engine without a kernel. poller/epoll/epolltest is a kernel for the
// real engine, in the same world.
package pollertest

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"c10m/poller"
)

// Faults are the probabilities, from 0 to 1, that a call fails where it would
// have succeeded.
type Faults struct {
	PartialWrite float64 // Send and Sendv take only a part
	SendFull     float64 // Full although there is room
	Reset        float64 // the peer is gone on Send or Recv; the connection is dead
	ShortRead    float64 // Recv gives only a part of what is there
	WaitNothing  float64 // Wait sees nothing (EINTR)

	// Of a kernel only.
	SendNoBufs   float64 // ENOBUFS
	StaleEvent   float64 // an event of a former owner of a descriptor
	AcceptEMFILE float64 // EMFILE, ENFILE, ENOBUFS or ENOMEM
	AcceptAbort  float64 // ECONNABORTED or EPROTO
	EpollNoSpace float64 // ENOSPC when a connection is added
}

// sendBufferBytes is the room in a connection for what the peer has not read.
const sendBufferBytes = 4096

// A World is the clock, the faults, and what connections do. It is not safe for
// concurrent use.
type World struct {
	Faults Faults
	// Injected counts the faults that happened, by name.
	Injected map[string]int
	// DescriptorsMax is how many descriptors, or connections, there may be.
	DescriptorsMax int
	Random         *rand.Rand

	now int64
}

// NewWorld makes a world whose faults come from seed.
func NewWorld(seed uint64) *World {
	return &World{
		Injected:       make(map[string]int),
		DescriptorsMax: 1024,
		Random:         rand.New(rand.NewPCG(seed, 1)),
		now:            int64(time.Second),
	}
}

// Now is the time, Advance moves it.
func (w *World) Now() int64              { return w.now }
func (w *World) Advance(d time.Duration) { w.now += int64(d) }

// Fails draws whether a fault happens.
func (w *World) Fails(name string, probability float64) bool {
	if probability == 0 || w.Random.Float64() >= probability {
		return false
	}
	w.Injected[name]++
	return true
}

// A Peer is the other end of a connection, in the hands of the test.
type Peer struct {
	// Address is what the server is told of it; 192.0.2.1:1 from NewPeer.
	Address netip.AddrPort

	toServer []byte // written and not yet received
	toPeer   []byte // sent and not yet read
	// FIN and RST, in both directions.
	peerClosed, serverShut, serverClosed, reset bool
}

// NewPeer is the other end of a connection that nobody has accepted.
func NewPeer() *Peer {
	return &Peer{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 1)}
}

// Write is the peer sending p.
func (p *Peer) Write(b []byte) { p.toServer = append(p.toServer, b...) }

// Read takes up to n bytes of what the server sent; n < 0 takes all.
func (p *Peer) Read(n int) []byte {
	if n < 0 || n > len(p.toPeer) {
		n = len(p.toPeer)
	}
	b := p.toPeer[:n:n]
	p.toPeer = p.toPeer[n:]
	return b
}

// Close is the peer ending its stream, Reset its breaking the connection.
func (p *Peer) Close() { p.peerClosed = true }
func (p *Peer) Reset() { p.reset = true }

// Shut is the server ending its stream, Leave its closing the connection.
func (p *Peer) Shut()  { p.serverShut = true }
func (p *Peer) Leave() { p.serverClosed = true }

// Ended reports whether the server ended its stream or closed the connection.
func (p *Peer) Ended() bool { return p.serverShut || p.serverClosed }

// Gone reports whether the server closed the connection.
func (p *Peer) Gone() bool { return p.serverClosed }

// WasReset reports whether the connection broke by a fault or by the test.
func (p *Peer) WasReset() bool { return p.reset }

// Ready is what an engine may see on the server's end.
func (p *Peer) Ready() (event poller.Event) {
	if len(p.toServer) > 0 || p.peerClosed {
		event |= poller.Readable
	}
	if p.reset {
		event |= poller.Readable | poller.HungUp
	}
	// As tcp_poll: writable from a third of free room on.
	if len(p.toPeer) <= sendBufferBytes*2/3 {
		event |= poller.Writable
	}
	return event
}

// HasEnded reports whether the peer ended its stream.
func (p *Peer) HasEnded() bool { return p.peerClosed }

// broken draws a reset and reports whether the connection is broken.
func (w *World) broken(peer *Peer) bool {
	if w.Fails("reset", w.Faults.Reset) {
		peer.reset = true
	}
	return peer.reset
}

// Recv is the server reading what the peer sent.
func (w *World) Recv(peer *Peer, p []byte) (int, poller.Status) {
	switch {
	case w.broken(peer):
		return 0, poller.Gone
	case len(peer.toServer) == 0 && peer.peerClosed:
		return 0, poller.OK
	case len(peer.toServer) == 0:
		return 0, poller.Full
	}
	if len(peer.toServer) > 1 && w.Fails("short read", w.Faults.ShortRead) {
		p = p[:min(len(p), 1+w.Random.IntN(len(peer.toServer)-1))]
	}
	n := copy(p, peer.toServer)
	peer.toServer = peer.toServer[n:]
	return n, poller.OK
}

// Send is the server sending p.
func (w *World) Send(peer *Peer, p []byte) (int, poller.Status) {
	room := sendBufferBytes - len(peer.toPeer)
	switch {
	case w.broken(peer), peer.serverShut:
		return 0, poller.Gone
	case room <= 0, w.Fails("full", w.Faults.SendFull):
		return 0, poller.Full
	}
	p = p[:min(len(p), room)]
	if len(p) > 1 && w.Fails("partial write", w.Faults.PartialWrite) {
		p = p[:1+w.Random.IntN(len(p)-1)]
	}
	peer.toPeer = append(peer.toPeer, p...)
	return len(p), poller.OK
}
