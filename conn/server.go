package conn

import (
	"sync/atomic"
	"time"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/admission"
	"c10m/conn/backlog"
	"c10m/conn/members"
	"c10m/conn/operator"
	"c10m/conn/pages"
	"c10m/conn/presence"
	"c10m/conn/reasons"
	"c10m/conn/timers"
	"c10m/conn/walks"
	"c10m/conn/wire"
	"c10m/internal/futex"
	"c10m/poller"
)

// Config is the same for all loops.
type Config struct {
	// PingInterval is how often each connection is pinged; 0 is never.
	PingInterval time.Duration
	// ConnectionsMax is how many the process may hold open, over all loops: upgraded
	// ones, streams, polls, and those that are kept for a next request.
	ConnectionsMax int64
	// Channel is the registries' part.
	Channel channel.Config
	// Tokens judge who may subscribe; nil is everybody.
	Tokens *access.Tokens
	// NewPublisher makes a loop's way to the bus for what clients publish; it
	// is called on that loop's thread. nil: what clients say is refused.
	NewPublisher func(channel.Feedback) channel.Publisher
	// NewPresence makes a loop's way to the bus for what it tells of those who come
	// and leave (Channel.Presence), as NewPublisher does; nil: nothing is told.
	NewPresence func(channel.Feedback) channel.Publisher
	// PublishBytesMax is the longest message that a client may publish.
	PublishBytesMax int
	// InboundBytesTotal is what a loop may keep of messages and commands that clients
	// have not finished.
	InboundBytesTotal int
	// RequestBytesMax is the longest head of a request; 0 is RequestBytesDefault.
	RequestBytesMax int
	// Access is who gets in.
	Access admission.Access
	// History continues positions; nil knows none.
	History *channel.History
	// Pages are the server's own, beside /-/channels/<channel>.
	Pages []pages.Page
	// Refusals collect who is refused; nil: nobody looks.
	Refusals *reasons.Refusals
}

// Shared is what the loops of a process have in common.
type Shared struct {
	// Fixed after construction.
	Config           Config
	handshakeTimeout time.Duration // these two of limits.go, or a test's own
	lingerTimeout    time.Duration
	requestBytesMax  int
	pages            pages.Pages
	// Shared: atomic.
	// MemoryShort refuses newcomers with 503 while it is true.
	MemoryShort atomic.Bool
	// Activity counts the seconds in which a loop had anything to do, each loop's apart.
	Activity futex.Signal
	open     atomic.Int64
	counter  atomic.Pointer[Counter]

	gate admission.Shared
}

// NewShared makes the common part.
func NewShared(config Config) *Shared {
	if config.RequestBytesMax == 0 {
		config.RequestBytesMax = RequestBytesDefault
	}
	s := &Shared{
		requestBytesMax: min(config.RequestBytesMax, wire.HeadBytesMax),
		Config:          config, handshakeTimeout: handshakeTimeout, lingerTimeout: lingerTimeout,
		pages: pages.New(config.Pages),
	}
	s.gate = admission.NewShared(&s.Config.Access)
	return s
}

// Open is the number of connections that count for Config.ConnectionsMax: all that
// were answered and not ended. Any goroutine may call it.
func (s *Shared) Open() int64 { return s.open.Load() }

// The phases of a connection, in Record.Phase. A record that was just made
// reads phaseRequest.
const (
	phaseRequest   = iota // its first request is not complete
	phaseKept             // its next request is not complete, or has not begun
	phaseBody             // the body of its POST is not complete
	phaseAnswer           // answers of ours are to come, or wait for room; not read from
	phaseOpen             // it speaks another protocol than HTTP, as a member of channels
	phaseClosing          // our close frame is said or owed; the client's is to come
	phaseLingering        // we ended it; it may still read our last words
	phaseEnded            // counted and marked for the reaper
)

func isRequest(phase uint8) bool { return phase == phaseRequest }
func isOpen(phase uint8) bool    { return phase == phaseOpen }

