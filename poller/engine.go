package poller

import "net/netip"

// An Engine moves the bytes of one loop's connections: sockets of the kernel (package
// epoll), or a TCP of our own. It numbers its connections, owns the table of their
// records, and knows nothing of turns, urgency or pace: the Loop decides when it is
// called. Each loop has one, and loops of one process may have different kinds.
//
// Whoever makes an engine gives it its Loop (Poller.Add), to which it tells newcomers.
// But for Wake and Now, every method is called on the loop's thread only, and none
// blocks but Wait.
type Engine interface {
	// Open makes what the engine needs on the loop's own, locked thread. If it fails,
	// Shut comes next.
	Open() error
	// Shut ends the engine. Its connections are closed already.
	Shut()

	// Wait writes into ready what happened to connections, and returns how many that
	// are. If there is nothing, it waits until a time of Now, or until Wake was called;
	// until 0 it only looks. What was told and not dealt with is told again. With no
	// room in ready it waits for Wake alone.
	Wait(ready []Ready, until int64) (n int)
	// Wake ends a Wait, or has the next one return at once. Any goroutine may call it.
	Wake()
	// Now is monotonic time in nanoseconds. Any goroutine may call it.
	Now() int64
	// Accept shows those who wait to be connected to the loop (Loop.Newcomer), as many
	// as are good for one turn. isBusy says that the loop is at work anyway: it may
	// then help one that is not.
	Accept(isBusy bool)
	// Tick does what the engine has to do at a time. Due is when the next of that is.
	Tick()
	Due() (at int64)

	// Record returns the record of a connection that was told to the loop. It stays
	// where it is until Close, unless the handler looks at one at a time, as the load
	// client's does: then it may be lent until the next call.
	Record(number uint32) *Record
	// Recv reads what is there, up to len(p); p is lent until it returns. n is 0 unless
	// the status is OK, here and below.
	Recv(number uint32, p []byte) (n int, status Status)
	// Send and Sendv send pieces, at most PiecesMax, or the first part of them.
	Send(number uint32, piece Piece) (n int, status Status)
	Sendv(number uint32, pieces []Piece) (n int, status Status)
	// Arm has Wait tell what the flags of the record ask for from now on.
	Arm(number uint32)
	// Stalled says that a connection took nothing though Wait had just called it
	// writable: it is not to be called so again at once.
	Stalled(number uint32)
	// Peer is the address of the other end; false if the connection broke already.
	Peer(number uint32) (peer netip.AddrPort, isKnown bool)
	// Shutdown ends the sending direction.
	Shutdown(number uint32)
	// Close ends a connection. Its number may be a newcomer's from now on.
	Close(number uint32)
}

// A Status is what became of a Recv, Send or Sendv.
type Status uint8

const (
	// OK: so many bytes went. Of Recv, 0 bytes are the end of the peer's stream.
	OK Status = iota
	// Full: nothing went now. There is no room, or nothing to read, or memory is short
	// for a moment.
	Full
	// Gone: the peer broke the connection.
	Gone
	// TimedOut: the peer acknowledged nothing for too long.
	TimedOut
	// Broken: the connection failed for another reason.
	Broken
)

// IsEnd reports whether the connection is of no use any more.
func (s Status) IsEnd() bool { return s >= Gone }

// A Piece is bytes to send: those of a frame from Off on.
type Piece struct {
	Frame []byte
	Off   int
	// IsShared says that the frame never changes: an engine may keep it for as long as
	// the peer has not acknowledged it. Other bytes are lent until the call returns.
	IsShared bool
}

// Bytes are what is to be sent.
func (p *Piece) Bytes() []byte { return p.Frame[p.Off:] }

// BytesOf is how many bytes pieces are.
func BytesOf(pieces []Piece) (bytes int) {
	for i := range pieces {
		bytes += len(pieces[i].Frame) - pieces[i].Off
	}
	return bytes
}

// Words is a piece of bytes that are lent.
func Words(p []byte) Piece { return Piece{Frame: p} }

// PiecesMax is how many pieces one Sendv takes: beyond them a batch saves nothing more.
const PiecesMax = 64

// A Ready is something that Wait saw.
type Ready struct {
	Number uint32
	Event  Event
}

// Event says what an engine saw on a connection.
type Event uint8

const (
	// Readable: bytes, the end of the peer's stream, or an error to fetch.
	Readable Event = 1 << iota
	// Writable: there is room again (only after ArmWrite).
	Writable
	// HungUp: both directions ended, or there is an error. A handler gets Readable for
	// it, whether it has asked for that or not.
	HungUp
)

// A Tag says which listener a newcomer came by. Its values are the handler's.
type Tag uint8
