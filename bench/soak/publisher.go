package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"c10m/bench/load"
)

// A position is how many messages of each kind were handed out, since the start
// or between two moments.
type position struct{ fanout, own, bulk, marks uint64 }

func (p position) total() uint64 { return p.fanout + p.own + p.bulk + p.marks }

func (p position) minus(o position) position {
	return position{p.fanout - o.fanout, p.own - o.own, p.bulk - o.bulk, p.marks - o.marks}
}

// markChannel carries numbers that only the witness of marks reads.
const markChannel = "soak-marks"

// A stream is one kind of messages. Its clients share its channels: each counts
// by itself, in step with the others, so that they have one numbering.
type stream struct {
	// Fixed after construction.
	name    string
	clients []*load.Client
	rate    float64 // messages a second
	bytes   int
	target  func() int // the number of whom a message is for
	count   func(*position) *uint64

	// Owned by run.
	due uint64 // messages so far by the timetable
}

// next enters a message with every client of the stream.
func (s *stream) next(target int) load.Message {
	m := s.clients[0].Next(target)
	for _, c := range s.clients[1:] {
		if other := c.Next(target); other != m {
			panic(fmt.Sprintf("BUG: clients of %s are not in step: %d and %d", s.name, m.Sequence, other.Sequence))
		}
	}
	return m
}

// A publisher hands all messages to Redis over one connection at a time, so
// that they have one order. It numbers on while Redis is down; what it could not
// hand to anybody is counted.
type publisher struct {
	// Fixed after construction.
	address string
	streams []*stream

	// Guarded by mu.
	mu       sync.Mutex
	bus      *load.Bus // nil while there is none
	redialAt time.Time
	at       position
	written  int    // to this bus
	nobody   uint64 // messages that were written to no bus, or to one that said that nobody is there
	unknown  uint64 // messages whose answer was lost with the bus
	drops    int    // times that the bus was lost
}

// run publishes by the timetables until ctx ends. Message n of a stream is due
// at begin + n/rate, whatever happened to those before.
func (p *publisher) run(ctx context.Context) {
	begin := load.Nanos()
	for ctx.Err() == nil {
		now := load.Nanos()
		next := now + int64(publishSleepMax)
		p.mu.Lock()
		for _, s := range p.streams {
			next = min(next, p.catchUp(s, begin, now))
		}
		p.flush()
		p.mu.Unlock()
		time.Sleep(time.Duration(next - load.Nanos()))
	}
}

// catchUp appends what is due and returns when the next will be. Called with mu
// held.
func (p *publisher) catchUp(s *stream, begin, now int64) (next int64) {
	for range publishBatchMax {
		due := begin + int64(float64(s.due)*1e9/s.rate)
		if due > now {
			return due
		}
		s.due++
		p.append(s, s.target(), due)
	}
	return now
}

// append hands out a message of a stream. Called with mu held.
func (p *publisher) append(s *stream, target int, due int64) {
	m := s.next(target)
	*s.count(&p.at)++
	if p.dial() {
		s.clients[0].Append(p.bus, m, due, s.bytes)
	}
}

// dial makes sure that there is a bus, and counts the message that is to be
// written. Called with mu held.
func (p *publisher) dial() bool {
	if p.bus == nil && !time.Now().Before(p.redialAt) {
		p.redialAt = time.Now().Add(redialPause)
		if bus, err := load.DialBus(p.address, ""); err == nil {
			p.bus, p.written = bus, 0
		}
	}
	if p.bus == nil {
		p.nobody++
		return false
	}
	p.written++
	return true
}

// flush writes what was appended. Called with mu held.
func (p *publisher) flush() {
	if p.bus != nil && p.bus.Flush() != nil {
		p.drop()
	}
}

// drop gives a bus up and counts what it has answered. Called with mu held.
func (p *publisher) drop() {
	p.drops++
	p.settle()
	p.bus.Close()
	p.bus = nil
}

func (p *publisher) settle() {
	_, answers := p.bus.Receivers()
	p.nobody += uint64(p.bus.Unheard())
	p.unknown += uint64(p.written - answers)
}

// mark publishes a mark and returns what was handed out up to and with it. Any
// goroutine may call it.
func (p *publisher) mark() position {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at.marks++
	if p.dial() {
		p.bus.Append(markChannel, fmt.Appendf(nil, "%d", p.at.marks))
	}
	p.flush()
	return p.at
}

// handedOut is how many messages there were so far. Any goroutine may call it.
func (p *publisher) handedOut() position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// lastWords publishes one more message to every connection, so that what is
// missing at the end of a sequence shows as a gap. Any goroutine may call it.
func (p *publisher) lastWords() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.streams {
		targets := 1
		if s.clients[0].OwnChannels() {
			targets = s.clients[0].Connections()
		}
		for target := range targets {
			p.append(s, target, load.Nanos())
		}
	}
	p.flush()
}

// close ends the last bus, whose answers have to be there: a mark that was
// written after all else has come back. Its counters are read after it.
func (p *publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bus != nil {
		p.settle()
		p.bus.Close()
		p.bus = nil
	}
}
