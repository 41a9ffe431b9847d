package conn

import (
	"bytes"
	"time"

	"c10m/channel"
	"c10m/conn/admission"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/conn/wire"
	"c10m/internal/fifo"
	"c10m/poller"
)

// An exchange is the requests that are no upgrades, and their answers.
type exchange struct {
	*Server // whose part it is

	head         wire.Head // the request at hand
	requestBytes int       // held by cold.request, all together
	asking       []byte    // the page whose request it is, if its answer names it
	dressing     []byte    // the answer that is being said
	later        []byte    // and the one that is being made
	dateLine     []byte
	dateSecond   int64
	exchanges    timers.Deadlines   // one entry for each connection that keeps on asking
	ready        fifo.Queue[uint64] // identities of those whose requests waited for a turn
	answering    []uint32           // whose answers are in cold.answers; empty between two letters
	counts       int                // goroutines that count a channel's connections
}

// plainHTTP is the protocol that every connection begins with.
var plainHTTP = &protocol{
	tag:          TagHTTP,
	channels:     oneChannel{}, // and it is in none
	mayRead:      func(s *Server, fd uint32) bool { return s.exchange.mayReadRequests(fd) },
	readBytesMax: wholeRead,
	received:     func(s *Server, fd uint32, bytes []byte) { s.exchange.receivedRequests(fd, bytes) },
	hungUp:       func(s *Server, fd uint32, isReset bool) reasons.Reason { return s.exchange.hungUpAsking(fd, isReset) },
}

// wholeRead is protocol.readBytesMax of who has nothing against long reads.
func wholeRead(*Server, uint32) int { return scratchBytes }

func (s *exchange) mayReadRequests(fd uint32) bool {
	switch s.loop.Record(fd).Phase {
	case phaseRequest, phaseKept:
		return !s.gate.judge.IsTired() // else epoll tells it again
	case phaseAnswer:
		if c := s.coldOf(fd); c != nil {
			s.doNotRead(fd, c)
		} else {
			s.end(fd, reasons.RequestMemory)
		}
		return false
	}
	return true
}

func (s *exchange) receivedRequests(fd uint32, p []byte) {
	if s.loop.Record(fd).Phase == phaseBody {
		s.readBody(fd, p)
		return
	}
	s.readRequest(fd, p)
}

func (s *exchange) hungUpAsking(fd uint32, isReset bool) reasons.Reason {
	switch phase := s.loop.Record(fd).Phase; {
	case phase == phaseRequest:
		// The health checks of the proxies in front come and go all the time, and are not to
		// look like clients who give up.
		if c := s.cold[fd]; c != nil && c.proxy.isTrusted && len(c.request) == 0 {
			return reasons.RequestProxyCheck
		}
		return reasons.RequestGone
	case phase == phaseKept && s.cold[fd] == nil:
		return reasons.RequestsDone
	case (phase == phaseKept || phase == phaseBody) && !isReset:
		return reasons.RequestGone
	}
	return hungUp(s.Server, fd, isReset)
}

// verdict says what becomes of a connection after a request.
type verdict uint8

const (
	verdictNext verdict = iota // what follows it is the next request
	verdictWait                // it is to be looked at again: answers before its own are to come
	verdictOver                // no next request, or none before its body is there
)

