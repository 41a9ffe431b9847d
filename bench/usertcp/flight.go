package usertcp

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"

	"c10m/internal/fifo"
)

// A flight is what a connection has sent and has not had acknowledged: cold
// state, which is there only while there is some.
type flight struct {
	una      uint32 // the first sequence number of it
	serial   uint32
	syn, fin bool
	tries    uint8
	due      int64 // when it is sent again
	bytes    []byte
}

// A timer is a place in a queue that is in the order of its times.
type timer struct {
	index, serial uint32
	due           int64
}

// timers are such a queue.
type timers struct{ fifo.Queue[timer] }

// expired removes the first timer if its time has come.
func (q *timers) expired(now int64) (t timer, ok bool) {
	if q.Len() == 0 || q.Front().due > now {
		return t, false
	}
	return q.Pop(), true
}

// next is when expired has something; most if later or never.
func (q *timers) next(most int64) int64 {
	if q.Len() == 0 {
		return most
	}
	return min(most, q.Front().due)
}

// flights are those of all connections, and their timers: a queue for each
// number of tries, since all that have been sent as often wait equally long.
type flights struct {
	byConn map[uint32]*flight
	free   []*flight
	timers [triesMax + 1]timers
	serial uint32
}

func newFlights() flights { return flights{byConn: make(map[uint32]*flight)} }

func (f *flights) of(i uint32) *flight { return f.byConn[i] }

// add makes a flight that begins at a sequence number.
func (f *flights) add(i, una uint32, now int64) *flight {
	var made *flight
	if last := len(f.free) - 1; last >= 0 {
		made = f.free[last]
		f.free = f.free[:last]
	} else {
		made = &flight{}
	}
	f.serial++
	*made = flight{una: una, serial: f.serial, due: now + retransmitNanos, bytes: made.bytes[:0]}
	f.byConn[i] = made
	f.timers[0].Push(timer{i, made.serial, made.due})
	return made
}

// flightsKept bounds the free list; cold flights beyond it are garbage.
const flightsKept = 1 << 14

// drop forgets a flight, if there is one.
func (f *flights) drop(i uint32) {
	old := f.byConn[i]
	if old == nil {
		return
	}
	delete(f.byConn, i)
	if len(f.free) < flightsKept {
		f.free = append(f.free, old)
	}
}

// ack takes an acknowledgement and reports whether nothing is under way since.
func (f *flights) ack(i, ack uint32, now int64) (all bool) {
	old := f.byConn[i]
	if old == nil {
		return false
	}
	n := ack - old.una
	if int32(n) <= 0 {
		return false
	}
	bytes := min(n, uint32(len(old.bytes)))
	rest := n - bytes // 1 if the FIN is acknowledged, too
	old.bytes = append(old.bytes[:0], old.bytes[bytes:]...)
	old.una = ack
	if len(old.bytes) == 0 && (!old.fin || rest > 0) {
		f.drop(i)
		return true
	}
	old.due = now + retransmitNanos<<old.tries
	return false
}

// Tick sends acknowledgements that have waited long enough, and again what was not
// acknowledged in time.
func (s *Stack) Tick() {
	for _, i := range s.soon {
		if s.conns.At(i).flags&ackOwed != 0 {
			s.acknowledge(i)
		}
	}
	s.soon = s.soon[:0]
	left := timersPerTickMax
	for ; left > 0; left-- {
		t, ok := s.owed.expired(s.now)
		if !ok {
			break
		}
		if s.conns.At(t.index).flags&ackOwed != 0 {
			s.acknowledge(t.index)
		}
	}
	for tries := range s.flights.timers {
		for ; left > 0; left-- {
			t, ok := s.flights.timers[tries].expired(s.now)
			if !ok {
				break
			}
			s.expired(t, uint8(tries))
		}
	}
}

// Due is when Tick has something to do, or far away.
func (s *Stack) Due() int64 {
	if len(s.soon) > 0 {
		return s.now
	}
	due := s.owed.next(math.MaxInt64)
	for tries := range s.flights.timers {
		due = s.flights.timers[tries].next(due)
	}
	return due
}

// expired looks at the flight of a timer.
func (s *Stack) expired(t timer, tries uint8) {
	f := s.flights.of(t.index)
	if f == nil || f.serial != t.serial || f.tries != tries {
		return // acknowledged meanwhile
	}
	if f.due > s.now {
		s.flights.timers[tries].Push(timer{t.index, t.serial, f.due})
		return
	}
	if f.tries == triesMax {
		told := s.Generation(t.index) != 0
		s.dead(t.index)
		if told {
			s.user.Ended(t.index, syscall.Errno(unix.ETIMEDOUT))
		}
		return
	}
	f.tries++
	f.due = s.now + retransmitNanos<<f.tries
	s.flights.timers[f.tries].Push(timer{t.index, t.serial, f.due})
	s.resend(t.index, f)
}

// resend sends all of a flight again.
func (s *Stack) resend(i uint32, f *flight) {
	s.stats.Retransmitted++
	if f.syn {
		s.transmit(i, flagSYN, f.una, nil)
		return
	}
	s.transmitBytes(i, f.una, f.bytes)
	if f.fin {
		s.transmit(i, flagFIN|flagACK, f.una+uint32(len(f.bytes)), nil)
	}
}
