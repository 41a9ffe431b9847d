package conn

import (
	"sync/atomic"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"
)

// protocols is the table of what connections may speak; Record.Marks has the index. A
// new protocol is a line here, a file that has its value, and a codec in conn/wire:
// nobody else asks for one by name (TestProtocolsAreAskedNothingByName).
var protocols []*protocol

func init() {
	protocols = []*protocol{
		plainHTTP, // the first, as whose value a blank record has it
		webSocket,
		twoWayProtocol,
		eventStream,
		longPoll,
	}
	if len(protocols) > 1<<(8-protocolShift) {
		panic("BUG: the bits of Record.Marks do not hold so many protocols")
	}
	next := channel.Framed + 1
	for i, p := range protocols {
		p.number = uint8(i)
		if len(p.shapes) > 0 {
			p.format = next
			next += channel.Format(len(p.shapes))
		}
		if p.subprotocol != "" {
			subprotocols = append(subprotocols, p.subprotocol)
		}
		if p.tag != 0 {
			firsts[p.tag] = p
		}
	}
}

// wire knows channels by the length of their names alone.
var _ = [1]struct{}{}[wire.NameBytesMax-channel.NameBytesMax]

// HubConfig is the configuration of a hub whose members are connections of this
// package: how its messages look in each format. now is the clock of the loops.
func HubConfig(mode wire.FrameMode, payloadBytesMax int, now func() int64) channel.HubConfig {
	config := channel.HubConfig{Frame: mode.Frame, PayloadBytesMax: payloadBytesMax, Now: now}
	for _, p := range protocols {
		for i, shape := range p.shapes {
			config.Formats[p.format+channel.Format(i)] = shape(mode)
		}
	}
	return config
}

// subprotocols are those that an upgrade may choose, firsts what a newcomer speaks, by
// the tag of his listener.
var (
	subprotocols []string
	firsts       [1 << 8]*protocol
)

// The tags of listeners, which say what is spoken there from the first byte on.
const (
	_ poller.Tag = iota
	TagHTTP
)

// A protocol is what differs between connections that speak differently. All functions
// are called on the loop's thread. One that is nil is never asked for, or, where that is
// said, has nothing to do.
type protocol struct {
	number uint8 // its index

	// tag is of the listeners where everybody speaks it at first; 0: there are none, and
	// a request chooses it.
	tag poller.Tag
	// How a request does. Either it has a subprotocol (RFC 6455, 1.9; the plain
	// WebSocket has upgraded alone), or answers says that a GET or HEAD that is no upgrade
	// asks for it, and begin answers that.
	subprotocol string
	isRootFree  bool // an upgrade of / is good, and names no channel
	upgraded    func(s *Server, p *protocol, fd uint32, n *newcomer)
	answers     func(h *wire.Head) bool
	begin       func(s *Server, p *protocol, fd uint32, h *wire.Head, rest []byte) verdict

	// shapes are how its messages look: formats of which format is the first. One that
	// has none gets frames as they are (channel.Framed).
	shapes []func(wire.FrameMode) channel.Shape
	format channel.Format
	// channels is how a connection is a member.
	channels subscriptions
	// isStream: it gets message after message, and is not over with the first.
	isStream bool
	// gauges count those in phaseOpen.
	gauges []func(*Stats) *atomic.Int64
	// repliesBytesMax is how much of our words may wait for room; 0: they are control
	// frames, which say bounds by owedBytesMax.
	repliesBytesMax int

	// mayRead reports whether to read now from who has something to be read. If not,
	// it has seen to it that the loop hears of the rest.
	mayRead func(s *Server, fd uint32) bool
	// readBytesMax is how much is read at once.
	readBytesMax func(s *Server, fd uint32) int
	// received takes what was read, which is lent.
	received func(s *Server, fd uint32, p []byte)
	// hungUp is the reason for which a connection ends whose client has ended its side,
	// or, if isReset, broke it off.
	hungUp func(s *Server, fd uint32, isReset bool) reasons.Reason

	// acceptsBytes says how long a message may be, and whether it is wanted; message
	// takes one.
	acceptsBytes func(s *Server, fd uint32) (bytesMax int64, isWanted bool)
	message      func(s *Server, fd uint32, payload []byte) reasons.Reason
	// published tells what became of a message that waits for Published, unpublished of
	// one that does not and was lost.
	published   func(s *Server, fd uint32, o *channel.Outcome)
	unpublished func(s *Server, fd uint32, o *channel.Outcome)

	// ping says that the server is there; nil: nobody is pinged. The socket has room.
	ping func(s *Server, fd uint32)
	// notice tells that a drain will end the connection soon.
	notice func(s *Server, fd uint32)
	// finish ends it, with the last words that it has for the reason.
	finish func(s *Server, fd uint32, reason reasons.Reason)
	// answered takes the history's answer, gone tells that a position cannot be
	// continued; a is nil where there is no history.
	answered func(s *Server, fd uint32, c *cold, a *channel.Answer)
	gone     func(s *Server, fd uint32, a *channel.Answer)
	// started tells who asked for what is kept, and has no position, where that begins;
	// nil: it is not told.
	started func(s *Server, fd uint32, a *channel.Answer)
}

