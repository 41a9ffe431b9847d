package admission

import (
	"errors"
	"strings"
	"sync/atomic"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"
)

// A Judge judges the requests of one loop by their heads.
type Judge struct {
	// Fixed after construction.
	Origins         *access.Origins // the pages that may connect; nil is all
	Tokens          *access.Tokens  // nil: nobody needs one
	Subprotocols    []string        // those that an upgrade may choose
	PublishBytesMax int             // of a message
	MayPost         bool            // there is a bus for what clients publish
	Loop            *poller.Loop
	Pauses          *atomic.Uint64 // counts turns that had enough of tokens

	// What was found.
	Channel     []byte // empty if the request names none
	Grant       access.Grant
	Subprotocol string // that is answered
	Key         []byte // of a message, empty if it has none; lent

	// TokenNanos is spent on tokens in this turn: whoever begins a turn sets it to 0.
	TokenNanos int64

	protocolLines [protocolLinesMax][]byte
}

// Plain judges what all requests have in common: that there is one way to read them, and
// the page that asks.
func (j *Judge) Plain(h *wire.Head) reasons.Reason {
	page := pageOf(h)
	switch {
	case h.HasBody() && string(h.Method()) != "POST", h.Count(wire.SecWebSocketProtocol) > protocolLinesMax:
		return reasons.RequestMalformed
	case !j.Origins.Allow(&page):
		return reasons.RequestOrigin
	}
	return reasons.None
}

func pageOf(h *wire.Head) access.Page {
	return access.Page{
		Origin: h.Value(wire.Origin), Origins: h.Count(wire.Origin), Host: h.HostPort(), Site: h.Value(wire.SecFetchSite),
	}
}

// Upgrade judges a request for a WebSocket by itself (RFC 6455, 4.2.1), and finds the
// subprotocol. Neither its channel nor its token is looked at.
func (j *Judge) Upgrade(h *wire.Head) reasons.Reason {
	key := h.Value(wire.SecWebSocketKey)
	switch reason := j.Plain(h); {
	case reason != reasons.None:
		return reason
	case !h.AsksUpgrade():
		return reasons.RequestNoUpgrade
	case h.Count(wire.SecWebSocketVersion) != 1 || string(h.Value(wire.SecWebSocketVersion)) != "13":
		return reasons.RequestWSVersion
	case h.Count(wire.SecWebSocketKey) != 1 || !wire.ValidKey(key): // RFC 6455, 11.3.1
		return reasons.RequestKey
	}
	j.Subprotocol = access.SelectProtocol(j.linesOf(h), j.Subprotocols)
	j.Channel = j.Channel[:0]
	return reasons.None
}

// linesOf are the lines of Sec-WebSocket-Protocol, of which there is one as a rule. They
// are lent until the next request.
func (j *Judge) linesOf(h *wire.Head) [][]byte {
	return h.Lines(wire.SecWebSocketProtocol, j.protocolLines[:])
}

// Invite says how a GET is refused that wants nothing that there is.
func (j *Judge) Invite(h *wire.Head) reasons.Reason {
	reason := j.Plain(h)
	if reason == reasons.None {
		reason = j.Name(h.Path())
	}
	if reason == reasons.None {
		reason = reasons.RequestNoUpgrade
	}
	return reason
}

// Method says how a method that is nobody's is refused (RFC 9110, 9.1).
func Method(h *wire.Head) reasons.Reason {
	switch string(h.Method()) {
	case "PUT", "DELETE", "PATCH", "CONNECT", "TRACE":
		return reasons.RequestMethod
	}
	return reasons.RequestUnknownMethod
}

// Reader judges a request of somebody who wants to know of the channel that path names,
// and finds the channel and what his token allows.
func (j *Judge) Reader(h *wire.Head, path []byte) reasons.Reason {
	if reason := j.Plain(h); reason != reasons.None {
		return reason
	}
	if page := pageOf(h); !j.Origins.AllowReader(&page) {
		return reasons.RequestOrigin
	}
	if reason := j.Name(path); reason != reasons.None {
		return reason
	}
	return j.Token(h)
}

