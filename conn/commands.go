package conn

import (
	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"

	"github.com/gobwas/ws"
)

// What becomes of the commands of a two-way connection (wire.Command). A command that
// cannot be done is answered and costs the client nothing else: only what breaks
// WebSocket, or this server's limits, ends the connection.

// named is the shape of a delivery that says of which channel it is.
func named(mode wire.FrameMode) channel.Shape {
	return channel.Shape{Encode: func(m *channel.Message) []byte {
		var room [wire.IDBytesMax]byte
		return mode.NamedFrame(m.Name(), m.AppendID(room[:0]), m.Payload())
	}}
}

func (s *twoWays) command(fd uint32, message []byte) reasons.Reason {
	c, refusal := wire.ParseCommand(message, s.nameScratch[:0], channel.ValidName)
	s.stats.Commands.Add(1)
	if refusal == nil {
		switch c.Verb {
		case "PUB":
			refusal = s.pub(fd, &c)
		case "SUB":
			refusal = s.sub(fd, &c)
		case "UNSUB":
			refusal = s.unsub(fd, &c)
		case "PING":
			s.outbox.reply([]byte(wire.ReplyPong))
		}
	}
	if refusal != nil {
		s.stats.CommandsRefused.Add(1)
		s.outbox.reply(wire.AppendErr(s.replyScratch[:0], c.Verb, c.Name, c.Key, refusal))
	}
	return reasons.None
}

// pub publishes. Without a key it is answered only if it fails.
func (s *twoWays) pub(fd uint32, c *wire.Command) *wire.CommandError {
	switch {
	case s.publisher == nil:
		return wire.ErrPushOnly
	case !s.publishing.mayPublish(fd), !s.allows(fd, c.Name, true):
		return wire.ErrNotAllowed
	case len(c.Payload) > s.shared.Config.PublishBytesMax:
		return wire.ErrTooBig
	case len(c.Key) == 0 && !s.publisher.Publish(s.identityOf(fd), c.Name, c.Payload),
		len(c.Key) > 0 && !s.pubAnswered(fd, c):
		return wire.ErrOverload
	}
	s.stats.Published.Add(1)
	return nil
}

// pubAnswered is pub with a key.
func (s *twoWays) pubAnswered(fd uint32, c *wire.Command) (taken bool) {
	if s.publishing.isQuiet() {
		if o, ok := s.publishing.publishNow(c.Name, c.Key, c.Payload); ok {
			s.answerPub(fd, &o)
			return true
		}
	}
	return s.publishing.publishAnswered(fd, c.Name, c.Key, c.Payload)
}

// answerPub tells a client what became of its message: always if it gave it a key, else
// only if it failed. The caller says what is said with sayPongs.
func (s *twoWays) answerPub(fd uint32, o *channel.Outcome) {
	s.current = fd
	if o.Fate == channel.FatePublished {
		s.outbox.reply(wire.AppendPubOK(s.replyScratch[:0], o.Channel, o.Key, o.ID))
		return
	}
	s.stats.CommandsRefused.Add(1)
	s.outbox.reply(wire.AppendErr(s.replyScratch[:0], "PUB", o.Channel, o.Key, unpublished[o.Fate]))
}

// unpublished is what a client is told of a message that was not published, or may not be.
var unpublished = [...]*wire.CommandError{
	channel.FateUnpublished: wire.ErrBusDown,
	channel.FateUnconfirmed: wire.ErrUnconfirmed,
	channel.FateKeyReused:   wire.ErrKeyReused,
}

func (s *twoWays) sub(fd uint32, c *wire.Command) *wire.CommandError {
	n := s.find(fd, c.Name)
	switch {
	case !s.allows(fd, c.Name, false):
		return wire.ErrNotAllowed
	case n != 0:
		return s.subAgain(fd, n)
	case s.members.Of(fd).Count == membershipsMax:
		return wire.ErrTooMany
	case !s.mayAsk(fd):
		return wire.ErrOverload
	}
	s.confirm(fd, s.join(fd, c.Name), c.Since)
	return nil
}

// unsub unsubscribes. What was on its way may still come before the answer, and
// nothing after it.
func (s *twoWays) unsub(fd uint32, c *wire.Command) *wire.CommandError {
	n := s.find(fd, c.Name)
	if n == 0 {
		return wire.ErrNotSubscribed
	}
	s.unconfirm(fd, n)
	if s.leave(fd, n); !s.loop.Closing(fd) {
		s.replyPosition(wire.ReplyUnsub, c.Name, nil)
	}
	return nil
}

// allows reports whether the token of fd, if tokens are asked for, allows a
// channel.
func (s *twoWays) allows(fd uint32, name []byte, toPublish bool) bool {
	number := s.members.Of(fd).Grant
	switch {
	case s.shared.Config.Tokens == nil:
		return true
	case number == 0:
		return false
	case toPublish:
		return s.grants.Of(number).AllowsPublish(name)
	}
	return s.grants.Of(number).AllowsSubscribe(name)
}

// reply answers the connection at hand with a text frame, in one write with what
// else is to be said to what it said: see pongs.
func (s *outbox) reply(text []byte) {
	if s.loop.Record(s.current).Phase != phaseOpen {
		return
	}
	if len(s.pongs)+len(text)+4 > replyBatchBytesMax {
		s.sayPongs()
	}
	s.pongs = wire.AppendFrame(s.pongs, ws.OpText, text)
}