// A newcomer is whose upgrade was found good.
type newcomer struct {
	channel  []byte // empty if it names none
	grant    access.Grant
	response []byte
	since    []byte // where it continues; empty if it begins now
}

// subscriptions are how a connection is a member of its channels: oneChannel or
// manyChannels.
type subscriptions interface {
	// midFrame reports whether a channel's frame is partly in the socket.
	midFrame(s *Server, fd uint32) bool
	// hold keeps it from being given another frame and returns the rest of the one that
	// is partly in the socket (channel.Registry.Hold), release ends that.
	hold(s *Server, fd uint32) (rest []byte)
	release(s *Server, fd uint32)
	// writable goes on where the socket was full; nothing is owed.
	writable(s *Server, fd uint32)
	// flush makes the writes now that would have to wait for sweeps, one for each channel,
	// and reports whether all is written then (channel.Registry.Flush).
	flush(s *Server, fd uint32) (isWhole bool)
	// isBlocked reports whether it is behind because its socket was full.
	isBlocked(s *Server, fd uint32) bool
	// isUntold reports whether it is untold of an interruption.
	isUntold(s *Server, fd uint32) bool
	// memberIn returns as which member it is in the channel with this number
	// (channel.Registry.Find).
	memberIn(s *Server, fd, number uint32) (n uint32, isIn bool)
	// leave ends all memberships: nothing more is due but what is owed.
	leave(s *Server, fd uint32)
}

// protocolOf is what the connection of a record speaks.
func protocolOf(record *poller.Record) *protocol { return protocols[record.Marks>>protocolShift] }

func (s *Server) protocolOf(fd uint32) *protocol { return protocolOf(s.loop.Record(fd)) }

// speak has fd, which is not in phaseOpen, speak another protocol from now on.
func (s *Server) speak(fd uint32, p *protocol) {
	record := s.loop.Record(fd)
	record.Marks = record.Marks&(1<<protocolShift-1) | p.number<<protocolShift
}

// oneChannel: the connection is the member, in the room of its record.
type oneChannel struct{}

func (oneChannel) midFrame(s *Server, fd uint32) bool        { return s.registry.MidFrame(fd) }
func (oneChannel) hold(s *Server, fd uint32) (rest []byte)   { return s.registry.Hold(fd) }
func (oneChannel) isBlocked(s *Server, fd uint32) bool       { return s.registry.Blocked(fd) }
func (oneChannel) isUntold(s *Server, fd uint32) bool        { return s.registry.Untold(fd) }
func (oneChannel) flush(s *Server, fd uint32) (isWhole bool) { return s.registry.Flush(fd) }
func (oneChannel) leave(s *Server, fd uint32)                { s.registry.Unsubscribe(fd) }

func (oneChannel) memberIn(s *Server, fd, number uint32) (n uint32, isIn bool) {
	return fd, s.registry.IsMember(fd, number)
}

func (oneChannel) release(s *Server, fd uint32) {
	if c := s.cold[fd]; c.continues() {
		s.resumer.writeBacklog(fd, c)
		return
	}
	s.thaw(fd)
	s.registry.Release(fd)
}

func (oneChannel) writable(s *Server, fd uint32) {
	if c := s.cold[fd]; c.continues() {
		s.resumer.writeBacklog(fd, c)
		return
	}
	s.registry.Writable(fd)
}