// Post judges who publishes and what, the token last of all, and finds the channel and
// the key.
func (j *Judge) Post(h *wire.Head) reasons.Reason {
	reason := j.Plain(h)
	switch {
	case reason != reasons.None:
		return reason
	case !j.MayPost:
		return reasons.RequestPublish
	case h.Chunked || h.Length < 0:
		return reasons.RequestLength
	case h.Length > int64(j.PublishBytesMax):
		return reasons.RequestTooBig
	case h.Encoded:
		return reasons.RequestEncoding
	}
	j.Key = nil
	if count := h.Count(wire.IdempotencyKey); count > 0 {
		key, ok := wire.ParseKey(h.Value(wire.IdempotencyKey))
		if !ok || count > 1 {
			return reasons.RequestIdempotencyKey
		}
		j.Key = key
	}
	if reason = j.Name(h.Path()); reason != reasons.None || j.Tokens == nil {
		return reason
	}
	began := j.Loop.Clock()
	c := j.credentials(h)
	err := j.Tokens.JudgePublisher(&c, j.Channel)
	j.spentOnTokens(began)
	return reasons.OfToken(err)
}

// Token has a newcomer's token judged for the channel, and finds what it grants. That is
// arithmetic on the loop's thread, and the most that a stranger can make the loop do.
func (j *Judge) Token(h *wire.Head) reasons.Reason {
	if j.Tokens == nil {
		return reasons.None
	}
	began := j.Loop.Clock()
	c := j.credentials(h)
	grant, err := j.Tokens.Judge(&c, j.Channel)
	j.Grant = grant
	j.spentOnTokens(began)
	return reasons.OfToken(err)
}

// credentials are where a request may have a token. They are lent.
func (j *Judge) credentials(h *wire.Head) access.Credentials {
	return access.Credentials{
		Authorization: h.Value(wire.Authorization), Authorizations: h.Count(wire.Authorization),
		Protocols: j.linesOf(h), Query: h.Query(),
	}
}

func (j *Judge) spentOnTokens(began int64) {
	j.TokenNanos += j.Loop.Clock() - began
	if j.IsTired() {
		j.Pauses.Add(1)
		j.Loop.LeaveNewcomers()
	}
}

// IsTired reports whether this turn has verified enough. Requests are then to be left in
// their sockets, and are told again in the next turn.
func (j *Judge) IsTired() bool { return j.TokenNanos >= tokenNanosPerTurnMax }

// Name finds the channel that a path names.
func (j *Judge) Name(path []byte) (reason reasons.Reason) {
	j.Channel, reason = AppendChannel(j.Channel[:0], path)
	return reason
}

// AppendChannel appends the channel that a path names: percent-decoded, without its
// first slash. Who means a ? or a # writes %3F and %23.
func AppendChannel(to, path []byte) ([]byte, reasons.Reason) {
	if len(path) == 0 || path[0] != '/' {
		return to, reasons.RequestChannel
	}
	to, ok := wire.AppendUnescaped(to, path[1:])
	switch {
	case ok && channel.IsReserved(to):
		return to, reasons.RequestReserved
	case !ok || !channel.ValidName(to):
		return to, reasons.RequestChannel
	}
	return to, reasons.None
}

// ParseChannel returns the channel that a request target names, by the rules of
// an upgrade: the percent-decoded path without its first slash, 1 to 255 bytes of
// UTF-8 that do not begin with "-/". An error is one sentence for who asked. Any
// goroutine may call it.
func ParseChannel(target string) ([]byte, error) {
	path, _, _ := strings.Cut(target, "?")
	if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }) {
		path = ""
	}
	switch name, reason := AppendChannel(nil, []byte(path)); reason {
	case reasons.None:
		return name, nil
	case reasons.RequestReserved:
		return nil, errors.New("channels that begin with -/ are the server's own")
	default:
		return nil, errors.New("the path does not name a channel: 1 to 255 bytes of UTF-8, percent-encoded")
	}
}
