package conn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/admission"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/conn/wire/wiretest"
	"c10m/poller"
	"c10m/poller/pollertest"

	"github.com/gobwas/ws"
)

// The whole server, but for its threads, over a kernel in memory that fails
// often: the real loop, the real registry, the real connections. A run is
// determined by its seed, which is printed; SIMULATION_SEED=n repeats one.

// simFaults is the table of what goes wrong.
var simFaults = pollertest.Faults{
	PartialWrite: 0.2, SendFull: 0.1, SendNoBufs: 0.02, Reset: 0.0005, ShortRead: 0.3,
	WaitNothing: 0.05, StaleEvent: 0.1, AcceptEMFILE: 0.05, AcceptAbort: 0.05, EpollNoSpace: 0.02,
}

type simulation struct {
	t         *testing.T
	seed      uint64
	random    *rand.Rand
	kernel    *network
	loop      *poller.Loop
	server    *Server
	hub       *channel.Hub
	clients   []*simClient // all there ever were
	live      []*simClient // those that may still do something
	published [3]uint64    // messages so far, by channel
	bus       simBus
}

// A simClient checks all that it is sent.
type simClient struct {
	peer     *pollertest.Peer
	channel  int
	toSend   []byte // of the request and frames, not yet written
	stream   []byte // received and not yet understood
	upgraded bool
	next     uint64 // sequence number of the next message; 0 before the first
	pinged   uint64 // pings sent
	ponged   uint64 // highest pong seen
	closed   bool   // it sent a close frame or broke off
	code     uint16 // of the close frame that it got
	said     uint64 // messages that it sent
	heard    uint64 // those of them that reached the bus
	kind     simKind
	asked    int // polls that are not answered
	answers  int // messages that they brought, all together
}

// simKind is how a client gets its messages.
type simKind int

const (
	simSocket simKind = iota
	simEvents
	simPolls
	simKinds
)

const simRequest = "GET /c%d HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

const simEventsRequest = "GET /c%d HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n"

func newSimulation(t *testing.T, seed uint64, skip bool) *simulation {
	s := &simulation{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 2)), kernel: newNetwork(seed)}
	s.kernel.DescriptorsMax = 30
	s.kernel.Faults = simFaults
	config := testConfig()
	config.PingInterval = 20 * time.Second
	config.Channel = channel.Config{LogBytes: 8 << 10, LogAge: 5 * time.Minute, LogBytesTotal: 64 << 10, Skip: skip}
	config.NewPublisher = func(f channel.Feedback) channel.Publisher { s.bus = simBus{simulation: s, feedback: f}; return &s.bus }
	config.PublishBytesMax, config.InboundBytesTotal = simSaidBytesMax, 16<<10
	config.Access = admission.Access{Addresses: access.NewAddresses(access.AddressLimits{Connections: 1 << 20}), DescriptorsMax: 1 << 12}
	s.loop, s.server = newSimulatedLoop(t, s.kernel, NewShared(config))
	s.hub = channel.NewHub([]channel.Poster{s.server}, HubConfig(wire.FrameAuto, 1<<20, s.kernel.Now))
	return s
}

func (s *simulation) failf(format string, a ...any) {
	s.t.Helper()
	s.t.Fatalf("SIMULATION_SEED=%d: %s", s.seed, fmt.Sprintf(format, a...))
}

// step does one random thing and a turn.
func (s *simulation) step() {
	switch s.random.IntN(13) {
	case 0:
		if len(s.live) >= 40 {
			break // the table has room for 20: the rest waits in the backlog
		}
		c := &simClient{peer: s.kernel.Dial(), channel: s.random.IntN(len(s.published)), kind: []simKind{simSocket, simSocket, simSocket, simEvents, simPolls}[s.random.IntN(5)]}
		if c.kind == simPolls {
			s.ask(c)
		} else {
			c.toSend = fmt.Appendf(nil, [simKinds]string{simRequest, simEventsRequest}[c.kind], c.channel)
		}
		s.clients, s.live = append(s.clients, c), append(s.live, c)
	case 1, 2:
		s.publish()
	case 3:
		s.kernel.Advance(time.Duration(s.random.IntN(200)) * time.Millisecond)
	case 4:
		s.bus.take(s.random.IntN(6), s.random.IntN(40) == 0)
	default:
		if len(s.live) == 0 {
			break
		}
		at := s.random.IntN(len(s.live))
		if c := s.live[at]; c.peer.WasReset() || c.peer.Gone() {
			s.live = slices.Delete(s.live, at, at+1)
		} else {
			s.act(c)
		}
	}
	s.loop.Turn()
}

// publish sends a message that begins with its channel's next number.
func (s *simulation) publish() {
	s.publishOn(s.random.IntN(len(s.published)))
}

