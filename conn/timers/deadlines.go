package timers

import (
	"math"

	"c10m/internal/fifo"
)

// Deadlines is a queue of connections that have to get somewhere in time. All
// have the same time, so the queue is in order by itself. Who got there stays
// in the queue and is passed over.
type Deadlines struct{ queue fifo.Queue[deadline] }

type deadline struct {
	at             int64
	fd, generation uint32
}

// Add adds a connection that has until at, which is no earlier than that of those before.
func (d *Deadlines) Add(at int64, fd, generation uint32) {
	d.queue.Push(deadline{at, fd, generation})
}

// Visit calls look for each entry that is due, which reports whether its connection
// was late: for at most LatePerTickMax that are, and a bounded number that are not. It
// returns when to call it again if there are more. look may add entries.
func (d *Deadlines) Visit(now int64, look func(fd, generation uint32) (isLate bool)) (next int64) {
	calls := 0
	for looks := 0; d.queue.Len() > 0 && d.queue.Front().at <= now; looks++ {
		if calls == LatePerTickMax || looks == looksPerTickMax {
			return now + int64(TickMin)
		}
		if due := d.queue.Pop(); look(due.fd, due.generation) {
			calls++
		}
	}
	return math.MaxInt64
}
