package channel

import (
	"syscall"
	"unsafe"

	"c10m/poller"
)

// sweep brings members of one channel up to date, at most sliceWritesMax of
// them, from where the last slice stopped. It returns the number of writes.
//
// The cursor goes round the channel's list until nobody outside the blocked
// list is behind. Joining, leaving and messages that arrive meanwhile need no
// care: a newcomer is up to date, a leaver moves the cursor on, and whoever
// was passed before the newest message is met again in the next round.
func (r *Registry) sweep(g *log) (writes int) {
	for visits := sliceVisitsMax; visits > 0 && writes < sliceWritesMax && g.behind > g.blocked; visits-- {
		fd := g.cursor
		if fd == 0 {
			fd = g.cell.first
		}
		m := r.member(fd)
		g.cursor = m.next
		if m.seq == g.head() {
			continue
		}
		if m.flags&(memberHeld|memberDead) != 0 {
			r.block(g, fd, m)
			continue
		}
		n, done := r.serve(g, fd, m, g.head())
		writes += n
		if !done {
			r.block(g, fd, m)
		}
		r.trim(g)
	}
	return writes
}

// serve writes frames to one member until its position is until. It returns
// the number of writes and whether it got there; if not, the socket is full or
// broken, and the member may stand in the middle of a frame.
func (r *Registry) serve(g *log, fd uint32, m *member, until uint32) (writes int, done bool) {
	for m.seq != until {
		first := g.entry(m.seq).message.frame[m.off:]
		frames, bytes := 1, len(first)
		var n int
		var errno syscall.Errno
		if m.seq+1 == until {
			n, errno = r.socket.Send(fd, first)
		} else {
			frames, bytes = r.gather(g, first, m.seq, until)
			n, errno = r.socket.Sendv(fd, r.iov[:frames])
			clear(r.iov[:frames])
		}
		writes++
		r.tally.writes++
		if errno != 0 {
			if !poller.WouldBlock(errno) {
				m.flags |= memberDead
				r.owner.Failed(fd, errno)
			}
			return writes, false
		}
		r.tally.bytes += uint64(n)
		if frames > 1 {
			r.tally.batches++
		}
		r.advance(g, m, uint32(n))
		if n < bytes {
			return writes, false
		}
	}
	return writes, true
}

// gather fills r.iov with the frames from seq on; first is what remains of the
// first of them.
func (r *Registry) gather(g *log, first []byte, seq, until uint32) (frames, bytes int) {
	frame := first
	for {
		r.iov[frames].Base = unsafe.SliceData(frame)
		r.iov[frames].SetLen(len(frame))
		frames++
		bytes += len(frame)
		seq++
		if seq == until || frames == framesPerWriteMax || bytes >= bytesPerWriteMax {
			return frames, bytes
		}
		frame = g.entry(seq).message.frame
	}
}

// advance moves a member on by n bytes.
func (r *Registry) advance(g *log, m *member, n uint32) {
	off, seq, head := m.off+n, m.seq, g.head()
	for seq != head {
		length := uint32(len(g.entry(seq).message.frame))
		if off < length {
			break
		}
		off -= length
		seq++
		r.tally.deliveries++
	}
	if seq != m.seq {
		g.move(m, seq)
	}
	m.off = off
}

// block moves a member that is behind into the log's blocked list and asks for
// EPOLLOUT. The sweep's cursor has passed it.
func (r *Registry) block(g *log, fd uint32, m *member) {
	if g.cursor == fd {
		g.cursor = m.next
	}
	r.unlink(&g.cell.first, m)
	r.push(&g.blockedFirst, fd, m)
	m.flags |= memberBlocked
	g.blocked++
	r.stats.Blocked.Add(1)
	if m.flags&memberDead == 0 {
		r.socket.ArmWrite(fd, true)
	}
	r.limit(g)
}

// unblock is the opposite, without touching EPOLLOUT.
func (r *Registry) unblock(g *log, fd uint32, m *member) {
	if g.evictCursor == fd {
		g.evictCursor = m.next
	}
	r.unlink(&g.blockedFirst, m)
	r.push(&g.cell.first, fd, m)
	m.flags &^= memberBlocked
	g.blocked--
	r.stats.Blocked.Add(-1)
}

// Writable continues with a member whose socket has room again. A held member
// stays where it is.
func (r *Registry) Writable(fd uint32) {
	m := r.member(fd)
	if m.flags&(memberHeld|memberDead) != 0 {
		return
	}
	if m.flags&memberBlocked == 0 {
		// Moved forward, or behind only since a moment ago: the sweep's turn.
		r.socket.ArmWrite(fd, false)
		return
	}
	g := r.logOf(r.cells.at(m.channel))
	r.unblock(g, fd, m)
	if _, done := r.serve(g, fd, m, g.head()); done {
		r.socket.ArmWrite(fd, false)
	} else {
		r.block(g, fd, m)
	}
	r.trim(g)
	r.publishTally()
}

