package conn

import (
	"math"

	"c10m/access"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/conn/wire"
	"c10m/internal/slab"
)

// A gate judges who may come in and what he asks for, and sees tokens end.
type gate struct {
	*Server // whose part it is

	clients    *slab.Sparse[access.Key] // nil if nothing is counted per address
	shake      handshake                // what was found of it
	tokenNanos int64                    // spent on tokens in this turn
	expiries   timers.Expiries          // of tokens
}

// The gate: whose connection it is, and whether he may have one more.
//
// The address of a connection is known in one of three places, and from there on
// it is counted until its descriptor is closed: in Open if the peer is not a
// trusted proxy, when the PROXY header is complete if it has to send one, with
// the request if X-Forwarded-For says it. If both are on, the one follows the
// other: a proxy's PROXY header may name another proxy, which then asks on
// behalf of whom X-Forwarded-For says.

// Access is who gets in. The zero value lets everybody in.
type Access struct {
	// Origins are the pages that may connect; nil is all.
	Origins *access.Origins
	// Addresses limits the connections of a client's address; nil does not.
	Addresses *access.Addresses
	// Trusted are the proxies in front. Their own addresses are not limited.
	Trusted *access.Networks
	// ProxyProtocol demands a PROXY header of every connection from Trusted,
	// ForwardedFor X-Forwarded-For of every request of theirs.
	ProxyProtocol bool
	ForwardedFor  bool
	// DescriptorsMax is above every descriptor, and PrivateFDTables tells
	// whether each loop counts them from 0: as in poller.Config. They are needed
	// with Addresses only.
	DescriptorsMax  int
	PrivateFDTables bool
}

// sharedGate is what the loops have in common of it.
type sharedGate struct {
	// Fixed after construction.
	wantsAddress bool // of each peer, in Open
	tooFast      [][]byte
	// clients is whom each connection is counted under, if the loops share the
	// descriptors; each entry is owned by the connection's loop.
	clients *slab.Sparse[access.Key]
}

func newSharedGate(a *Access) (g sharedGate) {
	g.wantsAddress = a.Addresses != nil || !a.Trusted.Empty()
	if a.Addresses == nil {
		return g
	}
	if a.DescriptorsMax <= 0 {
		panic("BUG: limits per address without Access.DescriptorsMax")
	}
	tooFast := reasons.RequestAddressRate
	g.tooFast = tooFast.RefusalsFrom(max(tooFast.Retry(), int(math.Ceil(a.Addresses.RetryAfter().Seconds()))))
	if !a.PrivateFDTables {
		g.clients = slab.NewSparse[access.Key](a.DescriptorsMax)
	}
	return g
}

// newClients returns the table of a loop, nil if nothing is counted.
func (s *Shared) newClients() *slab.Sparse[access.Key] {
	a := &s.Config.Access
	if a.Addresses != nil && a.PrivateFDTables {
		return slab.NewSparse[access.Key](a.DescriptorsMax)
	}
	return s.gate.clients
}

// proxyMarks are of a connection from one of Access.Trusted that has not said for whom
// it speaks.
type proxyMarks struct {
	isTrusted   bool // the peer, or whom it has named, is a proxy of ours
	hasHeader   bool // its PROXY header is still to come
	isForwarded bool // its request's X-Forwarded-For says who the client is
}

// arrive looks at who is there and reports whether to go on with fd.
func (s *gate) arrive(fd uint32) bool {
	if !s.shared.gate.wantsAddress {
		return true
	}
	peer, errno := s.loop.Peer(fd)
	if errno != 0 {
		// ENOTCONN: it was reset. There is nothing more to read from it.
		s.end(fd, reasons.RequestGone)
		return false
	}
	a := &s.shared.Config.Access
	if !a.Trusted.Contains(peer.Addr()) {
		return s.admitAddress(fd, access.KeyOf(peer.Addr()), nil)
	}
	c := s.coldOf(fd)
	if c == nil {
		s.refuse(fd, reasons.RequestMemory)
		return false
	}
	c.proxy = proxyMarks{isTrusted: true, hasHeader: a.ProxyProtocol, isForwarded: a.ForwardedFor && !a.ProxyProtocol}
	return true
}