// readRequests answers the requests in p, one after the other, and keeps what is
// left. Of a request that was begun, p begins with what was kept of it. own is as
// takeRequest returns it, and 0 if p is lent.
func (s *exchange) readRequests(fd uint32, p []byte, own int) {
	for n := 0; ; n++ {
		h := s.headOf(fd)
		if !h.Begun() {
			p = wire.SkipEmptyLines(p)
		}
		if len(p) == 0 {
			break
		}
		if s.cold[fd].owes() || n == exchangesPerReadMax || n > 0 && s.gate.judge.IsTired() {
			s.deferRequests(fd, p, own)
			return
		}
		size, fault := h.Parse(p, s.shared.requestBytesMax)
		after, then := p, verdictWait
		switch {
		case size > 0:
			if h != &s.head { // its own: answers to it are made as to any other
				s.head, s.cold[fd].head = *h, nil
			}
			after, then = s.answer(fd, &s.head, p[size:])
		case s.cold[fd].isPending():
		case fault != wire.FaultNone:
			s.refuseRequest(fd, p, reasons.OfFault[fault])
			return
		default:
			if s.loop.Record(fd).Phase == phaseAnswer {
				s.enterKept(fd)
			}
			if s.awaitRequest(fd, p, own) && h == &s.head && h.Begun() {
				begun := *h // the loop's, which the next request takes
				s.cold[fd].head = &begun
			}
			return
		}
		switch then {
		case verdictOver:
			return
		case verdictWait:
			s.deferRequests(fd, p, own)
			return
		}
		p = after
	}
	if s.loop.Record(fd).Phase == phaseRequest { // what came was empty lines
		s.awaitRequest(fd, nil, 0)
		return
	}
	s.enterKept(fd)
}

// headOf returns the parser of the request that is to come from fd: its own, if it has
// begun, or the loop's.
func (s *exchange) headOf(fd uint32) *wire.Head {
	if c := s.cold[fd]; c != nil && c.head != nil {
		return c.head
	}
	s.head = wire.Head{}
	return &s.head
}

// A route is who answers a request.
type route uint8

const (
	routeUpgrade   route = iota // a WebSocket, or an error as ever
	routeProtocol               // GET or HEAD that asks for one of the table: events, a poll
	routePublish                // POST
	routePreflight              // OPTIONS
	routePage                   // GET or HEAD of / or of a path that is the server's own
	routeInvite                 // GET or HEAD of any other: how to connect
	routeMethod                 // all else
)

// routeOf says who answers a request, and with routeProtocol, which. What makes a GET an
// upgrade makes nothing of another method (RFC 6455, 4.2.1).
func routeOf(h *wire.Head) (route, *protocol) {
	switch string(h.Method()) {
	case "POST":
		return routePublish, nil
	case "OPTIONS":
		return routePreflight, nil
	case "GET":
		if h.IsUpgrade() {
			return routeUpgrade, nil
		}
		fallthrough
	case "HEAD":
		if bytes.HasPrefix(h.Path(), []byte("/-/")) {
			return routePage, nil
		}
		for _, p := range protocols {
			if p.answers != nil && p.answers(h) {
				return routeProtocol, p
			}
		}
		if string(h.Path()) == "/" {
			return routePage, nil
		}
		return routeInvite, nil
	}
	return routeMethod, nil
}

// answer answers one request. rest is what came after its head: a body, the next
// request, frames of a client that did not wait; after is what of it is left for
// verdictNext.
func (s *exchange) answer(fd uint32, h *wire.Head, rest []byte) (after []byte, then verdict) {
	way, chosen := routeOf(h)
	s.asking = s.originOf(h)
	defer func() { s.asking = nil }()
	if c := s.cold[fd]; c.isPending() && (way != routePublish || c.isCounting || !bytes.Equal(c.origin, s.asking)) {
		return nil, verdictWait
	}
	if !s.gate.judgeForwarded(fd, h) {
		return nil, verdictOver
	}
	switch way {
	case routePublish:
		return s.post(fd, h, rest)
	case routePreflight, routePage:
		return rest, s.own(fd, h, way == routePreflight)
	case routeProtocol:
		return nil, chosen.begin(s.Server, chosen, fd, h, rest)
	case routeInvite:
		return nil, s.refuseHead(fd, h, s.gate.judge.Invite(h))
	case routeMethod:
		return nil, s.refuseHead(fd, h, admission.Method(h))
	}
	s.upgrade(fd, h, rest)
	return nil, verdictOver
}

// respond says a whole answer and ends the connection if it is the last one.
func (s *exchange) respond(fd uint32, isLast bool, answer []byte) verdict {
	s.stats.Requests.Add(1)
	answer = s.dress(fd, answer)
	if isLast {
		s.finish(fd, reasons.RequestsDone, answer)
		return verdictOver
	}
	s.enterKept(fd)
	if s.outbox.say(fd, answer); s.loop.Closing(fd) {
		return verdictOver
	}
	return verdictNext
}

