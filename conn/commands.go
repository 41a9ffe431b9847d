package conn

import (
	"bytes"

	"c10m/channel"
	"c10m/conn/wire"

	"github.com/gobwas/ws"
)

// What the client of a two-way connection says (docs/c10m.v1.md), a command for
// each message:
//
//	PUB <channel>[ <key>]\n<payload>    SUB <channel>[ <since>]    UNSUB <channel>    PING
//
// A command that cannot be done is answered and costs the client nothing else: only
// what breaks WebSocket, or this server's limits, ends the connection.

// The codes of ERR, one word each, with a sentence for people.
var (
	errNotAllowed    = refusalOf{"not_allowed", "The token does not allow this channel."}
	errPushOnly      = refusalOf{"not_allowed", "This server only pushes (--publish off)."}
	errBadChannel    = refusalOf{"bad_channel", "A channel is 1 to 255 bytes of UTF-8, percent-encoded, and does not begin with -/."}
	errTooMany       = refusalOf{"too_many", "This connection has as many channels as it may."}
	errTooBig        = refusalOf{"too_big", "The payload is longer than this server takes."}
	errBusDown       = refusalOf{"bus_down", "The bus is down, and the message was not published."}
	errUnconfirmed   = refusalOf{"unconfirmed", "The bus did not answer, and the message may have been published."}
	errKeyReused     = refusalOf{"key_reused", "The key was another message's, and this one was not published."}
	errOverload      = refusalOf{"overload", "Too many messages of clients are under way: try again later."}
	errNotSubscribed = refusalOf{"not_subscribed", "This connection is not subscribed to the channel."}
	errBadCommand    = refusalOf{"bad_command", "Commands are PUB <channel> [<key>], a line feed and the payload; SUB <channel> [<since>]; UNSUB <channel>; PING."}
)

// refusalOf is what ERR says.
type refusalOf struct{ code, sentence string }

// A command is a client's message, taken apart. The slices are lent.
type command struct {
	verb    string
	name    []byte // the channel, decoded
	since   []byte // SUB's position, nil if none
	key     []byte // PUB's, nil if none
	payload []byte // PUB's
}

// parseCommand takes a message apart. name is decoded into to. If there is a
// refusal, the verb is still there if it is one that we know, and where the name
// is good, so is the name.
func parseCommand(message, to []byte) (c command, refusal *refusalOf) {
	line, payload, hasPayload := bytes.Cut(message, []byte("\n"))
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	for _, known := range [...]string{"PUB", "SUB", "UNSUB", "PING"} {
		if string(verb) == known {
			c.verb = known
		}
	}
	name, last, hasLast := bytes.Cut(rest, []byte(" "))
	if c.verb == "PING" {
		if len(line) > len(verb) || len(payload) > 0 {
			return c, &errBadCommand
		}
		return c, nil
	}
	if c.verb == "" || len(name) > escapedBytesMax {
		return c, &errBadCommand
	}
	decoded, ok := appendUnescaped(to, name)
	if !ok || !channel.ValidName(decoded) {
		return c, &errBadChannel
	}
	c.name = decoded
	isPub := c.verb == "PUB"
	if isPub != hasPayload && (isPub || len(payload) > 0) {
		return c, &errBadCommand
	}
	c.payload = payload
	switch {
	case !hasLast:
	case isPub && validKeyOfMessage(last):
		c.key = last
	case c.verb == "SUB" && plausibleSince(last):
		c.since = last
	default:
		return c, &errBadCommand
	}
	return c, nil
}