// holdsPlace reports whether a connection in this phase counts for ConnectionsMax.
func holdsPlace(phase uint8) bool { return phase >= phaseKept && phase <= phaseOpen }

// isLeaving reports whether a connection in this phase was ended by us and not yet by
// its client.
func isLeaving(phase uint8) bool { return phase == phaseClosing || phase == phaseLingering }

// The bits of Record.Marks.
const (
	markCold    = 1 << iota // there is an entry in Server.cold
	markPublish             // its data messages are published
	markPaused              // it is not read from, since too many of those are under way
	markTimed               // it has an entry in exchange.exchanges

	// protocolShift: the bits from here on are the index of its protocol.
	protocolShift = 4
)

// cold is the state of a connection that does not fit its record: it exists
// while a request is incomplete, a client's frame is partial, or something
// waits for room in the socket.
type cold struct {
	request      []byte     // what came of the request so far; in phaseAnswer, of those to come
	requestArray int        // the size of the array that request is the end of
	head         *wire.Head // its parser, once it has begun; nil in phaseAnswer
	proxy        proxyMarks // of its peer, before the first request is judged
	in           wire.Inbound

	// Of requests that are no upgrades.
	body    *body  // of a POST, until it is complete
	origin  []byte // of the page that asks, if answers name it
	isHead  bool   // the poll that waits was asked with HEAD
	answers []byte // to be said together
	pending int    // answers that are to come
	isLast  bool   // after them the connection ends
	// isCounting: the one that is to come is not the bus's, so a message that is
	// published now could be answered before it.
	isCounting bool
	held       bool // EPOLLIN is off: see doNotRead

	// owedFrame is the rest of a frame that was partly in the socket, shared
	// with its log; owed is what we have to say after it.
	owedFrame []byte
	owed      []byte
	resumes   []*resume // on the way from a position to a log: one, or one of each SUB, the oldest first
}

func (c *cold) isBlank() bool {
	return c.in.Between() && !c.owes() && len(c.request) == 0 && c.body == nil && c.pending == 0 && !c.isLast && len(c.resumes) == 0 &&
		c.origin == nil && !c.isHead && !c.held
}

// owes reports whether something waits for room, isPending whether answers are to come,
// continues whether a position is. All are false where there is no cold state.
func (c *cold) owes() bool      { return c != nil && (len(c.owedFrame) > 0 || len(c.owed) > 0) }
func (c *cold) isPending() bool { return c != nil && c.pending > 0 }
func (c *cold) continues() bool { return c != nil && len(c.resumes) > 0 }

// A Server is one loop's connections: it is the loop's poller.Handler and its
// registry's channel.Owner.
type Server struct {
	// Fixed after construction.
	loop     *poller.Loop
	shared   *Shared
	registry *channel.Registry
	refusals *reasons.Ring // nil if nobody looks

	// Owned by the loop.
	cold         map[uint32]*cold
	coldSpares   []*cold
	inboundBytes int // held by cold.in and cold.body, all together
	members      socket
	publisher    channel.Publisher
	presence     presence.Teller
	handshakes   timers.Deadlines
	lingers      timers.Deadlines
	pings        timers.Rounds
	pingCursor   uint32
	current      uint32 // the connection at hand, that in is feeding
	scratch      [scratchBytes]byte

	// The parts, each with what it owns.
	frames     frames
	outbox     outbox
	exchange   exchange
	gate       gate
	longPolls  longPolls
	twoWays    twoWays
	resumer    resumer
	publishing publishing
	gaps       walks.Gaps
	draining   walks.Draining
	operator   *operator.Loop

	// Shared: atomic.
	stats        Stats
	channelStats channel.Stats
}

