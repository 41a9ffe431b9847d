package conn

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/pages"
	"c10m/conn/reasons"
	"c10m/poller"
	"c10m/poller/pollertest"
)

// The simulation for requests that are no upgrades: clients that ask on kept
// connections, one thing after the other or many at once, cut anywhere, over the
// kernel that fails often, and a bus that answers when it likes.

type httpSimulation struct {
	t        *testing.T
	seed     uint64
	random   *rand.Rand
	kernel   *network
	loop     *poller.Loop
	server   *Server
	clients  []*askingClient   // all there ever were
	live     []int             // the numbers of those that may still do something
	waiting  []channel.Outcome // that the bus has not told
	feedback channel.Feedback
	answered int
	busy     int // answered with 429
}

// An askingClient knows the answers that it is to get.
type askingClient struct {
	peer    *pollertest.Peer
	toSend  []byte
	stream  []byte
	due     []dueAnswer // oldest first
	posts   uint64      // asked for
	taken   uint64      // the last of them that the bus has
	told    uint64      // the last of them that was answered with 200
	isOver  bool        // it asks for nothing more
	broken  bool        // it broke off, or the server had a reason to
	isEnded bool
}

type dueAnswer struct {
	method string
	status int
	body   string
	post   uint64
}

const simPage = "a page of the server's own"

func newHTTPSimulation(t *testing.T, seed uint64) *httpSimulation {
	s := &httpSimulation{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 3)), kernel: newNetwork(seed)}
	s.kernel.DescriptorsMax = 40
	s.kernel.Faults = pollertest.Faults{
		PartialWrite: 0.2, SendFull: 0.1, SendNoBufs: 0.02, Reset: 0.0002, ShortRead: 0.3, WaitNothing: 0.05, StaleEvent: 0.1,
	}
	config := testConfig()
	config.NewPublisher = func(f channel.Feedback) channel.Publisher { s.feedback = f; return s }
	config.PublishBytesMax, config.InboundBytesTotal = 3000, 1<<20
	config.Pages = []pages.Page{{Path: "/-/page", ContentType: "text/plain", Body: []byte(simPage)}}
	shared := NewShared(config)
	// The loop sleeps through turns in which nothing comes, so clients are slow.
	shared.handshakeTimeout, shared.lingerTimeout = 5*time.Minute, 5*time.Minute
	s.loop, s.server = newSimulatedLoop(t, s.kernel, shared)
	return s
}

func (s *httpSimulation) failf(format string, a ...any) {
	s.t.Helper()
	s.t.Fatalf("SIMULATION_SEED=%d: %s", s.seed, fmt.Sprintf(format, a...))
}

// Publish, PublishAnswered and Full make the simulation its own Publisher.

func (s *httpSimulation) Publish(uint64, []byte, []byte) bool {
	s.failf("nobody is upgraded")
	return false
}

func (s *httpSimulation) Full() bool { return len(s.waiting) >= 30 }

func (s *httpSimulation) PublishAnswered(from uint64, name, key, payload []byte) bool {
	if len(s.waiting) >= 45 {
		return false
	}
	c := s.clients[binary.BigEndian.Uint32(payload)]
	post := uint64(binary.BigEndian.Uint32(payload[4:]))
	if post <= c.taken || post > c.posts || len(bytes.Trim(payload[8:], "z")) > 0 || string(name) != "sim" {
		s.failf("the bus hears post %d after %d, of %d: %q", post, c.taken, c.posts, payload)
	}
	c.taken = post
	s.waiting = append(s.waiting, channel.Outcome{From: from, Channel: bytes.Clone(name), Connections: len(payload), Subscribers: int(post)})
	return true
}

// tell answers the n oldest messages, all in one letter.
func (s *httpSimulation) tell(n int) {
	n = min(n, len(s.waiting))
	s.feedback.Published(slices.Clone(s.waiting[:n]))
	s.waiting = s.waiting[n:]
}

func (s *httpSimulation) step() {
	switch s.random.IntN(12) {
	case 0:
		if len(s.live) < 20 {
			s.live = append(s.live, len(s.clients))
			s.clients = append(s.clients, &askingClient{peer: s.kernel.Dial()})
		}
	case 1:
		s.kernel.Advance(time.Duration(s.random.IntN(40)) * time.Millisecond)
	case 2, 3:
		s.tell(s.random.IntN(10))
	default:
		for n := 0; n < 8 && len(s.live) > 0; n++ {
			at := s.random.IntN(len(s.live))
			if c := s.clients[s.live[at]]; c.peer.WasReset() || c.peer.Gone() {
				s.live = slices.Delete(s.live, at, at+1)
			} else {
				s.act(s.live[at])
			}
		}
	}
	s.loop.Turn()
}

// act is one random act of a client.
func (s *httpSimulation) act(number int) {
	c := s.clients[number]
	switch s.random.IntN(8) {
	case 0, 1, 2:
		if !c.isOver && len(c.due) < 200 {
			s.ask(c, number)
		}
	case 3, 4:
		n := len(c.toSend)
		if s.random.IntN(2) == 0 {
			n = s.random.IntN(n + 1)
		}
		c.peer.Write(c.toSend[:n])
		c.toSend = c.toSend[n:]
	case 5, 6:
		s.read(c, s.random.IntN(4000))
	case 7:
		if s.random.IntN(200) == 0 {
			c.broken = true
			c.peer.Reset()
		}
	}
}

