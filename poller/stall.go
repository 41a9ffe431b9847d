package poller

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// A stalled connection is one that epoll calls writable and whose socket takes
// nothing all the same: the kernel is short of memory (ENOBUFS, ENOMEM, or EAGAIN
// under net.ipv4.tcp_mem's pressure, tcp(7)). epoll is level-triggered and would
// say it again at once, so the loop would spin for as long as the shortage lasts.
// Its EPOLLOUT is taken away for stallNanos instead. It costs these 16 bytes, and
// only while it lasts.
type stalled struct {
	at             int64
	fd, generation uint32
}

// stalls is the queue of them. All wait for the same time, so it is in order by
// itself.
type stalls struct {
	queue []stalled
	first int
}

// wrote looks at the first write after epoll said that there is room.
func (l *Loop) wrote(fd uint32, errno syscall.Errno) {
	l.writing = 0
	if errno == 0 || errno == unix.EINTR || !WouldBlock(errno) {
		return
	}
	record := l.table.get(fd)
	if record.flags&flagWriteStalled != 0 || record.flags&flagRegistered == 0 {
		return
	}
	l.stats.WriteStalls.Add(1)
	record.flags |= flagWriteStalled
	l.rewatch(fd, record)
	l.stalls.add(stalled{l.now + stallNanos, fd, record.generation})
}

// add takes the places of those who have had their turn first: in a shortage that
// lasts there is always somebody who waits, so the queue is never empty, and is
// not to grow with every try. Only when half of it is free, or a queue that stays
// nearly full would be moved again and again.
func (s *stalls) add(one stalled) {
	if s.first > len(s.queue)/2 && len(s.queue) == cap(s.queue) {
		s.queue = s.queue[:copy(s.queue, s.queue[s.first:])]
		s.first = 0
	}
	s.queue = append(s.queue, one)
}

// retryAt is when the next stalled connection tries again, or never.
func (l *Loop) retryAt() int64 {
	if s := &l.stalls; s.first < len(s.queue) {
		return s.queue[s.first].at
	}
	return math.MaxInt64
}

// retry gives stalled connections their EPOLLOUT back when it is time, at most
// retriesPerTurnMax of them.
func (l *Loop) retry() {
	s := &l.stalls
	for range retriesPerTurnMax {
		if s.first == len(s.queue) {
			break
		}
		due := s.queue[s.first]
		if due.at > l.now {
			return
		}
		s.first++
		record := l.table.get(due.fd)
		if record.generation != due.generation || record.flags&flagWriteStalled == 0 {
			continue // gone
		}
		record.flags &^= flagWriteStalled
		l.rewatch(due.fd, record)
	}
	if s.first == len(s.queue) {
		*s = stalls{}
	}
}
