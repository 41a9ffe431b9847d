package conn

import (
	"c10m/access"
	"c10m/channel"
	"c10m/conn/reasons"
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

// judgeUpgrade judges a request for a WebSocket by itself (RFC 6455, 4.2.1), and leaves
// the channel and the protocol in s.shake.
func (s *gate) judgeUpgrade(h *wire.Head) reasons.Reason {
	key := h.Value(wire.SecWebSocketKey)
	switch reason := s.judgePlain(h); {
	case reason != reasons.None:
		return reason
	case !h.AsksUpgrade():
		return reasons.RequestNoUpgrade
	case h.Count(wire.SecWebSocketVersion) != 1 || string(h.Value(wire.SecWebSocketVersion)) != "13":
		return reasons.RequestWSVersion
	case h.Count(wire.SecWebSocketKey) != 1 || !wire.ValidKey(key): // RFC 6455, 11.3.1
		return reasons.RequestKey
	}
	shake := &s.shake
	shake.protocol = access.SelectProtocol(s.protocolLines(h), subprotocols)
	shake.chosen = upgradeTo(shake.protocol)
	if string(h.Path()) == "/" && shake.chosen.isRootFree {
		shake.channel = shake.channel[:0]
		return reasons.None
	}
	return s.nameChannel(h.Path())
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

// nameChannel leaves the channel that a path names in s.shake.
func (s *gate) nameChannel(path []byte) (reason reasons.Reason) {
	s.shake.channel, reason = appendChannel(s.shake.channel[:0], path)
	return reason
}

// appendChannel appends the channel that a path names: percent-decoded, without its
// first slash. Who means a ? or a # writes %3F and %23.
func appendChannel(to, path []byte) ([]byte, reasons.Reason) {
	if len(path) == 0 || path[0] != '/' {
		return to, reasons.RequestChannel
	}
	to, ok := wire.AppendUnescaped(to, path[1:])
	if !ok {
		return to, reasons.RequestChannel
	}
	switch {
	case channel.IsReserved(to):
		return to, reasons.RequestReserved
	case !channel.ValidName(to):
		return to, reasons.RequestChannel
	}
	return to, reasons.None
}

// judgePlain judges what all requests have in common: that there is one way to read
// them, and the page that asks.
func (s *gate) judgePlain(h *wire.Head) reasons.Reason {
	page := pageOf(h)
	switch {
	case h.HasBody() && string(h.Method()) != "POST", h.Count(wire.SecWebSocketProtocol) > protocolLinesMax:
		return reasons.RequestMalformed
	case !s.shared.Config.Access.Origins.Allow(&page):
		return reasons.RequestOrigin
	}
	return reasons.None
}

// judgeInvite says how a GET is refused that wants neither a WebSocket nor events nor
// a poll.
func (s *gate) judgeInvite(h *wire.Head) reasons.Reason {
	if reason := s.judgePlain(h); reason != reasons.None {
		return reason
	}
	if reason := s.nameChannel(h.Path()); reason != reasons.None {
		return reason
	}
	return reasons.RequestNoUpgrade
}

// judgeReader judges a request of somebody who wants to know of the channel that
// path names, and leaves the channel in s.shake.channel and what his token
// allows in s.shake.grant. It does not ask whether there is room (admit).
func (s *gate) judgeReader(h *wire.Head, path []byte) reasons.Reason {
	if reason := s.judgePlain(h); reason != reasons.None {
		return reason
	}
	if page := pageOf(h); !s.shared.Config.Access.Origins.AllowReader(&page) {
		return reasons.RequestOrigin
	}
	if reason := s.nameChannel(path); reason != reasons.None {
		return reason
	}
	return s.judgeToken(h)
}
