package conn

import (
	"c10m/conn/wire"
	"c10m/poller"

	"github.com/gobwas/ws"
)

// readFrames feeds a client's bytes to its inbound stream.
func (s *Server) readFrames(fd uint32, p []byte) {
	s.current = fd
	in := &s.in
	if c := s.cold[fd]; c != nil {
		in = &c.in
	}
	kept := in.KeptBytes()
	rest, fault := in.Feed(p, sink{s})
	reason := s.faultReason(fault)
	s.inboundBytes += in.KeptBytes() - kept
	if reason == reasonNone && s.inboundBytes > s.shared.Config.InboundBytesTotal {
		reason = StateMemory
	}
	s.sayPongs()
	isKept := s.keepParser(fd, in)
	switch {
	case s.loop.Record(fd).Phase != phaseOpen: // ended by what it said
	case !isKept:
		s.finish(fd, StateMemory, s.lastWords(fd, StateMemory))
	case reason != reasonNone:
		if s.finishCode(fd, reason); s.loop.Record(fd).Phase == phaseClosing && len(rest) > 0 {
			s.readClosing(fd, rest)
		}
	}
	if !s.loop.Closing(fd) {
		s.thaw(fd)
	}
}

// keepParser keeps what the parser of fd stands in the middle of, and reports whether
// it can: without a place for it, the stream cannot be read on.
func (s *Server) keepParser(fd uint32, in *wire.Inbound) (kept bool) {
	if in != &s.in {
		return true
	}
	if !in.Between() && !in.IsClosed() && !s.loop.Closing(fd) {
		if c := s.coldOf(fd); c != nil {
			c.in, s.in = *in, wire.Inbound{}
			return true
		}
	}
	kept = in.Between() || in.IsClosed()
	s.inboundBytes -= in.KeptBytes()
	s.in = wire.Inbound{}
	return kept
}

// readBytesMax is how much is read from fd at once: little of what may be many frames,
// as each is work, and much of a long one.
func (s *Server) readBytesMax(fd uint32) int {
	record := s.loop.Record(fd)
	if record.Phase != phaseOpen {
		return scratchBytes
	}
	if record.Marks&markCold == 0 {
		return frameReadBytesMax
	}
	return int(min(max(s.cold[fd].in.Remaining(), frameReadBytesMax), scratchBytes))
}

// A sink takes what the connection s.current says.
type sink struct{ *Server }

// Ping answers with the same payload (RFC 6455, 5.5.3). Pongs are collected in
// a buffer that the loop reuses, so that a read full of pings, of which it holds
// ten thousand, is not ten thousand writes.
func (s sink) Ping(payload []byte) {
	if s.loop.Record(s.current).Phase != phaseOpen {
		return
	}
	if c := s.cold[s.current]; c != nil && len(c.owed) > owedBytesMax {
		s.stats.PongsDropped.Add(1)
		return
	}
	if len(s.pongs)+2+len(payload) > pongBatchBytesMax {
		s.sayPongs()
	}
	s.stats.Pongs.Add(1)
	s.pongs = wire.AppendFrame(s.pongs, ws.OpPong, payload)
}

// sayPongs writes the pongs that were collected for the connection s.current.
func (s *Server) sayPongs() {
	if len(s.pongs) > 0 && s.loop.Record(s.current).Phase == phaseOpen {
		s.say(s.current, s.pongs)
	}
	s.pongs = s.pongs[:0]
}

func (s sink) Pong() { s.stats.PongsIn.Add(1) }

// Closed answers a close frame with its code and closes (RFC 6455, 5.5.1 and
// 7.1.1: the server is the first to close the TCP connection). Nothing but the
// end of its stream can come from the client any more.
func (s sink) Closed(code uint16) {
	fd := s.current
	if s.loop.Record(fd).Phase != phaseOpen {
		return
	}
	if s.sayPongs(); s.loop.Record(fd).Phase != phaseOpen {
		return
	}
	answer := wire.AppendFrame(s.control[:0], ws.OpClose, nil)
	if code != 0 {
		answer = wire.AppendFrame(s.control[:0], ws.OpClose, []byte{byte(code >> 8), byte(code)})
	}
	if s.sayLast(fd, phaseLingering, ClientClosed, answer) {
		s.end(fd, ClientClosed)
	}
}

// say writes bytes of our own (never a channel's frame) to fd: at once if no
// frame is partly in the socket and nothing is owed, else behind that.
func (s *Server) say(fd uint32, p []byte) {
	c := s.cold[fd]
	if c == nil || !c.owes() {
		if !s.midFrame(fd) {
			n, errno := s.loop.Send(fd, p)
			if errno != 0 && !poller.WouldBlock(errno) {
				s.end(fd, errnoReason(errno))
				return
			}
			if errno == 0 {
				p = p[n:]
			}
			if len(p) == 0 {
				return
			}
		}
		if c = s.coldOf(fd); c == nil {
			s.end(fd, StateMemory)
			return
		}
		s.owe(fd, c, s.holdFrame(fd))
		s.loop.ArmWrite(fd, true)
	}
	c.owed = append(c.owed, p...)
	s.owedBytes += len(p)
	isTwoWay := s.isTwoWay(fd)
	if isTwoWay && len(c.owed) > repliesBytesMax || (isTwoWay || len(p) > owedBytesMax) && s.owedBytes > owedBytesTotalMax {
		s.end(fd, StateMemory)
	}
}

// writable continues with what is owed, first the rest of a frame, then our
// own words, then the channel's log.
func (s *Server) writable(fd uint32) {
	c := s.cold[fd]
	if c == nil || !c.owes() {
		switch {
		case s.isTwoWay(fd):
			s.serveMembers(fd)
		case c != nil && c.resume != nil:
			s.writeBacklog(fd, c)
		default:
			s.registry.Writable(fd)
		}
		return
	}
	if len(c.owedFrame) > 0 {
		rest := c.owedFrame
		if !s.settle(fd, &rest) {
			c.owedFrame = rest
			return
		}
		s.unpin(c)
	}
	owed := len(c.owed)
	isDone := s.settle(fd, &c.owed)
	s.owedBytes -= owed - len(c.owed)
	if !isDone {
		return
	}
	c.owed = nil
	switch phase := s.loop.Record(fd).Phase; {
	case phase == phaseLingering:
		s.loop.ArmWrite(fd, false)
		s.stopListening(fd)
		return
	case phase == phaseClosing && c.in.IsClosed(): // the client was the first to say it
		s.end(fd, reasonNone)
		return
	case phase == phaseClosing:
		s.loop.ArmWrite(fd, false)
		s.thaw(fd)
		return
	}
	if c.resume != nil && !s.isTwoWay(fd) {
		s.writeBacklog(fd, c)
		return
	}
	s.thaw(fd)
	s.release(fd)
	if s.loop.Record(fd).Phase == phaseAnswer {
		s.continueRequests(fd)
	}
}

// settle writes what is owed and reports whether that is done.
func (s *Server) settle(fd uint32, owed *[]byte) bool {
	for len(*owed) > 0 {
		n, errno := s.loop.Send(fd, *owed)
		if errno != 0 {
			if !poller.WouldBlock(errno) {
				s.end(fd, errnoReason(errno))
			}
			return false
		}
		*owed = (*owed)[n:]
	}
	return true
}
