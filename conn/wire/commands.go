package wire

import "bytes"

// The bytes of c10m.v1 (docs/c10m.v1.md): what a client of many channels says, a command
// for each message,
//
//	PUB <channel>[ <key>]\n<payload>    SUB <channel>[ <since>]    UNSUB <channel>    PING
//
// and what it is answered.

// The codes of ERR, one word each, with a sentence for people.
var (
	ErrNotAllowed    = &CommandError{"not_allowed", "The token does not allow this channel."}
	ErrPushOnly      = &CommandError{"not_allowed", "This server only pushes (--publish off)."}
	ErrBadChannel    = &CommandError{"bad_channel", "A channel is 1 to 255 bytes of UTF-8, percent-encoded, and does not begin with -/."}
	ErrTooMany       = &CommandError{"too_many", "This connection has as many channels as it may."}
	ErrTooBig        = &CommandError{"too_big", "The payload is longer than this server takes."}
	ErrBusDown       = &CommandError{"bus_down", "The bus is down, and the message was not published."}
	ErrUnconfirmed   = &CommandError{"unconfirmed", "The bus did not answer, and the message may have been published."}
	ErrKeyReused     = &CommandError{"key_reused", "The key was another message's, and this one was not published."}
	ErrOverload      = &CommandError{"overload", "Too many messages of clients are under way: try again later."}
	ErrNotSubscribed = &CommandError{"not_subscribed", "This connection is not subscribed to the channel."}
	ErrBadCommand    = &CommandError{"bad_command", "Commands are PUB <channel> [<key>], a line feed and the payload; SUB <channel> [<since>]; UNSUB <channel>; PING."}
)

// A CommandError is what ERR says: a code for programs, a sentence for people.
type CommandError struct{ Code, Sentence string }

// A Command is a client's message, taken apart. The slices are lent.
type Command struct {
	Verb    string
	Name    []byte // the channel, decoded
	Since   []byte // SUB's position, nil if none
	Key     []byte // PUB's, nil if none
	Payload []byte // PUB's
}

// ParseCommand takes a message apart. The name is decoded into to, which has room for
// EscapedBytesMax, and isChannel says whether it is that of a channel. If there is an
// error, the verb is still there if it is one that we know, and where the name is good,
// so is the name.
func ParseCommand(message, to []byte, isChannel func(name []byte) bool) (c Command, failed *CommandError) {
	line, payload, hasPayload := bytes.Cut(message, []byte("\n"))
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	for _, known := range [...]string{"PUB", "SUB", "UNSUB", "PING"} {
		if string(verb) == known {
			c.Verb = known
		}
	}
	name, last, hasLast := bytes.Cut(rest, []byte(" "))
	if c.Verb == "PING" {
		if len(line) > len(verb) || len(payload) > 0 {
			return c, ErrBadCommand
		}
		return c, nil
	}
	if c.Verb == "" || len(name) > EscapedBytesMax {
		return c, ErrBadCommand
	}
	decoded, ok := AppendUnescaped(to, name)
	if !ok || !isChannel(decoded) {
		return c, ErrBadChannel
	}
	c.Name = decoded
	isPub := c.Verb == "PUB"
	if isPub != hasPayload && (isPub || len(payload) > 0) {
		return c, ErrBadCommand
	}
	c.Payload = payload
	switch {
	case !hasLast:
	case isPub && isMessageKey(last):
		c.Key = last
	case c.Verb == "SUB" && isPrintable(last, IDBytesMax):
		c.Since = last
	default:
		return c, ErrBadCommand
	}
	return c, nil
}

// NamedFrame returns the frame of a delivery that says of which channel it is, and which
// message.
func (mode FrameMode) NamedFrame(name, id, payload []byte) []byte {
	body := make([]byte, 0, len("MSG ")+EscapedBytesMax+IDBytesMax+2+len(payload))
	body = AppendEscaped(append(body, "MSG "...), name)
	body = append(append(body, ' '), id...)
	body = append(append(body, '\n'), payload...)
	return AppendFrame(make([]byte, 0, len(body)+10), mode.Opcode(payload), body)
}

// AppendReply appends one of these replies, with a channel and, if it is known, a
// position.
func AppendReply(to []byte, what string, name, position []byte) []byte {
	to = AppendEscaped(append(to, what...), name)
	if len(position) > 0 {
		to = append(append(to, ' '), position...)
	}
	return to
}

// What AppendReply says: where a channel begins, that it has ended, and that a
// position cannot be continued. ReplyPong is the answer to PING.
const (
	ReplySub   = "OK SUB "
	ReplyUnsub = "OK UNSUB "
	ReplyGap   = "GAP "
	ReplyPong  = "PONG"
)

// AppendPubOK appends the answer to a PUB with a key: the channel, the key and, where it
// is known, the id.
func AppendPubOK(to, name, key []byte, id string) []byte {
	to = append(append(AppendEscaped(append(to, "OK PUB "...), name), ' '), key...)
	if id != "" {
		to = append(append(to, ' '), id...)
	}
	return to
}

// AppendErr appends an ERR. A command that is not known is "-", and so is a
// channel that is none: what was said is not repeated. The key of a PUB comes last.
func AppendErr(to []byte, verb string, name, key []byte, failed *CommandError) []byte {
	if verb == "" {
		verb = "-"
	}
	to = append(append(append(to, "ERR "...), verb...), ' ')
	if len(name) == 0 {
		to = append(to, '-')
	} else {
		to = AppendEscaped(to, name)
	}
	to = append(append(to, ' '), failed.Code...)
	if len(key) > 0 {
		to = append(append(to, ' '), key...)
	}
	return append(append(to, '\n'), failed.Sentence...)
}
