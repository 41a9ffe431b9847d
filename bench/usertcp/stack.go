package usertcp

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/internal/slab"
)

// The states of a connection.
const (
	stateClosed  = iota
	stateSynSent // the SYN is on its way
	stateOpen    // both ways
	statePeerEnd // the peer's FIN has come, ours is not sent
	stateFinSent // the user has closed; the peer's FIN is due
	stateLastAck // both FINs are there; ours is not acknowledged
)

const (
	stateBits       = 0x07
	ackOwed         = 0x08 // something came that is not acknowledged yet
	generationShift = 4
)

// A Conn is all that is kept of a connection that has nothing under way.
type Conn struct {
	rcvNxt, sndNxt uint32
	flags          uint8 // state, ackOwed, generation
	// Room is the user's, zeroed by Open.
	Room [7]byte
}

var _ [ConnBytesMax - unsafe.Sizeof(Conn{})]byte // a negative length would not compile

func (c *Conn) state() uint8       { return c.flags & stateBits }
func (c *Conn) setState(now uint8) { c.flags = c.flags&^stateBits | now }

// A User is told what happens to connections, on the stack's goroutine. It may
// call any of the stack's methods but Input and Tick.
type User interface {
	// Opened: the connection is there.
	Opened(i uint32)
	// Received: the next bytes of the stream, lent until it returns.
	Received(i uint32, p []byte)
	// Ended: nothing more will come. errno is 0 for the end of the peer's stream,
	// which leaves it to the user to Close; ECONNREFUSED, ECONNRESET or ETIMEDOUT
	// leave nothing to close.
	Ended(i uint32, errno syscall.Errno)
}

// Config says how a stack works.
type Config struct {
	Plan Plan
	// AckNanos is how long an acknowledgement may wait for company; 0: none does.
	// A second segment is acknowledged at once in any case (RFC 9293, 3.8.6.3).
	AckNanos int64
	// AckInTick has acknowledgements that may not wait leave in the next Tick, so that
	// what the user says meanwhile takes them along: for one who hears of what came
	// when Input has returned.
	AckInTick bool
	// Header is put before each packet that is written.
	Header []byte
	// Offload says that the device finishes checksums and has checked them.
	Offload bool
	// Write hands a packet to the device; it is lent until it returns.
	Write func(packet []byte) syscall.Errno
	// Random is where initial sequence numbers begin.
	Random uint32
}

// Stats count packets.
type Stats struct {
	Received      uint64 `json:"segments_received"`
	Sent          uint64 `json:"segments_sent"`
	Acks          uint64 `json:"acks_sent"` // with nothing else in them
	Retransmitted uint64 `json:"retransmitted"`
	OutOfOrder    uint64 `json:"out_of_order_dropped"` // and asked for again
	Repeated      uint64 `json:"repeated_received"`    // nothing new in them
	Resets        uint64 `json:"resets_sent"`
	Malformed     uint64 `json:"malformed"`
	Foreign       uint64 `json:"foreign"` // not for a connection of this stack
	WriteFailures uint64 `json:"write_failures"`
}

// Add adds up the stats of stacks.
func (s *Stats) Add(o *Stats) {
	s.Received += o.Received
	s.Sent += o.Sent
	s.Acks += o.Acks
	s.Retransmitted += o.Retransmitted
	s.OutOfOrder += o.OutOfOrder
	s.Repeated += o.Repeated
	s.Resets += o.Resets
	s.Malformed += o.Malformed
	s.Foreign += o.Foreign
	s.WriteFailures += o.WriteFailures
}

// A Stack is the client's end of many connections. One goroutine calls it.
type Stack struct {
	// Fixed after construction.
	config Config
	user   User

	// Owned by the goroutine.
	conns   slab.Table[Conn]
	now     int64
	flights flights
	owed    timers   // whose acknowledgements wait
	soon    []uint32 // the same, until the next Tick
	iss     uint32
	packet  []byte
	stats   Stats
}

// NewStack makes a stack whose connections are all closed.
func NewStack(config Config, user User) *Stack {
	s := &Stack{config: config, user: user, iss: config.Random, flights: newFlights(), packet: append([]byte(nil), config.Header...)}
	for s.conns.Len() < config.Plan.Connections {
		s.conns.Grow()
	}
	return s
}

// Connections is how many there may be.
func (s *Stack) Connections() int { return s.config.Plan.Connections }

// Room is the user's part of a connection's state.
func (s *Stack) Room(i uint32) *[7]byte { return &s.conns.At(i).Room }

// Generation tells this use of a connection from those before, modulo 16, plus
// 1; it is 0 while nobody uses it.
func (s *Stack) Generation(i uint32) uint32 {
	c := s.conns.At(i)
	if state := c.state(); state == stateClosed || state >= stateFinSent {
		return 0
	}
	return uint32(c.flags>>generationShift) + 1
}

// Peer is the server's end of a connection.
func (s *Stack) Peer(i uint32) netip.AddrPort {
	return netip.AddrPortFrom(addressOf(s.config.Plan.Server), s.config.Plan.serverPort(i))
}

// Stats returns the counters up to now.
func (s *Stack) Stats() Stats { return s.stats }