// NewServer makes the handler of one loop, on that loop's thread.
func NewServer(shared *Shared, loop *poller.Loop) *Server {
	s := &Server{loop: loop, shared: shared, cold: make(map[uint32]*cold)}
	s.tieParts()
	config := &shared.Config
	if config.NewPublisher != nil {
		s.publisher = config.NewPublisher(s)
		s.publishing.prompt, _ = s.publisher.(channel.PromptPublisher)
	}
	if config.NewPresence != nil {
		s.presence.To = config.NewPresence(presence.Failures{Count: &s.stats.PresenceFailed})
	}
	s.gate.judge.Loop, s.gate.judge.MayPost = loop, s.publisher != nil
	s.refusals = config.Refusals.NewRing(&s.stats.RefusalsDropped)
	s.members = socket{members.Table{Loop: loop, IsFree: s.isFree}, s}
	s.registry = channel.NewRegistry(config.Channel, &s.members, s, &s.channelStats)
	s.members.Registry = s.registry
	s.gaps = walks.Gaps{Loop: loop, Registry: s.registry, Told: many{s}}
	s.draining = walks.Draining{Loop: loop, Connections: many{s}, Linger: shared.lingerTimeout}
	s.presence.Loop, s.presence.Registry = loop, s.registry
	s.operator = operator.NewLoop(loop, s.registry, many{s})
	s.pings.Begin(loop.Now())
	return s
}

func (s *Server) tieParts() {
	s.outbox = outbox{Server: s, pins: backlog.Pins{Gauge: &s.stats.Pinned}, pongs: make([]byte, 0, replyBatchBytesMax)}
	s.twoWays = twoWays{Server: s, grants: access.NewPatternStore()}
	config := &s.shared.Config
	s.gate = gate{Server: s, clients: s.shared.gate.NewClients(), judge: admission.Judge{
		Origins: config.Access.Origins, Tokens: config.Tokens, Subprotocols: subprotocols,
		PublishBytesMax: config.PublishBytesMax, Pauses: &s.stats.TokenPauses,
	}}
	s.exchange.Server, s.longPolls.Server, s.resumer.Server = s, s, s
	s.frames.Server, s.publishing.Server = s, s
}

// Stats and ChannelStats return the counters. Any goroutine may call them.
func (s *Server) Stats() *Stats                { return &s.stats }
func (s *Server) ChannelStats() *channel.Stats { return &s.channelStats }

// Post and Wants make Server a channel.Poster. Any goroutine may call them.
func (s *Server) Post(letter *poller.Letter) bool { return s.loop.Post(letter) }
func (s *Server) Wants(hash uint32) bool          { return s.registry.Wants(hash) }

// Home is the loop as its own shortcut sees it.
func (s *Server) Home() channel.Home { return home{s.loop, s.registry, s} }

type home struct {
	*poller.Loop
	registry *channel.Registry
	server   *Server
}

func (h home) Wants(hash uint32) bool { return h.registry.Wants(hash) }
func (h home) Letter(body any)        { h.server.Letter(body) }
func (h home) MembersOf(name []byte, hash uint32) (n int, isKnown bool) {
	return h.registry.MembersOf(name, hash)
}

// Open looks at a new connection's request, which is usually there.
func (s *Server) Open(fd uint32, tag poller.Tag) {
	first := firsts[tag]
	if first == nil {
		panic("BUG: nothing is spoken at a listener of this tag")
	}
	s.speak(fd, first)
	s.stats.Unfinished.Add(1)
	if !s.gate.arrive(fd) {
		return
	}
	n, status := 0, poller.Full
	if !s.gate.judge.IsTired() {
		n, status = s.loop.Recv(fd, s.scratch[:])
	}
	if status == poller.Full {
		s.coldOrRefuse(fd)
	} else {
		s.received(fd, n, status)
	}
	if s.loop.Record(fd).Phase == phaseRequest {
		s.expireAfter(&s.handshakes, fd, s.shared.handshakeTimeout)
	}
}

// Event reads what came and continues what waited for room.
func (s *Server) Event(fd uint32, event poller.Event) {
	if event&poller.Writable != 0 {
		s.outbox.writable(fd)
		if s.loop.Closing(fd) {
			return
		}
	}
	if event&poller.Readable == 0 {
		return
	}
	if p := s.protocolOf(fd); p.mayRead(s, fd) {
		n, status := s.loop.Recv(fd, s.scratch[:p.readBytesMax(s, fd)])
		s.received(fd, n, status)
	}
}