func (s *simulation) publishOn(at int) {
	s.published[at]++
	payload := binary.BigEndian.AppendUint64(nil, s.published[at])
	payload = append(payload, bytes.Repeat([]byte{'x'}, s.random.IntN(900))...)
	if _, err := s.hub.Publish(fmt.Appendf(nil, "c%d", at), payload); err != nil {
		s.failf("publish: %v", err)
	}
}

// act is one random act of a client.
func (s *simulation) act(c *simClient) {
	switch s.random.IntN(10) {
	case 0: // says a ping, with its number
		if c.upgraded && !c.closed && c.kind == simSocket {
			c.pinged++
			payload := binary.BigEndian.AppendUint64(nil, c.pinged)
			c.toSend = append(c.toSend, ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(payload)))...)
		}
	case 1:
		if s.random.IntN(4) == 0 && c.upgraded && !c.closed && c.kind == simSocket {
			body := ws.NewCloseFrameBody(ws.StatusGoingAway, "bye")
			c.toSend = append(c.toSend, ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(body)))...)
			c.closed = true
		}
	case 2:
		if s.random.IntN(30) == 0 {
			c.closed = true
			c.peer.Reset()
		}
	case 3:
		if s.random.IntN(30) == 0 {
			c.closed = true
			c.peer.Close()
		}
	case 4, 5, 6:
		n := len(c.toSend)
		if s.random.IntN(2) == 0 {
			n = s.random.IntN(n + 1)
		}
		c.peer.Write(c.toSend[:n])
		c.toSend = c.toSend[n:]
	case 7, 8:
		s.read(c, s.random.IntN(6000))
	case 9:
		if c.upgraded && !c.closed && c.kind == simSocket {
			s.say(c)
		}
	}
}

// read takes bytes from the server and checks every frame in them.
func (s *simulation) read(c *simClient, n int) {
	c.stream = append(c.stream, c.peer.Read(n)...)
	if c.kind == simPolls {
		s.readPolls(c)
		return
	}
	if !c.upgraded {
		end := requestEnd(c.stream, 0)
		if end == 0 {
			return
		}
		if !bytes.HasPrefix(c.stream, []byte([simKinds]string{"HTTP/1.1 101 ", "HTTP/1.1 200 "}[c.kind])) {
			// A request that took too long, or a full server.
			c.closed, c.stream = true, nil
			return
		}
		c.upgraded, c.stream = true, c.stream[end:]
	}
	if c.kind == simEvents {
		s.readEvents(c)
		return
	}
	for {
		f, rest, isWhole, err := cutFrame(c.stream)
		if err != nil {
			s.failf("a client cannot read a header: %v", err)
		}
		if !isWhole {
			return
		}
		if h := f.Header; h.Masked || h.Rsv != 0 || !h.Fin || c.code != 0 {
			s.failf("a client got frame %+v after close code %d", h, c.code)
		}
		s.understand(c, f.Header.OpCode, f.Payload)
		c.stream = rest
	}
}

func (s *simulation) understand(c *simClient, opcode ws.OpCode, payload []byte) {
	switch opcode {
	case ws.OpPing:
	case ws.OpPong:
		number := binary.BigEndian.Uint64(payload)
		if number <= c.ponged || number > c.pinged {
			s.failf("pong %d after pong %d and %d pings", number, c.ponged, c.pinged)
		}
		c.ponged = number
	case ws.OpClose:
		c.code = 1005
		if len(payload) >= 2 {
			c.code = binary.BigEndian.Uint16(payload)
		}
	default:
		s.understandMessage(c, payload)
	}
}

// readEvents reads the whole events in a client's stream.
func (s *simulation) readEvents(c *simClient) {
	end := bytes.LastIndex(c.stream, []byte("\n\n")) + 2
	if end < 2 {
		return
	}
	events, _, _ := wiretest.ReadEvents(string(c.stream[:end]))
	c.stream = c.stream[end:]
	for _, e := range events {
		switch {
		case c.code != 0:
			s.failf("a client got event %.80q after its close", e)
		case e.Type == "close":
			c.code = 1000
		case e.Type == wire.EventBase64 || e.Type == "message":
			s.understandMessage(c, []byte(e.Payload(s.t)))
		default:
			s.failf("a client got event %.80q", e)
		}
	}
}

// understandMessage looks at the number that a message begins with.
func (s *simulation) understandMessage(c *simClient, payload []byte) {
	if len(payload) < 8 {
		s.failf("a message is %q", payload)
	} else {
		number := binary.BigEndian.Uint64(payload)
		if c.next != 0 && number != c.next && !(number > c.next && (s.server.shared.Config.Channel.Skip || c.kind == simPolls)) {
			s.failf("message %d of channel %d where %d is due", number, c.channel, c.next)
		}
		c.next = number + 1
	}
}