// isLast reports whether the answer to h is to be the last on its connection:
// because the client says so, or because the server has better use for it.
func (s *exchange) isLast(h *wire.Head) bool {
	return h.IsLast() || s.draining.IsOn() || s.gate.isCrowded() || s.stats.HTTP.Load() > keptMax
}

// deferRequests keeps requests whose turn has not come. The connection is not read from
// until all of them are answered, so they are one read at most.
func (s *exchange) deferRequests(fd uint32, p []byte, own int) {
	c := s.keepBounded(fd, p, own)
	if c == nil {
		s.end(fd, reasons.RequestMemory) // no answer may overtake those that are to come
		return
	}
	c.head = nil
	s.awaitTurn(fd)
}

// awaitTurn has the requests that are kept of fd answered after what is in their way.
func (s *exchange) awaitTurn(fd uint32) {
	s.enter(fd, phaseAnswer)
	if c := s.cold[fd]; !c.isPending() && !c.owes() {
		s.ready.Push(s.identityOf(fd))
	}
}

// continueRequests goes on with the requests that waited, if nothing is in their way.
func (s *exchange) continueRequests(fd uint32) {
	c := s.cold[fd]
	switch {
	case c == nil:
		s.readRequests(fd, nil, 0)
	case c.isPending() || c.owes():
	case c.isLast:
		s.finish(fd, reasons.RequestsDone, nil)
	default:
		p, own := s.takeRequest(c)
		s.readRequests(fd, p, own)
	}
}

// continueReady goes on with connections that waited for a turn, and reports whether
// there are more.
func (s *exchange) continueReady() (more bool) {
	for n := 0; n < resumesPerTurnMax && s.ready.Len() > 0 && !s.gate.judge.IsTired(); n++ {
		if fd, isHere := s.ConnectionOf(s.ready.Pop()); isHere && s.loop.Record(fd).Phase == phaseAnswer {
			s.continueRequests(fd)
		}
	}
	return s.ready.Len() > 0
}

// enterKept has fd wait for its next request, or for room in its socket.
func (s *exchange) enterKept(fd uint32) {
	switch c := s.cold[fd]; {
	case s.loop.Closing(fd) || isLeaving(s.loop.Record(fd).Phase):
	case c.isPending() || c.owes():
		s.enter(fd, phaseAnswer)
	default:
		if s.enter(fd, phaseKept); c != nil {
			c.origin, c.isHead = nil, false
		}
		s.thaw(fd)
	}
}

// enter moves fd to a phase of the exchange of requests and answers, or begins its
// time in it anew.
func (s *exchange) enter(fd uint32, phase uint8) {
	record := s.loop.Record(fd)
	record.Stamp = secondOf(s.loop.Now())
	if record.Phase != phase {
		s.setPhase(fd, phase)
	}
	if record.Marks&markTimed == 0 {
		record.Marks |= markTimed
		s.expireAfter(&s.exchanges, fd, exchangeLook)
	}
}

// inExchange reports whether a phase is one of those between which the answers to
// requests move a connection.
func inExchange(phase uint8) bool { return phase >= phaseKept && phase <= phaseAnswer }

// secondOf is a time as Record.Stamp has it.
func secondOf(now int64) uint8 { return uint8(now / int64(time.Second)) }

// expireExchanges ends connections that take too long over what they are at, and
// returns when to look again.
func (s *exchange) expireExchanges() (next int64) {
	return s.visit(&s.exchanges, func(fd uint32) (late bool) {
		record := s.loop.Record(fd)
		record.Marks &^= markTimed
		if !inExchange(record.Phase) {
			return false
		}
		age := time.Duration(secondOf(s.loop.Now())-record.Stamp) * time.Second
		if reason, isLate := s.late(fd, record.Phase, age); isLate {
			if record.Phase == phaseBody || reason == reasons.RequestTimeout {
				s.refuse(fd, reason)
			} else {
				s.end(fd, reason)
			}
			return true
		}
		record.Marks |= markTimed
		s.expireAfter(&s.exchanges, fd, exchangeLook)
		return false
	})
}

