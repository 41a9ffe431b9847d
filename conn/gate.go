package conn

import (
	"net/netip"

	"c10m/access"
	"c10m/conn/admission"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/conn/wire"
)

// A gate asks the rules (conn/admission) who may come in, knows for whom a connection
// speaks, and sees tokens end.
type gate struct {
	*Server // whose part it is

	judge    admission.Judge // what was found of the request at hand
	clients  admission.Clients
	expiries timers.Expiries // of tokens
}

// judgeUpgrade judges a request for a WebSocket by itself, and says what is spoken then.
func (s *gate) judgeUpgrade(h *wire.Head) (chosen *protocol, reason reasons.Reason) {
	if reason = s.judge.Upgrade(h); reason != reasons.None {
		return nil, reason
	}
	chosen = upgradeTo(s.judge.Subprotocol)
	if string(h.Path()) != "/" || !chosen.isRootFree {
		reason = s.judge.Name(h.Path())
	}
	return chosen, reason
}

// upgradeTo returns what is spoken after an upgrade with this subprotocol. One that is
// not in the table only carries a token.
func upgradeTo(subprotocol string) *protocol {
	for _, p := range protocols {
		if p.upgraded != nil && p.subprotocol == subprotocol {
			return p
		}
	}
	return upgradeTo("")
}

// admit is asked last of all before an upgrade, a stream or a poll. A connection that
// was kept has its place already.
func (s *gate) admit(fd uint32) reasons.Reason {
	if !holdsPlace(s.loop.Record(fd).Phase) && s.isFull() {
		return reasons.RequestFull
	}
	if s.shared.MemoryShort.Load() {
		return reasons.RequestNoMemory
	}
	return reasons.None
}

func (s *gate) isFull() bool { return s.shared.open.Load() >= s.shared.Config.ConnectionsMax }

// isCrowded reports whether newcomers are refused, so that connections which are kept
// for a next request are to make room.
func (s *gate) isCrowded() bool { return s.isFull() || s.shared.MemoryShort.Load() }

// proxyMarks are of a connection from one of Access.Trusted that has not said for whom
// it speaks.
type proxyMarks struct {
	isTrusted   bool // the peer, or whom it has named, is a proxy of ours
	hasHeader   bool // its PROXY header is still to come
	isForwarded bool // its request's X-Forwarded-For says who the client is
}

// arrive looks at who is there and reports whether to go on with fd.
func (s *gate) arrive(fd uint32) bool {
	if !s.clients.WantsAddress {
		return true
	}
	peer, isKnown := s.loop.Peer(fd)
	if !isKnown {
		// ENOTCONN: it was reset. There is nothing more to read from it.
		s.end(fd, reasons.RequestGone)
		return false
	}
	if !s.clients.Trusted.Contains(peer.Addr()) {
		return s.admitAddress(fd, peer.Addr(), nil)
	}
	c := s.coldOrRefuse(fd)
	if c == nil {
		return false
	}
	a := s.clients.Access
	c.proxy = proxyMarks{isTrusted: true, hasHeader: a.ProxyProtocol, isForwarded: a.ForwardedFor && !a.ProxyProtocol}
	return true
}

// readProxyHeader collects the PROXY header of a trusted peer, and goes on with
// what follows it.
func (s *gate) readProxyHeader(fd uint32, c *cold, p []byte) {
	p, own := s.exchange.afterKept(c, p)
	header, err := access.ParseProxyHeader(p)
	switch {
	case err != nil:
		s.refuseRequest(fd, p, reasons.RequestProxyHeader)
		return
	case header.Size == 0:
		s.exchange.awaitRequest(fd, p, own)
		return
	}
	rest := p[header.Size:]
	c.proxy.hasHeader = false
	c.proxy.isForwarded = s.clients.ForwardedFor
	if !s.admitNamed(fd, c, header.Client, rest) {
		return
	}
	if len(rest) == 0 {
		s.exchange.awaitRequest(fd, nil, 0)
		return
	}
	s.exchange.readRequest(fd, rest)
}

// judgeForwarded looks at a request's X-Forwarded-For, if it is a proxy's that
// has to have one, and reports whether to go on.
func (s *gate) judgeForwarded(fd uint32, h *wire.Head) bool {
	c := s.cold[fd]
	if c == nil || !c.proxy.isForwarded {
		return true
	}
	var lines [access.ForwardedLinesMax][]byte
	client, err := access.ForwardedFor(h.Lines(wire.XForwardedFor, lines[:]), s.clients.Trusted)
	if err != nil {
		s.refuseRequest(fd, h.Bytes(), reasons.RequestForwardedFor)
		return false
	}
	c.proxy.isForwarded = false
	return s.admitNamed(fd, c, client, h.Bytes())
}

// admitNamed takes it that a proxy named its client, if that is none of our proxies, and
// reports whether to go on.
func (s *gate) admitNamed(fd uint32, c *cold, client netip.Addr, request []byte) bool {
	if !client.IsValid() || s.clients.Trusted.Contains(client) {
		return true
	}
	c.proxy = proxyMarks{}
	return s.admitAddress(fd, client, request)
}

// admitAddress counts fd under its client's address, or turns it away, and does not wait
// until the client has read the answer: the limits are about descriptors. request is what
// there is of the request. If all of it is there it is read, and the client gets its answer
// and no reset.
func (s *gate) admitAddress(fd uint32, client netip.Addr, request []byte) bool {
	reason, answer := s.clients.Admit(fd, client, s.loop.Now())
	if reason == reasons.None {
		return true
	}
	asksHead := wire.AsksHead(request)
	n, _ := s.loop.Recv(fd, s.scratch[:])
	asksHead = asksHead || len(request) == 0 && wire.AsksHead(s.scratch[:max(n, 0)])
	s.count(fd, reason)
	s.setPhase(fd, phaseLingering)
	s.outbox.say(fd, s.exchange.dressed(wire.AnswerTo(asksHead, answer), nil))
	s.end(fd, reason)
	return false
}

// grant keeps what a token allows beside the subscription.
func (s *gate) grant(fd uint32, grant access.Grant) {
	if grant.Publish {
		s.loop.Record(fd).Marks |= markPublish
	}
	if grant.Lifetime > 0 {
		s.expiries.Add(timers.Expiry{
			At: timers.SecondAfter(s.loop.Now(), int64(grant.Lifetime)), FD: fd, Generation: s.loop.Generation(fd),
		}, s.holdsToken)
	}
}

func (s *gate) holdsToken(e timers.Expiry) bool {
	return s.isHere(e.FD, e.Generation) && s.loop.Record(e.FD).Phase == phaseOpen
}

func (s *gate) expireTokens() (next int64) {
	return s.expiries.Expire(s.loop.Now(), s.holdsToken, func(fd uint32) { s.dismiss(fd, reasons.TokenExpired) })
}