// settle lets everybody read and write until nothing moves.
func (s *simulation) settle() {
	s.kernel.Faults = pollertest.Faults{}
	s.kernel.DescriptorsMax = 1 << 12
	for range 400 {
		for _, c := range s.clients {
			c.peer.Write(c.toSend)
			c.toSend = nil
			s.read(c, -1)
		}
		s.bus.take(simBusMax, false)
		s.loop.Turn()
	}
}

// checkDelivered is for the end: whoever is still connected got everything.
func (s *simulation) checkDelivered() (connected int) {
	for i, c := range s.clients {
		if !c.upgraded || c.closed || c.peer.WasReset() || c.peer.Ended() {
			continue
		}
		if c.kind == simPolls {
			continue // between two polls it misses messages
		}
		connected++
		if c.heard != c.said {
			s.failf("client %d said %d messages, and the bus has %d", i, c.said, c.heard)
		}
		if c.next != 0 && c.next != s.published[c.channel]+1 {
			s.failf("client %d has message %d, and %d were published", i, c.next-1, s.published[c.channel])
		}
	}
	return connected
}

func (s *simulation) run(more func() bool) {
	openNaps(s.loop)
	base := s.kernel.Open()
	for more() {
		s.step()
	}
	s.settle()
	for at := range s.published { // one for everybody, now that all can read
		s.publishOn(at)
	}
	s.settle()
	connected := s.checkDelivered()
	if open := s.server.Stats().Open.Load(); int64(connected) > open {
		s.failf("%d clients think that they are connected, and the server has %d", connected, open)
	}

	// Everybody leaves; after the time-outs nothing may be left.
	for _, c := range s.clients {
		c.peer.Close()
	}
	for range 200 {
		s.kernel.Advance(200 * time.Millisecond)
		s.loop.Turn()
	}
	stats, channels := s.server.Stats(), s.server.ChannelStats()
	if open := s.kernel.Open(); open != base {
		s.failf("%d descriptors are open, %d were at the start", open, base)
	}
	checkNoneLeft(s.failf, map[string]int64{
		"connections": s.loop.Stats().Connections.Load(), "open": stats.Open.Load(),
		"unfinished": stats.Unfinished.Load(), "events": stats.OpenEvents.Load(), "polls": stats.OpenPolls.Load(), "pinned bytes": stats.Pinned.Load(), "lingering": stats.Lingering.Load(),
		"members": channels.Members.Load(), "channels": channels.Channels.Load(),
		"logs": channels.Logs.Load(), "log bytes": channels.LogBytes.Load(), "blocked": channels.Blocked.Load(),
		"held back": stats.PublishPaused.Load(), "message bytes": int64(s.server.inboundBytes),
		"cold": int64(len(s.server.cold)), "request bytes": int64(s.server.exchange.requestBytes),
		"addresses": s.server.shared.Config.Access.Addresses.Count(),
	})
	checkReasons(s.failf, s.loop, s.server)
	s.loop.Shut()
}

func TestSimulation(t *testing.T) {
	seeds := simulationSeeds(t, 5)
	injected, happened := make(map[string]int), make(map[string]uint64)
	for _, seed := range seeds {
		for _, skip := range []bool{false, true} {
			t.Logf("SIMULATION_SEED=%d skip=%v", seed, skip)
			s := newSimulation(t, seed, skip)
			steps := 20_000
			s.run(func() bool { steps--; return steps >= 0 })
			for name, n := range s.kernel.Injected {
				injected[name] += n
			}
			stats, channels := s.server.Stats(), s.server.ChannelStats()
			for name, n := range map[string]uint64{
				"upgrades": stats.Handshakes.Load(), "pings": stats.Pings.Load(), "pongs": stats.Pongs.Load(),
				"deliveries": channels.Deliveries.Load(), "batches": channels.Batches.Load(),
				"skipped": channels.Skipped.Load(), "slow": stats.Closes[reasons.SlowBytes].Load(),
				"polls": stats.Polls.Load(), "messages to polls": s.polled(), "polls answered with nothing": stats.PollsEmpty.Load(),
				"streams of events":   stats.EventStreams.Load(),
				"messages of clients": stats.Published.Load(), "held back": stats.PublishPauses.Load(),
				"failed at the bus": stats.Closes[reasons.PublishFailed].Load(),
				"epoll full":        stats.Closes[reasons.EpollFull].Load(), "closed by the client": stats.Closes[reasons.ClientClosed].Load(),
			} {
				happened[name] += n
			}
		}
	}
	t.Logf("injected: %v", injected)
	t.Logf("happened: %v", happened)
	if len(seeds) == 1 {
		return
	}
	// A run in which nothing went wrong would prove nothing.
	if len(injected) != 11 {
		t.Errorf("some faults never happened: %v", injected)
	}
	for name, n := range happened {
		if n == 0 {
			t.Errorf("this never happened: %s", name)
		}
	}
}