// ask has a client ask for something.
func (s *httpSimulation) ask(c *askingClient, number int) {
	last := ""
	if c.isOver = s.random.IntN(60) == 0; c.isOver {
		last = "Connection: close\r\n"
	}
	switch s.random.IntN(6) {
	case 0:
		c.toSend = fmt.Appendf(c.toSend, "GET /-/page HTTP/1.1\r\nHost: h\r\n%s\r\n", last)
		c.due = append(c.due, dueAnswer{"GET", 200, simPage, 0})
	case 1:
		c.toSend = fmt.Appendf(c.toSend, "OPTIONS /sim HTTP/1.1\r\nHost: h\r\n%s\r\n", last)
		c.due = append(c.due, dueAnswer{"OPTIONS", 204, "", 0})
	default:
		c.posts++
		payload := binary.BigEndian.AppendUint32(nil, uint32(number))
		payload = binary.BigEndian.AppendUint32(payload, uint32(c.posts))
		payload = append(payload, bytes.Repeat([]byte{'z'}, s.random.IntN(8)*s.random.IntN(300))...)
		c.toSend = append(c.toSend, postRequest("/sim", string(payload), last)...)
		c.due = append(c.due, dueAnswer{"POST", 200, published("sim", len(payload), int(c.posts)), c.posts})
	}
}

// read takes bytes from the server and checks every answer in them.
func (s *httpSimulation) read(c *askingClient, n int) {
	c.stream = append(c.stream, c.peer.Read(n)...)
	for len(c.stream) > 0 {
		if len(c.due) == 0 {
			if len(c.stream) < len("HTTP/1.1 408 ") {
				return
			}
			if c.isEnded = bytes.HasPrefix(c.stream, []byte("HTTP/1.1 408 ")); !c.isEnded {
				s.failf("an answer that nobody asked for: %q", c.stream)
			}
			return
		}
		due := c.due[0]
		from := bytes.NewReader(c.stream)
		in := bufio.NewReaderSize(from, 16)
		r, err := http.ReadResponse(in, &http.Request{Method: due.method})
		if err != nil {
			return // half a head
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.StatusCode == http.StatusRequestTimeout {
			c.isEnded = true // it was too slow with its request
			return
		}
		switch {
		case r.StatusCode == due.status && string(body) == due.body:
			c.told = max(c.told, due.post)
		case r.StatusCode == 429 && due.post > 0:
			s.busy++
		default:
			s.failf("got %d %q, and %d %q is due", r.StatusCode, body, due.status, due.body)
		}
		s.answered++
		c.due = c.due[1:]
		c.stream = c.stream[len(c.stream)-from.Len()-in.Buffered():]
	}
}

// run plays a simulation to its end: everybody gets his answers, leaves, and nothing
// is left.
func (s *httpSimulation) run(more func() bool) {
	base := s.kernel.Open()
	for more() {
		s.step()
	}
	s.kernel.Faults = pollertest.Faults{}
	s.kernel.DescriptorsMax = 1 << 12
	for range 600 {
		for _, c := range s.clients {
			c.peer.Write(c.toSend)
			c.toSend = nil
			s.read(c, -1)
		}
		s.tell(len(s.waiting))
		s.kernel.Advance(5 * time.Millisecond)
		s.loop.Turn()
	}
	stats := s.server.Stats()
	excused := stats.Closes[reasons.RequestIdle].Load() + stats.Closes[reasons.WriteDeadline].Load() // without a word
	for i, c := range s.clients {
		if c.broken || c.isEnded || c.peer.WasReset() {
			continue
		}
		if len(c.due) > 0 && c.peer.Gone() && excused > 0 {
			excused--
			continue
		}
		if len(c.due) > 0 || c.told > c.taken {
			s.failf("client %d waits for %d answers; the bus has its post %d, it was told of %d", i, len(c.due), c.taken, c.told)
		}
	}
	for _, c := range s.clients {
		c.peer.Close()
	}
	for range 200 {
		s.kernel.Advance(200 * time.Millisecond)
		s.loop.Turn()
	}
	if open := s.kernel.Open(); open != base {
		s.failf("%d descriptors are open, %d were at the start", open, base)
	}
	checkNoneLeft(s.failf, map[string]int64{
		"http": stats.HTTP.Load(), "open": s.server.shared.Open(), "unfinished": stats.Unfinished.Load(), "lingering": stats.Lingering.Load(),
		"cold": int64(len(s.server.cold)), "request bytes": int64(s.server.exchange.requestBytes),
		"message bytes": int64(s.server.inboundBytes), "ready": int64(s.server.exchange.ready.Len()),
	})
	checkReasons(s.failf, s.loop, s.server)
	s.loop.Shut()
}

func TestHTTPSimulation(t *testing.T) {
	seeds := simulationSeeds(t, 4)
	happened := make(map[string]uint64)
	for _, seed := range seeds {
		t.Logf("SIMULATION_SEED=%d", seed)
		s := newHTTPSimulation(t, seed)
		steps := 20_000
		s.run(func() bool { steps--; return steps >= 0 })
		stats := s.server.Stats()
		for name, n := range map[string]uint64{
			"answers": uint64(s.answered), "refused for now": uint64(s.busy), "messages": stats.Published.Load(),
			"done": stats.Closes[reasons.RequestsDone].Load(),
		} {
			happened[name] += n
		}
	}
	t.Logf("happened: %v", happened)
	if len(seeds) == 1 {
		return
	}
	for name, n := range happened {
		if n == 0 {
			t.Errorf("this never happened: %s", name)
		}
	}
}

// FuzzExchanges is the simulation with the choices of a fuzzer.
func FuzzExchanges(f *testing.F) {
	fuzzChoices(f, func(t *testing.T, seed uint64, choices *rand.Rand, more func() bool) {
		s := newHTTPSimulation(t, seed)
		s.random = choices
		s.run(more)
	})
}
