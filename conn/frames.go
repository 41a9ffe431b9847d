package conn

import (
	"math"
	"sync/atomic"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/walks"
	"c10m/conn/wire"

	"github.com/gobwas/ws"
)

// frames are what clients of WebSockets say, and their closing.
type frames struct {
	*Server // whose part it is

	in      wire.Inbound   // of the connection at hand if it has no cold state
	control [2 + 125]byte  // a close frame on its way out
	refused reasons.Reason // why its message was not taken
}

// webSocket is the protocol of a WebSocket of one channel: what is published to that
// comes as it is, and what the client says is published there, if it may.
var webSocket = &protocol{
	upgraded: (*Server).admitMember,
	channels: oneChannel{},
	isStream: true,
	gauges:   []func(*Stats) *atomic.Int64{openGauge},

	mayRead:      func(s *Server, fd uint32) bool { return !s.publishing.holdBack(fd) },
	readBytesMax: frameReadBytes,
	received:     receivedFrames,
	hungUp:       hungUp,
	acceptsBytes: func(s *Server, fd uint32) (int64, bool) {
		if !s.publishing.mayPublish(fd) {
			return inboundBytesMax, false
		}
		return int64(s.shared.Config.PublishBytesMax), true
	},
	message:     func(s *Server, fd uint32, bytes []byte) reasons.Reason { return s.publishing.publishOwn(fd, bytes) },
	unpublished: func(s *Server, fd uint32, _ *channel.Outcome) { s.dismiss(fd, reasons.PublishFailed) },

	ping:     pingFrames,
	notice:   noticeFrames,
	finish:   func(s *Server, fd uint32, reason reasons.Reason) { s.frames.closeFrames(fd, reason) },
	answered: func(s *Server, fd uint32, c *cold, a *channel.Answer) { s.resumer.resumed(fd, c, a) },
	gone:     func(s *Server, fd uint32, _ *channel.Answer) { s.dismiss(fd, reasons.PositionGone) },
}

func openGauge(s *Stats) *atomic.Int64 { return &s.Open }

var pingFrame = []byte{0x89, 0}

func pingFrames(s *Server, fd uint32) { s.outbox.say(fd, pingFrame) }

var noticeFrame = wire.AppendFrame(nil, ws.OpPing, []byte(walks.DrainNotice))

func noticeFrames(s *Server, fd uint32) { s.giveNotice(fd, noticeFrame) }

var closeFrames = lastWords(func(code uint16, text string) []byte { return wire.AppendClose(nil, code, text) })

// closeFrames closes a WebSocket with the code of a reason. Our side stays open until
// the client's close frame has come (RFC 6455, 7.1.1): a browser that sees the end of the
// stream before it has answered takes the close for an unclean one. Who broke the protocol
// is not listened to any more (7.1.7). It is not for the middle of a read: the parser of the
// connection may be used here.
func (s *frames) closeFrames(fd uint32, reason reasons.Reason) {
	if reason == reasons.ProtocolError || reason == reasons.InvalidUTF8 {
		s.finish(fd, reason, closeFrames[reason])
		return
	}
	if c := s.cold[fd]; c != nil { // what it says is not wanted any more
		s.inboundBytes -= c.in.KeptBytes()
		c.in.Unwant()
	}
	s.sayLast(fd, phaseClosing, reason, closeFrames[reason])
	if !s.loop.Closing(fd) {
		s.thaw(fd)
	}
}

func receivedFrames(s *Server, fd uint32, p []byte) {
	if s.loop.Record(fd).Phase == phaseClosing {
		s.frames.readClosing(fd, p)
		return
	}
	s.frames.readFrames(fd, p)
}

func (s *frames) readFrames(fd uint32, p []byte) {
	s.current = fd
	in := s.parserOf(fd)
	kept := in.KeptBytes()
	rest, fault := in.Feed(p, sink{s.Server})
	reason := reasons.OfFault[fault]
	if fault == wire.FaultRefused {
		reason = s.refused
	}
	s.inboundBytes += in.KeptBytes() - kept
	if reason == reasons.None && s.inboundBytes > s.shared.Config.InboundBytesTotal {
		reason = reasons.StateMemory
	}
	s.outbox.sayPongs()
	isKept := s.keepParser(fd, in)
	switch {
	case s.loop.Record(fd).Phase != phaseOpen: // ended by what it said
	case !isKept:
		s.finish(fd, reasons.StateMemory, closeFrames[reasons.StateMemory])
	case reason != reasons.None:
		if s.dismiss(fd, reason); s.loop.Record(fd).Phase == phaseClosing && len(rest) > 0 {
			s.readClosing(fd, rest)
		}
	}
	if !s.loop.Closing(fd) {
		s.thaw(fd)
	}
}

