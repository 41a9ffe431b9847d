package redisbus

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"
	"go.uber.org/zap"

	"c10m/channel"
)

// A peer is one RESP connection: a reader goroutine that parses, executes and
// replies, and a writer goroutine that empties the outbox.
type peer struct {
	// Fixed after construction.
	bus   *Embedded
	conn  net.Conn
	id    int64
	since time.Time
	out   *outbox

	// Owned by the reader.
	in        framer
	replies   []byte         // on their way to the outbox
	unsettled []publishReply // PUBLISHes handed over whose replies come next
	scratch   []byte
	multi     transaction
	tracking  int   // CLIENT TRACKING
	redirect  int64 // its REDIRECT, a peer's id
	authed    bool
	wrong     int // passwords
	quit      bool
	inARow    int      // PUBLISHes since it last said something else, or was lent
	lendAfter int      // so many
	held      [][]byte // the command that it was returned for
	badly     error    // or the fault

	// Guarded by bus.registry.mu, and written by the reader only, which
	// therefore reads without it.
	name, libName, libVersion string
	subs                      [kinds]map[string]struct{}

	// Shared: atomic.
	reason atomic.Int32 // a closeReason; the first one stays
	active atomic.Int64 // when the last command came, in Unix seconds
	// settled is true once it has said something, and the password if there is one: until
	// then it gives its place to whoever comes when all are taken.
	settled atomic.Bool
}

// A publishReply is the answer to a PUBLISH that may not be known yet.
type publishReply struct {
	receipt *channel.Receipt // nil for reserved channels and for errors
	local   int
	err     error
}

// serve runs the peer until it ends, and returns with both goroutines gone.
func (p *peer) serve() {
	var writer sync.WaitGroup
	writer.Go(p.writeLoop)
	reason, err := p.readLoop()
	p.setReason(reason)
	p.bus.registry.clear(p)
	p.settle()
	if reason == closeProtocolError {
		p.replies = redcon.AppendError(p.replies, "ERR "+err.Error())
	}
	p.flush()
	p.out.finish()
	_ = p.conn.SetWriteDeadline(time.Now().Add(flushSecondsMax * time.Second)) // of a write under way
	writer.Wait()
	if reason == closeProtocolError {
		p.linger()
	}
	_ = p.conn.Close()
	p.bus.logClose(p, err)
}

// readLoop executes commands until the peer or the bus ends.
func (p *peer) readLoop() (closeReason, error) {
	if !p.authed {
		_ = p.conn.SetReadDeadline(time.Now().Add(p.bus.authTimeout))
	}
	for {
		// Everything whole that one read brought is executed before any of its
		// PUBLISHes is waited for: see settle.
		for {
			p.out.waitRoom()
			args, err := p.next()
			if err == errMore {
				break
			}
			if err != nil {
				p.bus.count.protocolErrors.Add(1)
				return closeProtocolError, err
			}
			if len(args) == 0 {
				continue
			}
			if isHTTP(args[0]) {
				return closeHTTP, nil
			}
			p.execute(args)
			if p.quit {
				return closeQuit, nil
			}
			if p.wrong >= authFailuresMax {
				return closeAuthFailures, nil
			}
			if p.authed && !p.settled.Load() {
				p.settled.Store(true)
			}
		}
		p.settle()
		if p.mayBeLent() && p.lend() {
			continue
		}
		p.flush()
		if p.bus.closing.Load() {
			return closeShutdown, nil
		}
		if err := p.in.fill(p.conn); err != nil {
			return p.readFailed(err), err
		}
	}
}

// next returns the next command, as framer.next does, or what a loop left.
func (p *peer) next() (args [][]byte, err error) {
	if p.held == nil && p.badly == nil {
		return p.in.next(p.authed)
	}
	args, err = p.held, p.badly
	p.held, p.badly = nil, nil
	return args, err
}

func (p *peer) readFailed(err error) closeReason {
	switch {
	case p.bus.closing.Load():
		return closeShutdown
	case errors.Is(err, io.EOF):
		return closeEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return closeAuthTimeout // the only read deadline there is
	}
	return closeReadError
}