func (s *Server) received(fd uint32, n int, status poller.Status) {
	p := s.protocolOf(fd)
	switch {
	case status == poller.Full:
	case status == poller.Gone || status == poller.OK && n == 0:
		s.end(fd, p.hungUp(s, fd, status != poller.OK))
	case status.IsEnd():
		s.end(fd, reasonOf(status))
	case s.loop.Record(fd).Phase != phaseLingering:
		p.received(s, fd, s.scratch[:n])
	}
	// phaseLingering: what comes after our last words is read and dropped, so
	// that the kernel does not answer it with a reset that overtakes them.
}

// hungUp is protocol.hungUp where no phase matters.
func hungUp(_ *Server, _ uint32, isReset bool) reasons.Reason {
	if isReset {
		return reasons.ClientReset
	}
	return reasons.ClientGone
}

func reasonOf(status poller.Status) reasons.Reason {
	switch status {
	case poller.Gone:
		return reasons.ClientReset
	case poller.TimedOut:
		return reasons.WriteDeadline
	}
	return reasons.SocketError
}

func (s *exchange) readRequest(fd uint32, p []byte) {
	c := s.cold[fd]
	if c != nil && c.proxy.hasHeader {
		s.gate.readProxyHeader(fd, c, p)
		return
	}
	if c == nil || len(c.request) == 0 {
		s.loop.Record(fd).Stamp = secondOf(s.loop.Now()) // of the request, and not of the wait for it
	}
	p, own := s.afterKept(c, p)
	s.readRequests(fd, p, own)
}

// upgrade upgrades a connection or refuses it. rest is what came after the
// request: frames of a client that did not wait.
func (s *exchange) upgrade(fd uint32, h *wire.Head, rest []byte) {
	p, reason := s.gate.judgeUpgrade(h)
	if reason == reasons.None {
		reason = s.gate.admit(fd)
	}
	if reason == reasons.None {
		reason = s.gate.judge.Token(h) // last: it costs more than all the rest
	}
	if reason != reasons.None {
		s.refuseHead(fd, h, reason)
		return
	}
	s.later = wire.AppendSwitch(s.later[:0], h.Value(wire.SecWebSocketKey), s.gate.judge.Subprotocol)
	s.stats.Handshakes.Add(1)
	n := newcomer{channel: s.gate.judge.Channel, grant: s.gate.judge.Grant, response: s.later}
	if s.shared.Config.Tokens == nil {
		n.grant.Publish = s.publisher != nil
	}
	n.since, _ = h.Parameter("since")
	p.upgraded(s.Server, p, fd, &n)
	if phase := s.loop.Record(fd).Phase; len(rest) > 0 && (phase == phaseOpen || phase == phaseClosing) {
		p.received(s.Server, fd, rest)
	}
	s.thaw(fd)
}

// admitMember makes fd, whose request was found good, a member of one channel, and
// answers it.
func (s *Server) admitMember(p *protocol, fd uint32, n *newcomer) {
	if err := s.registry.SubscribeAs(fd, n.channel, p.format); err != nil {
		panic("BUG: a bad channel was let through")
	}
	s.speak(fd, p)
	s.setPhase(fd, phaseOpen)
	s.gate.grant(fd, n.grant)
	s.outbox.say(fd, n.response)
	if len(n.since) > 0 && !s.loop.Closing(fd) {
		s.resumer.resumeAt(fd, n.since)
	}
	if s.draining.IsOn() && !s.loop.Closing(fd) {
		many{s}.Notice(fd) // the walk may have passed it
	}
}

// refuse answers what there is of a request with its HTTP status and ends the
// connection.
func (s *Server) refuse(fd uint32, reason reasons.Reason) {
	var begun []byte
	if c := s.cold[fd]; c != nil && s.loop.Record(fd).Phase <= phaseKept {
		begun = c.request
	}
	s.refuseRequest(fd, begun, reason)
}