// plausibleSince reports whether since can be a position: printable ASCII without
// blanks, of no more than idBytesMax bytes.
func plausibleSince(since []byte) bool {
	for _, b := range since {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return len(since) > 0 && len(since) <= idBytesMax
}

// command does what a two-way client says.
func (s *Server) command(fd uint32, message []byte) Reason {
	c, refusal := parseCommand(message, s.nameScratch[:0])
	s.stats.Commands.Add(1)
	if refusal == nil {
		switch c.verb {
		case "PUB":
			refusal = s.pub(fd, &c)
		case "SUB":
			refusal = s.sub(fd, &c)
		case "UNSUB":
			refusal = s.unsub(fd, &c)
		case "PING":
			s.reply([]byte("PONG"))
		}
	}
	if refusal != nil {
		s.stats.CommandsRefused.Add(1)
		s.reply(appendRefusal(s.replyScratch[:0], c.verb, c.name, c.key, refusal))
	}
	return reasonNone
}

// pub publishes. Without a key it is answered only if it fails.
func (s *Server) pub(fd uint32, c *command) *refusalOf {
	switch {
	case s.publisher == nil:
		return &errPushOnly
	case !s.mayPublish(fd), !s.allows(fd, c.name, true):
		return &errNotAllowed
	case len(c.payload) > s.shared.Config.PublishBytesMax:
		return &errTooBig
	case len(c.key) > 0 && !s.publisher.PublishAnswered(s.identityOf(fd), c.name, c.key, c.payload),
		len(c.key) == 0 && !s.publisher.Publish(s.identityOf(fd), c.name, c.payload):
		return &errOverload
	}
	s.stats.Published.Add(1)
	return nil
}

// answerPub tells a client what became of its message: always if it gave it a key, else
// only if it failed. The caller says what is said with sayPongs.
func (s *Server) answerPub(fd uint32, o *channel.Outcome) {
	s.current = fd
	var refusal *refusalOf
	switch o.Fate {
	case channel.FatePublished:
		s.replyPublished(o)
		return
	case channel.FateUnconfirmed:
		refusal = &errUnconfirmed
	case channel.FateKeyReused:
		refusal = &errKeyReused
	default:
		refusal = &errBusDown
	}
	s.stats.CommandsRefused.Add(1)
	s.reply(appendRefusal(s.replyScratch[:0], "PUB", o.Channel, o.Key, refusal))
}

// replyPublished answers a PUB with a key: OK PUB, the channel, the key and, where it is
// known, the id.
func (s *Server) replyPublished(o *channel.Outcome) {
	text := append(s.replyScratch[:0], "OK PUB "...)
	text = append(append(appendEscaped(text, o.Channel), ' '), o.Key...)
	if o.ID != "" {
		text = append(append(text, ' '), o.ID...)
	}
	s.reply(text)
}

// sub subscribes, from now on or from a position.
func (s *Server) sub(fd uint32, c *command) *refusalOf {
	w := twoWayOf(s.loop.Record(fd))
	n := s.find(fd, c.name)
	switch {
	case !s.allows(fd, c.name, false):
		return &errNotAllowed
	case n != 0:
		return s.subAgain(fd, n)
	case w.count == membershipsMax:
		return &errTooMany
	case !s.mayAsk(fd):
		return &errOverload
	}
	s.confirm(fd, s.join(fd, c.name), c.since)
	return nil
}

// unsub unsubscribes. What was on its way may still come before the answer, and
// nothing after it.
func (s *Server) unsub(fd uint32, c *command) *refusalOf {
	n := s.find(fd, c.name)
	if n == 0 {
		return &errNotSubscribed
	}
	s.unconfirm(fd, n)
	if s.leave(fd, n); !s.loop.Closing(fd) {
		s.replyPosition("OK UNSUB ", c.name, nil)
	}
	return nil
}

// allows reports whether the token of fd, if tokens are asked for, allows a
// channel.
func (s *Server) allows(fd uint32, name []byte, toPublish bool) bool {
	if s.shared.Config.Tokens == nil {
		return true
	}
	number := twoWayOf(s.loop.Record(fd)).grant
	switch {
	case number == 0:
		return false
	case toPublish:
		return s.grants.of(number).AllowsPublish(name)
	}
	return s.grants.of(number).AllowsSubscribe(name)
}

// appendRefusal appends an ERR. A command that is not known is "-", and so is a
// channel that is none: what was said is not repeated. The key of a PUB comes last.
func appendRefusal(to []byte, verb string, name, key []byte, refusal *refusalOf) []byte {
	if verb == "" {
		verb = "-"
	}
	to = append(append(append(to, "ERR "...), verb...), ' ')
	if len(name) == 0 {
		to = append(to, '-')
	} else {
		to = appendEscaped(to, name)
	}
	to = append(append(to, ' '), refusal.code...)
	if len(key) > 0 {
		to = append(append(to, ' '), key...)
	}
	return append(append(to, '\n'), refusal.sentence...)
}

// reply answers the connection at hand with a text frame, in one write with what
// else is to be said to what it said: see pongs.
func (s *Server) reply(text []byte) {
	if s.loop.Record(s.current).Phase != phaseOpen {
		return
	}
	if len(s.pongs)+len(text)+4 > replyBatchBytesMax {
		s.sayPongs()
	}
	s.pongs = wire.AppendFrame(s.pongs, ws.OpText, text)
}