// late says for what reason fd is to be ended if it has been in its phase for so
// long. What waits for the bus has no time of its own: the bus has.
func (s *exchange) late(fd uint32, phase uint8, age time.Duration) (reasons.Reason, bool) {
	c := s.cold[fd]
	switch {
	case phase == phaseBody:
		return reasons.RequestTimeout, age > bodyTimeout
	case phase == phaseAnswer:
		return reasons.WriteDeadline, c.owes() && c.pending == 0 && age > answerTimeout
	case c != nil && len(c.request) > 0:
		return reasons.RequestTimeout, age > s.shared.handshakeTimeout
	}
	if s.gate.isCrowded() {
		return reasons.RequestIdle, age >= keptCrowdedTimeout
	}
	return reasons.RequestIdle, age > keptTimeout
}

// What is kept of requests: half of one, or those whose turn has not come.

// awaitRequest keeps p until more of a request (or of what comes before it) is
// there. own is as takeRequest returns it, and 0 if p is lent.
func (s *exchange) awaitRequest(fd uint32, p []byte, own int) (kept bool) {
	if s.keepBounded(fd, p, own) == nil {
		s.refuseRequest(fd, p, reasons.RequestMemory)
		return false
	}
	return true
}

// keepBounded keeps p with its connection, whose cold state it returns; nil says that
// there is no room for it, and the connection has to end.
func (s *exchange) keepBounded(fd uint32, p []byte, own int) *cold {
	c := s.coldOf(fd)
	if c == nil {
		return nil
	}
	if s.keepRequest(c, p, own); s.requestBytes > requestBytesTotalMax {
		return nil
	}
	return c
}

// keepRequest keeps a part of a request until the rest of it is there, and counts the
// whole array that it is kept in. The connection's own bytes are not copied, unless
// they are less than a quarter of their array: a byte that is left of a read of 64 KiB
// would hold all of it. So copies cost in proportion to the bytes that come.
func (s *exchange) keepRequest(c *cold, p []byte, own int) {
	s.requestBytes -= c.requestArray
	switch {
	case len(c.request) == 0 && len(p) >= own/4 && own > 0:
		c.request, c.requestArray = p, own
	case len(c.request)+len(p) > cap(c.request):
		c.request = append(c.request, p...)
		c.requestArray = cap(c.request)
	default:
		c.request = append(c.request, p...)
	}
	s.requestBytes += c.requestArray
}

// takeRequest returns what is kept of requests, and keeps it no longer. own is the size
// of the array that p is the end of, for who keeps p, or the end of it, again.
func (s *exchange) takeRequest(c *cold) (p []byte, own int) {
	p, own = c.request, c.requestArray
	s.requestBytes -= own
	c.request, c.requestArray = nil, 0
	return p, own
}

// afterKept returns p behind what is kept of its request, as takeRequest does.
func (s *exchange) afterKept(c *cold, p []byte) (all []byte, own int) {
	if c == nil || len(c.request) == 0 {
		return p, 0
	}
	s.keepRequest(c, p, 0)
	return s.takeRequest(c)
}

// Answers that come later.

// Published implements Feedback: the answers to messages that were published with
// POST, and with PUB and a key.
func (s *Server) Published(outcomes []channel.Outcome) {
	s.loop.Run(func(l *poller.Loop) {
		s.publishing.awaited -= len(outcomes)
		for i := range outcomes {
			o := &outcomes[i]
			fd, isHere := s.ConnectionOf(o.From)
			if isHere && l.Record(fd).Phase == phaseOpen {
				if o.Fate != channel.FatePublished {
					s.stats.PublishesFailed.Add(1)
				}
				if fd != s.current {
					s.outbox.sayPongs() // to who was answered before
				}
				s.protocolOf(fd).published(s, fd, o)
				continue
			}
			s.exchange.answerLater(o.From, func(out []byte, isLast bool) []byte {
				if o.Fate != channel.FatePublished {
					s.stats.PublishesFailed.Add(1)
				}
				return appendOutcome(out, o, isLast)
			})
		}
		s.outbox.sayPongs()
		s.exchange.sayAnswers()
	})
}