// authenticated opens the door to all commands and lifts the deadline.
func (p *peer) authenticated() {
	p.authed = true
	_ = p.conn.SetReadDeadline(time.Time{})
	// Close may have set its deadline in between; it sets the flag first.
	if p.bus.closing.Load() {
		_ = p.conn.SetReadDeadline(time.Now())
	}
}

// isHTTP recognises a browser that was talked into posting to the bus. Redis
// knows the same two words: nothing it sent or will send is executed.
func isHTTP(word []byte) bool {
	return equalFold(word, "post") || equalFold(word, "host:")
}

// settle waits for the receipts of all PUBLISHes under way, in order, and turns
// each into its reply. It comes before any other reply of this peer.
func (p *peer) settle() {
	for i := range p.unsettled {
		reply := &p.unsettled[i]
		if reply.err != nil {
			p.replies = redcon.AppendError(p.replies, "ERR "+reply.err.Error())
		} else {
			n := reply.local
			if reply.receipt != nil {
				n += reply.receipt.Wait()
			}
			p.replies = redcon.AppendInt(p.replies, int64(n))
		}
		*reply = publishReply{} // the backing array must not keep receipts alive
	}
	p.unsettled = p.unsettled[:0]
}

// flush hands the replies so far to the writer.
func (p *peer) flush() {
	if len(p.replies) == 0 {
		return
	}
	p.out.reply(p.replies)
	p.replies = p.replies[:0]
	if cap(p.replies) > keptBufferBytesMax {
		p.replies = nil
	}
}

// writeLoop writes until the outbox ends or the socket fails.
func (p *peer) writeLoop() {
	var spare []byte
	for {
		queue := p.out.take(spare)
		if queue == nil {
			return
		}
		for rest := queue; len(rest) > 0; {
			// A deadline for each chunk asks for progress, not for speed: a
			// slow peer with a long queue is the queue limit's business.
			deadline := writeStallSecondsMax * time.Second
			if p.out.ending() {
				deadline = flushSecondsMax * time.Second
			}
			_ = p.conn.SetWriteDeadline(time.Now().Add(deadline))
			n, err := p.conn.Write(rest[:min(len(rest), writeChunkBytes)])
			p.out.wrote(n)
			rest = rest[n:]
			if err != nil {
				p.out.wrote(len(rest))
				reason := closeWriteError
				if errors.Is(err, os.ErrDeadlineExceeded) {
					reason = closeWriteStalled
				}
				p.cut(reason)
				return
			}
		}
		spare = queue
		if cap(spare) > keptBufferBytesMax {
			spare = nil
		}
	}
}

// cut ends the peer at once, whatever is queued. It may be called from any
// goroutine and under any lock: it neither blocks nor logs. The reader sees its
// connection closed and does the rest.
func (p *peer) cut(reason closeReason) {
	p.setReason(reason)
	p.out.abandon()
	_ = p.conn.Close()
}

func (p *peer) setReason(reason closeReason) {
	p.reason.CompareAndSwap(int32(closeNone), int32(reason))
}

// linger lets the peer read its error. A socket closed with unread bytes sends a
// reset, which may overtake the error.
func (p *peer) linger() {
	half, ok := p.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = p.conn.SetReadDeadline(time.Now().Add(lingerSecondsMax * time.Second))
	_, _ = io.CopyN(io.Discard, p.conn, lingerBytesMax)
}

// logClose writes a line about a peer that was disconnected for what it did. A
// laggard had to miss 32 MiB for its line; who only has to say something wrong
// gets no chance to fill the disk.
func (b *Embedded) logClose(p *peer, err error) {
	reason, peers := closeReason(p.reason.Load()), uint64(1)
	switch reason {
	case closeLagged, closeWriteStalled:
		err = nil // it only says that we closed the socket
	case closeProtocolError, closeHTTP, closeAuthTimeout, closeAuthFailures, closeEvicted:
		if reason == closeEvicted {
			err = nil
		}
		b.mu.Lock()
		peers = b.rude.Allow(time.Now())
		b.mu.Unlock()
	default:
		return
	}
	if peers > 0 {
		b.log.Warn("a RESP peer was disconnected", zap.Stringer("reason", reason),
			zap.Stringer("peer", p.conn.RemoteAddr()), zap.Int64("id", p.id), zap.Uint64("peers", peers), zap.Error(err))
	}
}
