package epoll

import (
	"math"

	"c10m/poller"
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

// Stalled is the first write that found no room after Wait had called fd writable.
func (e *Engine) Stalled(fd uint32) {
	record := e.table.records.At(fd)
	if record.Flags&flagWriteStalled != 0 || record.Flags&flagRegistered == 0 {
		return
	}
	e.loop.Stats().WriteStalls.Add(1)
	record.Flags |= flagWriteStalled
	e.Arm(fd)
	e.stalls.Push(stalled{e.loop.Now() + stallNanos, fd, record.Generation})
}

// retryAt is when the next stalled connection tries again, or never. All wait for the
// same time, so the queue is in order by itself.
func (e *Engine) retryAt() int64 {
	if e.stalls.Len() > 0 {
		return e.stalls.Front().at
	}
	return math.MaxInt64
}

// retry gives stalled connections their EPOLLOUT back when it is time, at most
// retriesPerTurnMax of them.
func (e *Engine) retry() {
	for range retriesPerTurnMax {
		if e.retryAt() > e.loop.Now() {
			return
		}
		due := e.stalls.Pop()
		record := e.table.records.At(due.fd)
		if record.Generation != due.generation || record.Flags&flagWriteStalled == 0 {
			continue // gone
		}
		record.Flags &^= flagWriteStalled
		if record.Flags&poller.FlagClosing == 0 {
			e.Arm(due.fd)
		}
	}
}