// parserOf returns the parser of fd: its own, or the loop's.
func (s *frames) parserOf(fd uint32) *wire.Inbound {
	if c := s.cold[fd]; c != nil {
		return &c.in
	}
	return &s.in
}

// keepParser keeps what the parser of fd stands in the middle of, and reports whether
// it can: without a place for it, the stream cannot be read on.
func (s *frames) keepParser(fd uint32, in *wire.Inbound) (kept bool) {
	if in != &s.in {
		return true
	}
	kept = in.Between() || in.IsClosed()
	if !kept && !s.loop.Closing(fd) {
		if c := s.coldOf(fd); c != nil {
			c.in, s.in = *in, wire.Inbound{}
			return true
		}
	}
	s.inboundBytes -= in.KeptBytes()
	s.in = wire.Inbound{}
	return kept
}

// frameReadBytes is how much is read from a WebSocket at once: little of what may be many
// frames, as each is work, and much of a long one.
func frameReadBytes(s *Server, fd uint32) int {
	record := s.loop.Record(fd)
	if record.Phase != phaseOpen {
		return scratchBytes
	}
	if record.Marks&markCold == 0 {
		return frameReadBytesMax
	}
	return int(min(max(s.cold[fd].in.Remaining(), frameReadBytesMax), scratchBytes))
}

// A sink takes what the connection s.current says, as long as it is open: after our close
// frame, whatever else it says than goodbye is ignored (RFC 6455, 5.5.1).
type sink struct{ *Server }

// Accepts bounds a message of a client by what becomes of it.
func (s sink) Accepts() (bytesMax int64, isWanted bool) {
	if s.loop.Record(s.current).Phase != phaseOpen {
		return math.MaxInt64, false
	}
	return s.protocolOf(s.current).acceptsBytes(s.Server, s.current)
}

// Message takes what a client says, or leaves in s.refused why it does not.
func (s sink) Message(_ ws.OpCode, payload []byte) (taken bool) {
	if s.loop.Record(s.current).Phase != phaseOpen {
		return true // a pong before it found a broken socket
	}
	s.frames.refused = s.protocolOf(s.current).message(s.Server, s.current, payload)
	return s.frames.refused == reasons.None
}

// Ping answers with the same payload (RFC 6455, 5.5.3), in one write with the other pongs
// to this read.
func (s sink) Ping(payload []byte) {
	if s.loop.Record(s.current).Phase != phaseOpen {
		return
	}
	if c := s.cold[s.current]; c != nil && len(c.owed) > owedBytesMax {
		s.stats.PongsDropped.Add(1)
		return
	}
	if len(s.outbox.pongs)+2+len(payload) > pongBatchBytesMax {
		s.outbox.sayPongs()
	}
	s.stats.Pongs.Add(1)
	s.outbox.pongs = wire.AppendFrame(s.outbox.pongs, ws.OpPong, payload)
}

func (s sink) Pong() {
	if s.loop.Record(s.current).Phase == phaseOpen {
		s.stats.PongsIn.Add(1)
	}
}

// Closed answers a close frame with its code and closes (RFC 6455, 5.5.1 and 7.1.1).
func (s sink) Closed(code uint16) {
	fd := s.current
	if s.loop.Record(fd).Phase != phaseOpen {
		return
	}
	if s.outbox.sayPongs(); s.loop.Record(fd).Phase != phaseOpen {
		return
	}
	answer := wire.AppendFrame(s.frames.control[:0], ws.OpClose, nil)
	if code != 0 {
		answer = wire.AppendFrame(s.frames.control[:0], ws.OpClose, []byte{byte(code >> 8), byte(code)})
	}
	if s.sayLast(fd, phaseLingering, reasons.ClientClosed, answer) {
		s.end(fd, reasons.ClientClosed)
	}
}