// readProxyHeader collects the PROXY header of a trusted peer, and goes on with
// what follows it.
func (s *gate) readProxyHeader(fd uint32, c *cold, p []byte) {
	whole, isNew := p, true
	if len(c.request) > 0 {
		s.exchange.keepRequest(c, p, 0)
		whole, isNew = c.request, false
	}
	header, err := access.ParseProxyHeader(whole)
	switch {
	case err != nil:
		s.refuseRequest(fd, whole, reasons.RequestProxyHeader)
		return
	case header.Size == 0:
		if isNew {
			s.exchange.awaitRequest(fd, p, 0)
		} else {
			p, own := s.exchange.takeRequest(c)
			s.exchange.awaitRequest(fd, p, own)
		}
		return
	}
	rest := whole[header.Size:]
	s.exchange.takeRequest(c)
	a := &s.shared.Config.Access
	c.proxy.hasHeader = false
	switch {
	case header.Client.IsValid() && !a.Trusted.Contains(header.Client):
		c.proxy.isTrusted = false
		if !s.admitAddress(fd, access.KeyOf(header.Client), rest) {
			return
		}
	case a.ForwardedFor:
		c.proxy.isForwarded = true
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
	a := &s.shared.Config.Access
	var lines [access.ForwardedLinesMax][]byte
	client, err := access.ForwardedFor(h.Lines(wire.XForwardedFor, lines[:]), a.Trusted)
	if err != nil {
		s.refuseRequest(fd, h.Bytes(), reasons.RequestForwardedFor)
		return false
	}
	c.proxy.isForwarded = false
	if !client.IsValid() || a.Trusted.Contains(client) {
		return true
	}
	c.proxy.isTrusted = false
	return s.admitAddress(fd, access.KeyOf(client), h.Bytes())
}

// admitAddress counts fd under its client's address, or refuses it. request is what
// there is of its request.
func (s *gate) admitAddress(fd uint32, key access.Key, request []byte) bool {
	addresses := s.shared.Config.Access.Addresses
	if addresses == nil || key == 0 {
		return true
	}
	switch addresses.Admit(key, s.loop.Now()) {
	case access.TooMany:
		s.turnAway(fd, request, reasons.RequestAddressConnections, reasons.RequestAddressConnections.Refusal())
		return false
	case access.TooFast:
		s.turnAway(fd, request, reasons.RequestAddressRate, reasons.AnyOf(s.shared.gate.tooFast))
		return false
	}
	*s.clients.Make(fd) = key
	return true
}

// turnAway is refuse for who comes too often: it does not wait until the client
// has read the answer, since it is descriptors that the limits are about. The
// request is mostly there, so that it can be read and the client gets its answer
// and no reset; of one that comes later it does get a reset.
func (s *gate) turnAway(fd uint32, request []byte, reason reasons.Reason, answer []byte) {
	asksHead := isHead(request)
	n, _ := s.loop.Recv(fd, s.scratch[:])
	asksHead = asksHead || len(request) == 0 && isHead(s.scratch[:max(n, 0)])
	s.count(fd, reason)
	s.setPhase(fd, phaseLingering)
	s.outbox.say(fd, s.exchange.dressed(wire.AnswerTo(asksHead, answer), nil))
	s.end(fd, reason)
}

// releaseAddress counts fd off, which is about to be closed.
func (s *gate) releaseAddress(fd uint32) {
	if s.clients == nil {
		return
	}
	if key := s.clients.Make(fd); *key != 0 {
		s.shared.Config.Access.Addresses.Release(*key, s.loop.Now())
		*key = 0
	}
}

// goneReason is why a connection ended that did not send its request. The health
// checks of the proxies in front come and go all the time, and are not to look like
// clients who give up.
func (s *gate) goneReason(fd uint32) reasons.Reason {
	if c := s.cold[fd]; c != nil && c.proxy.isTrusted && len(c.request) == 0 {
		return reasons.RequestProxyCheck
	}
	return reasons.RequestGone
}
