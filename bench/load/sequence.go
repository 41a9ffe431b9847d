package load

// A verdict is what a sequence number says about a connection's messages.
type verdict uint8

const (
	inOrder   verdict = iota // the next one
	afterGap                 // later than the next: those between are lost for now
	late                     // one of those: out of order, not lost
	duplicate                // seen before
)

// A span is a run of sequence numbers that have not come, both ends included.
type span struct{ first, last uint64 }

// atMost in a connection's next says that its first message may have any
// number up to next. It is so for one that came while messages were flowing:
// whether those under way reach it depends on who was faster, but what is
// published after it was open has to.
const atMost = 1 << 63

// A sequenceChecker judges the sequence numbers of a loop's connections. The
// next number of each stands in its record; only a connection with gaps has an
// entry here.
type sequenceChecker struct {
	gaps map[uint32][]span

	Lost       uint64 // not come, as far as known now
	Duplicated uint64
	OutOfOrder uint64 // came after a later one
	Forgotten  uint64 // lost, and too long ago to tell a late one from a duplicate
}

// see judges one number of the connection and updates its next. A next of 0
// means that the first number to come is taken as it is.
func (c *sequenceChecker) see(connection uint32, next *uint64, sequence uint64) verdict {
	switch {
	case sequence == *next || *next == 0:
		*next = sequence + 1
		return inOrder
	case *next&atMost != 0:
		due := *next &^ atMost
		*next = sequence + 1
		if sequence <= due {
			return inOrder
		}
		c.addGap(connection, span{due, sequence - 1})
		return afterGap
	case sequence > *next:
		c.addGap(connection, span{*next, sequence - 1})
		*next = sequence + 1
		return afterGap
	case c.fill(connection, sequence):
		c.Lost--
		c.OutOfOrder++
		return late
	}
	c.Duplicated++
	return duplicate
}

func (c *sequenceChecker) addGap(connection uint32, gap span) {
	if c.gaps == nil {
		c.gaps = make(map[uint32][]span)
	}
	c.Lost += gap.last - gap.first + 1
	spans := append(c.gaps[connection], gap)
	if len(spans) > gapsPerConnectionMax {
		c.Forgotten += spans[0].last - spans[0].first + 1
		spans = spans[1:]
	}
	c.gaps[connection] = spans
}

// fill takes sequence out of the connection's gaps, if it is in one.
func (c *sequenceChecker) fill(connection uint32, sequence uint64) bool {
	spans := c.gaps[connection]
	for i, s := range spans {
		if sequence < s.first || sequence > s.last {
			continue
		}
		rest := make([]span, 0, len(spans)+1)
		rest = append(rest, spans[:i]...)
		if s.first < sequence {
			rest = append(rest, span{s.first, sequence - 1})
		}
		if sequence < s.last {
			rest = append(rest, span{sequence + 1, s.last})
		}
		rest = append(rest, spans[i+1:]...)
		if len(rest) == 0 {
			delete(c.gaps, connection)
		} else {
			c.gaps[connection] = rest
		}
		return true
	}
	return false
}

// forget drops what is remembered of a connection that is gone.
func (c *sequenceChecker) forget(connection uint32) { delete(c.gaps, connection) }
