package channel

import "c10m/poller"

// sweep brings members of one channel up to date, at most sliceWritesMax of
// them, from where the last slice stopped. It returns the number of writes.
//
// The cursor goes round the channel's list until nobody outside the blocked
// list is behind. Joining, leaving and messages that arrive meanwhile need no
// care: a newcomer is up to date, a leaver moves the cursor on, and whoever
// was passed before the newest message is met again in the next round.
func (r *Registry) sweep(g *log) (writes int) {
	for visits := sliceVisitsMax; visits > 0 && writes < r.sliceWrites && g.behind > g.blocked; visits-- {
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
		until := r.until(g, m)
		if until == m.seq {
			writes++ // what its owner says to it
			r.pass(g, fd, m)
			r.trim(g)
			continue
		}
		if m.flags&memberOnce != 0 {
			writes++
			r.respond(g, fd, m, until)
			continue
		}
		writes++
		if r.serve(g, fd, m, until) {
			r.block(g, fd, m)
		}
		r.trim(g)
	}
	return writes
}

// serve makes one write to a member that is behind, of frames before until. It
// reports whether the socket is full, or broken; the member may stand in the middle
// of a frame then. If it is not full and the member still behind, the batch was full,
// or the rest is behind an interruption.
func (r *Registry) serve(g *log, fd uint32, m *member, until uint32) (full bool) {
	first := poller.Piece{Frame: g.entry(m.seq).message.As(m.format), Off: int(m.off), IsShared: true}
	frames, bytes := 1, len(first.Frame)-first.Off
	var n int
	var status poller.Status
	if m.seq+1 == until {
		n, status = r.socket.Send(fd, first)
	} else {
		frames, bytes = r.gather(g, first, m.format, m.seq, until)
		n, status = r.socket.Sendv(fd, r.pieces[:frames])
		clear(r.pieces[:frames])
	}
	r.tally.writes++
	if status != poller.OK {
		if status.IsEnd() {
			m.flags |= memberDead
			r.owner.Failed(fd, status)
		}
		return true
	}
	r.tally.bytes += uint64(n)
	if frames > 1 {
		r.tally.batches++
	}
	r.advance(g, m, uint32(n))
	return n < bytes
}

// gather fills r.pieces with the frames from seq on; first is what remains of the
// first of them.
func (r *Registry) gather(g *log, first poller.Piece, format Format, seq, until uint32) (frames, bytes int) {
	piece := first
	for {
		r.pieces[frames] = piece
		frames++
		bytes += len(piece.Frame) - piece.Off
		seq++
		if seq == until || frames == framesPerWriteMax || bytes >= bytesPerWriteMax {
			return frames, bytes
		}
		piece = poller.Piece{Frame: g.entry(seq).message.As(format), IsShared: true}
	}
}

// advance moves a member on by n bytes.
func (r *Registry) advance(g *log, m *member, n uint32) {
	off, seq, head := m.off+n, m.seq, g.head()
	for seq != head {
		length := uint32(len(g.entry(seq).message.As(m.format)))
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
	r.unlink(&g.cell.first, m)
	r.push(&g.blockedFirst, fd, m)
	g.block(m)
	m.since = r.ageNow()
	r.stats.Blocked.Add(1)
	if m.flags&(memberDead|memberHeld) == 0 {
		// Who is held has it armed by his owner, if it is room that he waits for.
		r.socket.ArmWrite(fd, true)
	}
	r.limit(g)
}

// unblock moves a member that has come to the head back to the channel's list,
// without touching EPOLLOUT.
func (r *Registry) unblock(g *log, fd uint32, m *member) {
	if g.evictCursor == fd {
		g.evictCursor = m.next
	}
	r.unlink(&g.blockedFirst, m)
	r.push(&g.cell.first, fd, m)
	g.unblock(m)
	r.stats.Blocked.Add(-1)
}

// Writable continues with a member whose socket has room again. A held member
// stays where it is.
//
// A member stays blocked until it is at the head, and epoll tells again that
// there is room (it is level-triggered): so one with much to catch up costs a
// turn one write, like any other.
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
	until := r.until(g, m)
	switch {
	case until == m.seq:
		r.socket.ArmWrite(fd, false)
		r.pass(g, fd, m)
	case m.flags&memberOnce != 0:
		r.socket.ArmWrite(fd, false)
		r.respond(g, fd, m, until)
		r.responses.forget()
		r.publishTally()
		return
	default:
		r.serve(g, fd, m, until)
		if m.seq == g.head() {
			r.unblock(g, fd, m)
			r.socket.ArmWrite(fd, false)
		}
	}
	r.trim(g)
	r.publishTally()
}

// Flush makes the write now for which a member would have to wait for its sweep, and
// reports whether it has all that was published, but for the rest of a frame that is
// partly in its socket. A member that is untold of an interruption has not.
func (r *Registry) Flush(fd uint32) (isWhole bool) {
	m := r.member(fd)
	if m.channel == 0 || !r.Behind(fd) {
		return !r.Untold(fd)
	}
	g := r.logOf(r.cells.at(m.channel))
	if until := r.until(g, m); until != m.seq && m.flags&(memberBlocked|memberHeld|memberDead|memberOnce) == 0 {
		if g.cursor == fd {
			g.cursor = m.next
		}
		if r.serve(g, fd, m, until) {
			r.block(g, fd, m)
		}
		defer r.publishTally()
		defer r.trim(g)
	}
	left := g.head() - m.seq
	return (left == 0 || left == 1 && m.off > 0) && m.flags&memberDead == 0 && !r.isUntold(m)
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

// Behind reports whether a member is owed something.
func (r *Registry) Behind(fd uint32) bool {
	m := r.member(fd)
	return m.seq != r.cells.at(m.channel).head
}

// forward moves a blocked member to position to without writing, and returns
// the rest of the frame that it stands in the middle of, nil if none.
func (r *Registry) forward(g *log, fd uint32, m *member, to uint32) (rest []byte) {
	if m.off > 0 {
		rest = g.entry(m.seq).message.As(m.format)[m.off:]
		m.off = 0
		r.tally.deliveries++
	}
	g.move(m, to)
	if to == g.head() {
		r.unblock(g, fd, m)
	}
	return rest
}

// Release ends Hold and continues with what fd is owed.
func (r *Registry) Release(fd uint32) {
	m := r.member(fd)
	m.flags &^= memberHeld
	r.Writable(fd)
	if m.flags&(memberBlocked|memberDead) == memberBlocked {
		r.socket.ArmWrite(fd, true)
	}
}
