package conn

import (
	"c10m/conn/backlog"
	"c10m/conn/members"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"
)

// An outbox is what the server itself says to connections, in whole words and behind the
// frames that are partly in their sockets.
type outbox struct {
	*Server // whose part it is

	owedBytes int // held in cold.owed, all together
	pins      backlog.Pins
	pongs     []byte // answers to the pings and commands of the read at hand
}

// owe makes a connection owe the rest of a frame (empty is nothing), and ends
// the connection if all that are owed so are too much.
func (s *outbox) owe(fd uint32, c *cold, rest []byte) {
	if len(rest) == 0 {
		return
	}
	c.owedFrame = rest
	s.pins.Add(rest)
	s.boundPins(fd)
}

func (s *outbox) boundPins(fd uint32) {
	if s.pins.Bytes() > s.shared.Config.Channel.LogBytesTotal {
		s.end(fd, reasons.SlowTotal)
	}
}

func (s *outbox) unpin(c *cold) {
	if len(c.owedFrame) > 0 {
		s.pins.Remove(c.owedFrame)
		c.owedFrame = nil
	}
}

// sayPongs writes the pongs that were collected for the connection s.current.
func (s *outbox) sayPongs() {
	if len(s.pongs) > 0 && s.loop.Record(s.current).Phase == phaseOpen {
		s.say(s.current, s.pongs)
	}
	s.pongs = s.pongs[:0]
}

// say writes bytes of our own (never a channel's frame) to fd: at once if no
// frame is partly in the socket and nothing is owed, else behind that.
func (s *outbox) say(fd uint32, words []byte) {
	c, p := s.cold[fd], s.protocolOf(fd)
	if !c.owes() {
		if !p.channels.midFrame(s.Server, fd) {
			n, status := s.loop.Send(fd, poller.Words(words))
			if status.IsEnd() {
				s.end(fd, reasonOf(status))
				return
			}
			if words = words[n:]; len(words) == 0 {
				return
			}
		}
		if c = s.coldOrEnd(fd); c == nil {
			return
		}
		s.owe(fd, c, p.channels.hold(s.Server, fd))
		s.loop.ArmWrite(fd, true)
	}
	c.owed = append(c.owed, words...)
	s.owedBytes += len(words)
	replies := p.repliesBytesMax
	if replies > 0 && len(c.owed) > replies || (replies > 0 || len(words) > owedBytesMax) && s.owedBytes > owedBytesTotalMax {
		s.end(fd, reasons.StateMemory)
	}
}

// writable continues with what is owed, first the rest of a frame, then our
// own words, then the channel's log.
func (s *outbox) writable(fd uint32) {
	c, channels := s.cold[fd], s.protocolOf(fd).channels
	if !c.owes() {
		channels.writable(s.Server, fd)
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
		s.end(fd, reasons.None)
		return
	case phase == phaseClosing:
		s.loop.ArmWrite(fd, false)
		s.thaw(fd)
		return
	}
	channels.release(s.Server, fd)
	if s.loop.Record(fd).Phase == phaseAnswer {
		s.exchange.continueRequests(fd)
	}
}

// settle writes what is owed and reports whether that is done.
func (s *outbox) settle(fd uint32, owed *[]byte) bool {
	for len(*owed) > 0 {
		n, status := s.loop.Send(fd, poller.Words(*owed))
		if status != poller.OK {
			if status.IsEnd() {
				s.end(fd, reasonOf(status))
			}
			return false
		}
		*owed = (*owed)[n:]
	}
	return true
}

// A socket is the registry's channel.Socket.
type socket struct {
	members.Table
	server *Server
}

func (s *Server) isFree(fd uint32) bool {
	record := s.loop.Record(fd)
	return record.Phase == phaseOpen && (record.Marks&markCold == 0 || !s.cold[fd].owes())
}

// Respond writes an answer that polls share to one of them, and returns how much of it
// went. Where it has to differ, a copy goes, and what is left of that is owed.
func (t *socket) Respond(fd uint32, answer []byte) (int, poller.Status) {
	s := t.server
	c := s.cold[fd]
	if c == nil || len(c.origin) == 0 && !c.isHead {
		return t.Loop.Send(fd, poller.Piece{Frame: answer, IsShared: true})
	}
	s.exchange.dressing = wire.AppendDressed(s.exchange.dressing[:0], wire.AnswerTo(c.isHead, answer), nil, c.origin)
	n, status := t.Loop.Send(fd, poller.Words(s.exchange.dressing))
	if status.IsEnd() {
		return 0, status
	}
	if rest := s.exchange.dressing[n:]; len(rest) > 0 {
		c.owed = append(c.owed, rest...)
		s.outbox.owedBytes += len(rest)
		t.Loop.ArmWrite(fd, true)
	}
	return len(answer), poller.OK
}
