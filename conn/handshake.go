package conn

import (
	"errors"
	"math/rand/v2"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/wire"
)

// A handshake is what was found of the request at hand beside its head. One per loop,
// reused, so that a request keeps nothing.
type handshake struct {
	channel   []byte // empty if it is two-way and names none
	grant     access.Grant
	protocol  string    // the subprotocol that is answered
	chosen    *protocol // what is spoken
	response  []byte
	protocols [protocolLinesMax][]byte
}

// The errors of appendChannel and admit, told apart by identity.
var (
	errChannel  = errors.New("bad channel")
	errReserved = errors.New("reserved path")
	errFull     = errors.New("full")
	errMemory   = errors.New("short of memory")
)

// judgeUpgrade judges a request for a WebSocket by itself (RFC 6455, 4.2.1), and leaves
// the channel and the protocol in s.shake.
func (s *gate) judgeUpgrade(h *wire.Head) Reason {
	key := h.Value(wire.SecWebSocketKey)
	switch reason := s.judgePlain(h); {
	case reason != reasonNone:
		return reason
	case !h.AsksUpgrade():
		return RequestNoUpgrade
	case h.Count(wire.SecWebSocketVersion) != 1 || string(h.Value(wire.SecWebSocketVersion)) != "13":
		return RequestWSVersion
	case h.Count(wire.SecWebSocketKey) != 1 || !wire.ValidKey(key): // RFC 6455, 11.3.1
		return RequestKey
	}
	shake := &s.shake
	shake.protocol = access.SelectProtocol(s.protocolLines(h), subprotocols)
	shake.chosen = upgradeTo(shake.protocol)
	shake.channel = shake.channel[:0]
	var err error
	if string(h.Path()) != "/" || !shake.chosen.isRootFree {
		shake.channel, err = appendChannel(shake.channel, h.Path())
	}
	if err != nil {
		return requestReason(err)
	}
	return reasonNone
}

// upgradeTo returns what is spoken after an upgrade with this subprotocol.
func upgradeTo(subprotocol string) (chosen *protocol) {
	for _, p := range protocols {
		switch {
		case p.upgraded == nil:
		case p.subprotocol == subprotocol:
			return p
		case p.subprotocol == "":
			chosen = p
		}
	}
	return chosen
}

// admitUpgrade asks whether there is room for a good request, and for its token, which
// comes last: it costs more than all the rest.
func (s *gate) admitUpgrade(fd uint32, h *wire.Head) Reason {
	err := s.admit(fd)
	if err == nil {
		err = s.judgeToken(h)
	}
	if err != nil {
		return requestReason(err)
	}
	return reasonNone
}

// appendChannel appends the channel that a path names: percent-decoded, without its
// first slash. Who means a ? or a # writes %3F and %23.
func appendChannel(to, path []byte) ([]byte, error) {
	if len(path) == 0 || path[0] != '/' {
		return to, errChannel
	}
	to, ok := wire.AppendUnescaped(to, path[1:])
	if !ok {
		return to, errChannel
	}
	switch {
	case channel.IsReserved(to):
		return to, errReserved
	case !channel.ValidName(to):
		return to, errChannel
	}
	return to, nil
}

// requestReason says which of our reasons an error is.
func requestReason(err error) Reason {
	switch err {
	case errChannel:
		return RequestChannel
	case errReserved:
		return RequestReserved
	case errFull:
		return RequestFull
	case errMemory:
		return RequestNoMemory
	case access.ErrTokenMissing:
		return RequestTokenMissing
	case access.ErrTokenPlaces:
		return RequestTokenPlaces
	case access.ErrTokenExpired:
		return RequestTokenExpired
	case access.ErrTokenEarly:
		return RequestTokenEarly
	case access.ErrTokenAudience:
		return RequestTokenAudience
	case access.ErrTokenInvalid:
		return RequestTokenInvalid
	case access.ErrTokenChannel:
		return RequestTokenChannel
	case access.ErrTokenPublish:
		return RequestTokenPublish
	}
	panic("BUG: an error that is no reason: " + err.Error())
}

// refusals are the whole HTTP answers, made once.
var refusals = func() (all [reasons][][]byte) {
	for r, info := range reasonTable {
		if info.status != 0 {
			all[r] = answers(info)
		}
	}
	return all
}()

// answers makes a refusal. One with a Retry-After is there for each second from
// its retry to twice as much, or a minute later: all who are refused in one
// second would come back in one second otherwise.
func answers(info reasonInfo) (all [][]byte) {
	for seconds := info.retry; seconds <= info.retry+min(info.retry, 60); seconds++ {
		answer := wire.Refusal{
			Status: info.status, RetrySeconds: seconds, Fields: info.headers, Text: info.text,
			IsHidden: info.name == reasonTable[RequestOrigin].name,
		}
		all = append(all, answer.Append(nil))
	}
	return all
}

// refusal is an HTTP answer for a reason. It is shared: not to be changed.
func refusal(reason Reason) []byte {
	all := refusals[reason]
	return all[rand.IntN(len(all))]
}

// judgePlain judges what all requests have in common: that there is one way to read
// them, and the page that asks.
func (s *gate) judgePlain(h *wire.Head) Reason {
	page := pageOf(h)
	switch {
	case h.HasBody() && string(h.Method()) != "POST", h.Count(wire.SecWebSocketProtocol) > protocolLinesMax:
		return RequestMalformed
	case !s.shared.Config.Access.Origins.Allow(&page):
		return RequestOrigin
	}
	return reasonNone
}

// judgeInvite says how a GET is refused that wants neither a WebSocket nor events nor
// a poll.
func (s *gate) judgeInvite(h *wire.Head) Reason {
	if reason := s.judgePlain(h); reason != reasonNone {
		return reason
	}
	shake := &s.shake
	var err error
	if shake.channel, err = appendChannel(shake.channel[:0], h.Path()); err != nil {
		return requestReason(err)
	}
	return RequestNoUpgrade
}

// judgeReader judges a request of somebody who wants to know of the channel that
// path names, and leaves the channel in s.shake.channel and what his token
// allows in s.shake.grant. It does not ask whether there is room (admit).
func (s *gate) judgeReader(h *wire.Head, path []byte) Reason {
	if reason := s.judgePlain(h); reason != reasonNone {
		return reason
	}
	if page := pageOf(h); !s.shared.Config.Access.Origins.AllowReader(&page) {
		return RequestOrigin
	}
	var err error
	shake := &s.shake
	if shake.channel, err = appendChannel(shake.channel[:0], path); err == nil {
		err = s.judgeToken(h)
	}
	if err != nil {
		return requestReason(err)
	}
	return reasonNone
}
