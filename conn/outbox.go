package conn

// An outbox is what the server itself says to connections, in whole words and behind the
// frames that are partly in their sockets.
type outbox struct {
	*Server // whose part it is

	owedBytes int // held in cold.owed, all together
	pinned    pins
	pongs     []byte // answers to the pings and commands of the read at hand
}

// pins are the frames that cold states hold after their logs let go of them
// (channel.Registry.Hold): without a limit of their own, readers that are slow
// in the middle of large frames and say a word each would be bounded by
// nothing. Many connections may hold one frame, which is counted once: a frame
// is known by its last byte, which the rests of it share.
type pins struct {
	frames map[*byte]pin
	bytes  int // of all frames that are held, as far as they were still owed
}

type pin struct{ holders, bytes int }

// add counts a holder of the frame that rest, which is not empty, is the end of.
func (p *pins) add(rest []byte) {
	if p.frames == nil {
		p.frames = make(map[*byte]pin)
	}
	last := &rest[len(rest)-1]
	held := p.frames[last]
	p.bytes += max(0, len(rest)-held.bytes)
	p.frames[last] = pin{held.holders + 1, max(held.bytes, len(rest))}
}

// remove is the opposite of add, for what is left of the same rest.
func (p *pins) remove(rest []byte) {
	last := &rest[len(rest)-1]
	held := p.frames[last]
	if held.holders--; held.holders > 0 {
		p.frames[last] = held
		return
	}
	p.bytes -= held.bytes
	delete(p.frames, last)
}

// owe makes a connection owe the rest of a frame (empty is nothing), and ends
// the connection if all that are owed so are too much.
func (s *outbox) owe(fd uint32, c *cold, rest []byte) {
	if len(rest) == 0 {
		return
	}
	c.owedFrame = rest
	s.pinned.add(rest)
	s.stats.Pinned.Store(int64(s.pinned.bytes))
	if s.pinned.bytes > s.shared.Config.Channel.LogBytesTotal {
		s.end(fd, SlowTotal)
	}
}

// unpin lets go of the frame that a connection owes the rest of.
func (s *outbox) unpin(c *cold) {
	if len(c.owedFrame) > 0 {
		s.pinned.remove(c.owedFrame)
		s.stats.Pinned.Store(int64(s.pinned.bytes))
		c.owedFrame = nil
	}
}