// Hold keeps fd from being given another frame until Release. If a frame is
// partly in the socket, the rest of it is the caller's to write, before
// anything else; rest is immutable. A connection that is no member can be held
// too.
func (r *Registry) Hold(fd uint32) (rest []byte) {
	m := r.member(fd)
	m.flags |= memberHeld
	if m.off == 0 {
		return nil
	}
	g := r.logOf(r.cells.at(m.channel))
	rest = r.forward(g, fd, m, m.seq+1)
	r.trim(g)
	r.publishTally()
	return rest
}

// MidFrame reports whether a frame is partly in fd's socket.
func (r *Registry) MidFrame(fd uint32) bool { return r.member(fd).off > 0 }

// Blocked reports whether fd is behind because its socket was full.
func (r *Registry) Blocked(fd uint32) bool { return r.member(fd).flags&memberBlocked != 0 }

// forward moves a blocked member to position to without writing, and returns
// the rest of the frame that it stands in the middle of, nil if none.
func (r *Registry) forward(g *log, fd uint32, m *member, to uint32) (rest []byte) {
	if m.off > 0 {
		rest = g.entry(m.seq).message.frame[m.off:]
		m.off = 0
		r.tally.deliveries++
	}
	if to == g.head() {
		r.unblock(g, fd, m)
	}
	g.move(m, to)
	return rest
}

// Release ends Hold and continues with what fd is owed.
func (r *Registry) Release(fd uint32) {
	r.member(fd).flags &^= memberHeld
	r.Writable(fd)
}

// limit begins to overrun blocked members if the log, or all logs together,
// hold too much. Members that are only waiting for the sweep are not slow: for
// their sake the mailbox waits (Full).
func (r *Registry) limit(g *log) {
	if g.bytes > r.config.LogBytes && g.blocked > 0 && !g.evicting {
		// Make room for a quarter, so that the blocked list is walked once
		// per quarter and not once per message.
		keep, to := g.bytes, g.tail
		for keep > r.config.LogBytes*3/4 && to != g.head() {
			keep -= len(g.entry(to).message.frame)
			to++
		}
		r.startEviction(g, to)
	}
	if r.bytesTotal > r.config.LogBytesTotal {
		r.limitTotal()
	}
}

// limitTotal overruns all blocked members of one log; logs take turns.
func (r *Registry) limitTotal() {
	for range min(len(r.logs), listedCellsPerTurnMax) {
		g := r.nextLog()
		if g != nil && g.blocked > 0 && !g.evicting {
			r.startEviction(g, g.head())
			return
		}
	}
}

func (r *Registry) nextLog() *log {
	if r.ageHand++; int(r.ageHand) >= len(r.logs) {
		r.ageHand = 0
	}
	return r.logs[r.ageHand]
}

func (r *Registry) startEviction(g *log, to uint32) {
	g.evicting, g.evictTo, g.evictCursor = true, to, g.blockedFirst
	r.enqueue(g)
}

// evict overruns blocked members before evictTo, a slice of the list.
func (r *Registry) evict(g *log) {
	for range sliceVisitsMax {
		fd := g.evictCursor
		if fd == 0 {
			g.evicting = false
			return
		}
		m := r.member(fd)
		g.evictCursor = m.next
		if int32(m.seq-g.evictTo) < 0 && m.flags&memberDead == 0 {
			r.overrun(g, fd, m)
			if g.released {
				return
			}
		}
	}
}

// overrun has a slow member closed, or moves it forward.
func (r *Registry) overrun(g *log, fd uint32, m *member) {
	cause := OverBytes
	switch {
	case r.bytesTotal > r.config.LogBytesTotal:
		cause = OverTotal
	case r.socket.Now()-g.entry(m.seq).message.at > int64(r.config.LogAge):
		cause = OverAge
	}
	r.stats.Overruns[cause].Add(1)
	if !r.config.Skip {
		m.flags |= memberDead
		r.owner.Overrun(fd, cause)
		return
	}
	skipped := g.evictTo - m.seq
	if rest := r.forward(g, fd, m, g.evictTo); rest != nil {
		// The client has the beginning of this frame: it gets the rest.
		skipped--
		m.flags |= memberHeld
		r.owner.Owe(fd, rest)
	}
	r.stats.Skipped.Add(uint64(skipped))
	r.trim(g)
}

// Tick looks for logs whose oldest frame is too old. It is called every
// second at least and goes round all logs within eight calls.
func (r *Registry) Tick() {
	limit := r.socket.Now() - int64(r.config.LogAge)
	for range min(len(r.logs), max(listedCellsPerTurnMax, len(r.logs)/8)) {
		g := r.nextLog()
		if g == nil || g.blocked == 0 || g.evicting || g.entry(g.tail).message.at >= limit {
			continue
		}
		to := g.tail
		for to != g.head() && g.entry(to).message.at < limit {
			to++
		}
		r.startEviction(g, to)
	}
}