// answerLater appends the next answer that a connection waits for, if it is still
// there, for sayAnswers to say.
func (s *exchange) answerLater(to uint64, write func(out []byte, isLast bool) []byte) {
	fd, isHere := s.ConnectionOf(to)
	if !isHere || s.loop.Record(fd).Phase != phaseAnswer {
		return
	}
	c := s.cold[fd]
	if !c.isPending() {
		panic("BUG: an answer that nobody waits for")
	}
	if len(c.answers) == 0 {
		s.answering = append(s.answering, fd)
	}
	c.pending--
	c.isCounting = false
	s.stats.Requests.Add(1)
	s.later = write(s.later[:0], c.isLast && c.pending == 0)
	c.answers = append(c.answers, s.dressed(s.later, c.origin)...)
}

// sayAnswers says the answers that are there, all of a connection in one write, and
// goes on with its requests.
func (s *exchange) sayAnswers() {
	for _, fd := range s.answering {
		c := s.cold[fd]
		answers := c.answers
		c.answers = nil
		if c.isLast && c.pending == 0 {
			s.finish(fd, reasons.RequestsDone, answers)
			continue
		}
		if s.outbox.say(fd, answers); !s.loop.Closing(fd) {
			s.loop.Record(fd).Stamp = secondOf(s.loop.Now())
			s.continueRequests(fd)
		}
	}
	s.answering = s.answering[:0]
}

// Answers are made once, for everybody; what differs is put in when one is said: its
// Date, and with a list of origins the page that may read it.

// dressed returns an answer with its Date, and for the page of origin if that is not
// empty. It is lent until the next call.
func (s *exchange) dressed(answer, origin []byte) []byte {
	s.dressing = wire.AppendDressed(s.dressing[:0], answer, s.date(), origin)
	return s.dressing
}

func (s *exchange) date() []byte {
	if second := s.loop.Now() / int64(time.Second); second != s.dateSecond || len(s.dateLine) == 0 {
		s.dateSecond = second
		s.dateLine = wire.AppendDate(s.dateLine[:0], time.Now())
	}
	return s.dateLine
}

func (s *exchange) originOf(h *wire.Head) []byte {
	if h.Count(wire.Origin) != 1 || !s.shared.Config.Access.Origins.Restrict() {
		return nil
	}
	return h.Value(wire.Origin)
}

// asker is the page to name in an answer to fd: that of the request at hand, or of the
// one whose answer is to come.
func (s *exchange) asker(fd uint32) []byte {
	if len(s.asking) > 0 {
		return s.asking
	}
	if c := s.cold[fd]; c != nil {
		return c.origin
	}
	return nil
}

// keepAsker notes the page with a connection whose answer comes later.
func (s *exchange) keepAsker(c *cold) {
	if len(s.asking) > 0 {
		c.origin = bytes.Clone(s.asking)
	}
}

// dress is dressed for whoever fd waits for, with HEAD perhaps.
func (s *exchange) dress(fd uint32, answer []byte) []byte {
	c := s.cold[fd]
	return s.dressed(wire.AnswerTo(c != nil && c.isHead, answer), s.asker(fd))
}

// ConnectionOf returns the connection that identityOf named, if it is still there.
func (s *Server) ConnectionOf(identity uint64) (fd uint32, isHere bool) {
	fd = uint32(identity)
	return fd, s.isHere(fd, uint32(identity>>32))
}

func (s *Server) isHere(fd, generation uint32) bool {
	return s.loop.Generation(fd) == generation && !s.loop.Closing(fd)
}

func (s *Server) identityOf(fd uint32) uint64 {
	return uint64(s.loop.Generation(fd))<<32 | uint64(fd)
}