// refuseRequest is refuse for a request that is at hand, or what there is of it.
func (s *Server) refuseRequest(fd uint32, request []byte, reason reasons.Reason) {
	if s.refusals != nil {
		peer, _ := s.loop.Peer(fd)
		s.refusals.Note(reason, peer, request)
	}
	c := s.cold[fd]
	asksHead := wire.AsksHead(request) || c != nil && c.isHead
	s.finish(fd, reason, s.exchange.dressed(wire.AnswerTo(asksHead, reason.Refusal()), s.exchange.asker(fd)))
}

func (s *Server) refuseHead(fd uint32, h *wire.Head, reason reasons.Reason) verdict {
	s.refuseRequest(fd, h.Bytes(), reason)
	return verdictOver
}

// coldOf returns the cold state of fd and makes it if there is none; nil if
// the loop has too many.
func (s *Server) coldOf(fd uint32) *cold {
	if c := s.cold[fd]; c != nil {
		return c
	}
	if len(s.cold) >= coldMax {
		return nil
	}
	var c *cold
	if n := len(s.coldSpares); n > 0 {
		c, s.coldSpares = s.coldSpares[n-1], s.coldSpares[:n-1]
	} else {
		c = &cold{}
	}
	s.cold[fd] = c
	s.loop.Record(fd).Marks |= markCold
	return c
}

func (s *Server) coldOrRefuse(fd uint32) *cold {
	c := s.coldOf(fd)
	if c == nil {
		s.refuse(fd, reasons.RequestMemory)
	}
	return c
}

func (s *Server) coldOrEnd(fd uint32) *cold {
	c := s.coldOf(fd)
	if c == nil {
		s.end(fd, reasons.StateMemory)
	}
	return c
}

// thaw drops the cold state of fd if nothing is in it any more.
func (s *Server) thaw(fd uint32) {
	record := s.loop.Record(fd)
	if record.Marks&markCold == 0 {
		return
	}
	if c := s.cold[fd]; record.Phase != phaseRequest && c.isBlank() {
		s.dropCold(fd)
	}
}

func (s *Server) dropCold(fd uint32) {
	c := s.cold[fd]
	if c == nil {
		return
	}
	s.exchange.requestBytes -= c.requestArray
	s.inboundBytes -= c.in.KeptBytes()
	s.outbox.owedBytes -= len(c.owed)
	s.exchange.dropBody(c)
	s.outbox.unpin(c)
	s.resumer.dropResume(c)
	delete(s.cold, fd)
	s.loop.Record(fd).Marks &^= markCold
	// Never called while the parser in c is running: see end.
	if len(s.coldSpares) < coldSparesMax {
		*c = cold{}
		s.coldSpares = append(s.coldSpares, c)
	}
}

// Letter, Full and Work are the registry's, but for what is said to one connection.
func (s *Server) Letter(body any) {
	switch body := body.(type) {
	case *channel.Answer:
		s.resumer.answered(body)
	case *channel.Interruption:
		s.registry.Interrupt(body)
		s.gaps.Begin(body.Over)
	default:
		if !s.registry.Letter(body) {
			panic("BUG: a letter that nobody understands")
		}
	}
}

func (s *Server) Full() bool { return s.registry.Full() }

func (s *Server) Work() bool {
	s.gate.judge.TokenNanos = 0
	more := s.registry.Work()
	s.gaps.TellDue()
	more = s.exchange.continueReady() || more
	return s.publishing.resumeSome() || more
}

// Closed forgets a connection that the reaper is about to close.
func (s *Server) Closed(fd uint32) {
	if s.loop.Record(fd).Phase != phaseEnded {
		// Not we but the loop closed it.
		reason := reasons.EpollFull
		if s.loop.Stopping() {
			reason = reasons.Stopped
		}
		s.end(fd, reason)
	}
	s.dropCold(fd)
	s.protocolOf(fd).channels.leave(s, fd)
	s.gate.clients.Release(fd, s.loop.Now())
}