// SetNow tells the time, in nanoseconds of any monotonic clock.
func (s *Stack) SetNow(now int64) { s.now = now }

// Open sends a SYN; Opened or Ended follows. The connection must not be in use.
func (s *Stack) Open(i uint32) {
	c := s.conns.At(i)
	if s.Generation(i) != 0 {
		panic("BUG: opening a connection that is open")
	}
	s.flights.drop(i) // of an end that nobody has acknowledged
	generation := c.flags>>generationShift + 1
	s.iss += issStep
	iss := c.sndNxt + issStep
	if c.sndNxt == 0 {
		iss = s.iss
	}
	*c = Conn{sndNxt: iss + 1, flags: stateSynSent | generation<<generationShift}
	f := s.flights.add(i, iss, s.now)
	f.syn = true
	s.transmit(i, flagSYN, iss, nil)
}

// Send sends bytes; all or none are taken. ENOTCONN: not opened or closed;
// EAGAIN: under way; ENOBUFS: the peer has not acknowledged enough.
func (s *Stack) Send(i uint32, p []byte) syscall.Errno {
	c := s.conns.At(i)
	switch c.state() {
	case stateOpen, statePeerEnd:
	case stateSynSent:
		return unix.EAGAIN
	default:
		return unix.ENOTCONN
	}
	f := s.flights.of(i)
	if f == nil {
		f = s.flights.add(i, c.sndNxt, s.now)
	}
	if len(f.bytes)+len(p) > flightBytesMax {
		if len(f.bytes) == 0 {
			s.flights.drop(i)
		}
		return unix.ENOBUFS
	}
	f.bytes = append(f.bytes, p...)
	seq := c.sndNxt
	c.sndNxt += uint32(len(p))
	s.transmitBytes(i, seq, p)
	return 0
}

// Close ends a connection for the user: with a FIN, or with a reset. The user
// hears no more of it.
func (s *Stack) Close(i uint32, reset bool) {
	c := s.conns.At(i)
	switch state := c.state(); state {
	case stateSynSent:
		s.flights.drop(i)
		c.setState(stateClosed)
	case stateOpen, statePeerEnd:
		if reset {
			s.stats.Resets++
			s.transmit(i, flagRST|flagACK, c.sndNxt, nil)
			s.dead(i)
			return
		}
		f := s.flights.of(i)
		if f == nil {
			f = s.flights.add(i, c.sndNxt, s.now)
		}
		f.fin = true
		s.transmit(i, flagFIN|flagACK, c.sndNxt, nil)
		c.sndNxt++
		if c.setState(stateFinSent); state == statePeerEnd {
			c.setState(stateLastAck)
		}
	}
}

// dead forgets a connection.
func (s *Stack) dead(i uint32) {
	s.flights.drop(i)
	c := s.conns.At(i)
	c.flags &^= ackOwed
	c.setState(stateClosed)
}

// transmitBytes cuts bytes into segments.
func (s *Stack) transmitBytes(i, seq uint32, p []byte) {
	for len(p) > 0 {
		n := min(len(p), mssBytes)
		s.transmit(i, flagACK|flagPSH, seq, p[:n])
		seq += uint32(n)
		p = p[n:]
	}
}

// transmit sends one segment of a connection, which acknowledges whatever is
// there.
func (s *Stack) transmit(i uint32, flags uint8, seq uint32, payload []byte) {
	c := s.conns.At(i)
	segment := s.config.Plan.segment(i)
	segment.Flags, segment.Seq, segment.Window, segment.Payload = flags, seq, windowBytes, payload
	if flags&flagSYN != 0 {
		segment.MSS = mssBytes
	}
	if flags&flagACK != 0 {
		segment.Ack = c.rcvNxt
		c.flags &^= ackOwed
	}
	s.write(&segment)
}

func (s *Stack) write(segment *Segment) {
	s.packet = segment.Append(s.packet[:len(s.config.Header)], s.config.Offload)
	s.stats.Sent++
	if s.config.Write(s.packet) != 0 {
		s.stats.WriteFailures++ // as if it were lost on the way
	}
}

// acknowledgeSoon acknowledges now or in the next Tick.
func (s *Stack) acknowledgeSoon(i uint32) {
	if s.config.AckInTick {
		s.soon = append(s.soon, i)
		return
	}
	s.acknowledge(i)
}

// acknowledge sends what is there, and nothing else.
func (s *Stack) acknowledge(i uint32) {
	s.stats.Acks++
	s.transmit(i, flagACK, s.conns.At(i).sndNxt, nil)
}

// refuse answers a segment that nobody expects with a reset (RFC 9293, 3.10.7.1).
func (s *Stack) refuse(i uint32, segment *Segment) {
	if segment.Flags&flagRST != 0 {
		return
	}
	s.stats.Resets++
	answer := s.config.Plan.segment(i)
	if segment.Flags&flagACK != 0 {
		answer.Flags, answer.Seq = flagRST, segment.Ack
	} else {
		answer.Flags, answer.Ack = flagRST|flagACK, segment.Seq+segment.length()
	}
	s.write(&answer)
}
