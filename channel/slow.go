package channel

// What happens to slow members: when a log, or all of them together, hold too
// much or for too long, blocked members are overrun, in slices of the blocked
// list. Members that only wait for the sweep are never slow.

// limit begins to overrun blocked members if they keep the log longer than its
// limit.
func (r *Registry) limit(g *log) {
	if g.bytes <= r.config.LogBytes || g.evicting || !g.heldUp() {
		return
	}
	newest := g.head() - 1 // which always fits
	keep, to := g.bytes, g.tail
	for keep > r.config.LogBytes/4*keepQuarters && to != newest {
		keep -= g.entry(to).message.cost()
		to++
	}
	if to != g.tail {
		r.startEviction(g, to, OverBytes)
	}
}

// limitTotal overruns all blocked members of one log if all logs together are
// too long; logs take turns. A single message that is all there is always fits.
func (r *Registry) limitTotal() {
	if r.bytesTotal <= r.config.LogBytesTotal {
		return
	}
	if g := r.overTotal; g != nil && g.evicting && g.evictCause == OverTotal {
		return // one after the other: perhaps it is enough
	}
	for range min(len(r.logs), totalLogsPerTurnMax) {
		g := r.nextLog()
		if g != nil && g.blocked > 0 && !g.evicting && (g.count > 1 || g.bytes < r.bytesTotal) {
			r.overTotal = g
			r.startEviction(g, g.head(), OverTotal)
			return
		}
	}
}

func (r *Registry) nextLog() *log {
	if r.logHand++; int(r.logHand) >= len(r.logs) {
		r.logHand = 0
	}
	return r.logs[r.logHand]
}

func (r *Registry) startEviction(g *log, to uint32, cause Cause) {
	g.evicting, g.evictTo, g.evictCause, g.evictCursor = true, to, cause, g.blockedFirst
	r.gauge(g)
	r.enqueue(g)
}

// evict overruns blocked members before evictTo, a slice of the list. The
// result is how many of them are to be closed, which costs like a write.
func (r *Registry) evict(g *log) (closed int) {
	for visits := sliceVisitsMax; visits > 0 && closed < r.sliceWrites; visits-- {
		fd := g.evictCursor
		if fd == 0 {
			g.evicting = false // and no longer Full for its sake: the next message asks anew
			return closed
		}
		m := r.member(fd)
		g.evictCursor = m.next
		if int32(m.seq-g.evictTo) >= 0 || m.flags&memberDead != 0 || g.evictCause == OverAge && !r.blockedForAge(m) {
			continue
		}
		r.stats.Overruns[g.evictCause].Add(1)
		if !r.config.Skip {
			m.flags |= memberDead
			r.owner.Overrun(fd, g.evictCause)
			closed++
			continue
		}
		r.skip(g, fd, m)
		if g.released {
			return closed
		}
	}
	return closed
}

// skip moves a slow member forward to evictTo.
func (r *Registry) skip(g *log, fd uint32, m *member) {
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

// Tick begins a round of age if it is time for one. It is called every second
// at least.
func (r *Registry) Tick() {
	r.forgetBusy()
	if now := r.socket.Now(); r.ageTodo == 0 && now >= r.ageNext {
		r.ageTodo = len(r.logs)
		r.ageNext = now + int64(r.config.LogAge)/ageRounds
	}
}

// age looks for logs that hold a frame for too long, a slice of them a turn.
func (r *Registry) age() {
	limit := r.socket.Now() - int64(r.config.LogAge)
	for range min(r.ageTodo, agedLogsPerTurnMax) {
		r.ageTodo--
		g := r.nextLog()
		if g == nil || g.blocked == 0 || g.evicting || g.entry(g.tail).message.at >= limit {
			continue
		}
		to := g.tail
		for to != g.head() && g.entry(to).message.at < limit {
			to++
		}
		r.startEviction(g, to, OverAge)
	}
}

// ageNow is the time in units of member.since.
func (r *Registry) ageNow() uint16 { return uint16(r.socket.Now() / r.ageUnit) }

// blockedForAge reports whether a member has been blocked for LogAge. Its
// frame may be older only because the sweep took long to come. The unit wraps
// after 512 times LogAge, which at worst grants a reader one more LogAge.
func (r *Registry) blockedForAge(m *member) bool { return r.ageNow()-m.since > ageUnits }
