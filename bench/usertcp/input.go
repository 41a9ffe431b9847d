package usertcp

import "golang.org/x/sys/unix"

// Input takes a packet that came from the device, without the device's header.
func (s *Stack) Input(packet []byte) {
	s.stats.Received++
	segment, ok := ParseSegment(packet, s.config.Offload)
	if !ok {
		s.stats.Malformed++
		return
	}
	i, ok := s.config.Plan.indexOf(&segment)
	if !ok {
		s.stats.Foreign++
		return
	}
	switch s.conns.At(i).state() {
	case stateClosed:
		s.refuse(i, &segment)
	case stateSynSent:
		s.inSynSent(i, &segment)
	default:
		s.inOpen(i, &segment)
	}
}

// inSynSent is RFC 9293, 3.10.7.3, without simultaneous opens.
func (s *Stack) inSynSent(i uint32, segment *Segment) {
	c := s.conns.At(i)
	if segment.Flags&flagACK != 0 && segment.Ack != c.sndNxt {
		// The server still has the connection before, which our reset ends; the
		// SYN need not wait for its timer then.
		s.refuse(i, segment)
		if segment.Flags&(flagRST|flagSYN) == 0 {
			s.resend(i, s.flights.of(i))
		}
		return
	}
	if segment.Flags&flagACK == 0 {
		return
	}
	if segment.Flags&flagRST != 0 {
		s.dead(i)
		s.user.Ended(i, unix.ECONNREFUSED)
		return
	}
	if segment.Flags&flagSYN == 0 {
		return
	}
	s.flights.drop(i)
	c.rcvNxt = segment.Seq + 1
	c.setState(stateOpen)
	c.flags |= ackOwed
	s.user.Opened(i)
	if c.flags&ackOwed != 0 {
		s.acknowledgeSoon(i)
	}
}

// inOpen is RFC 9293, 3.10.7.4, for a receiver that keeps nothing out of order.
func (s *Stack) inOpen(i uint32, segment *Segment) {
	c := s.conns.At(i)
	switch {
	case segment.Flags&flagRST != 0:
		s.reset(i, segment)
		return
	case segment.Flags&flagSYN != 0:
		s.acknowledge(i) // RFC 5961, 4.2; or our first ACK was lost
		return
	case segment.Flags&flagACK == 0:
		return
	}
	if int32(segment.Ack-c.sndNxt) > 0 {
		s.acknowledge(i) // of what was never sent
		return
	}
	if s.flights.ack(i, segment.Ack, s.now) {
		s.allAcknowledged(i)
	}
	if c.state() == stateClosed || len(segment.Payload) == 0 && segment.Flags&flagFIN == 0 {
		if segment.Seq != c.rcvNxt && c.state() != stateClosed {
			s.acknowledge(i) // a probe whether we live (RFC 9293, 3.8.4)
		}
		return
	}
	s.receive(i, segment)
}

// reset ends a connection if the reset is exact (RFC 5961, 3.2).
func (s *Stack) reset(i uint32, segment *Segment) {
	c := s.conns.At(i)
	if segment.Seq != c.rcvNxt {
		if segment.Seq-c.rcvNxt < windowBytes {
			s.acknowledge(i)
		}
		return
	}
	told := c.state() < stateFinSent
	s.dead(i)
	if told {
		s.user.Ended(i, unix.ECONNRESET)
	}
}

// allAcknowledged goes on when our FIN may have been acknowledged.
func (s *Stack) allAcknowledged(i uint32) {
	if s.conns.At(i).state() == stateLastAck {
		s.dead(i)
	}
}

// receive takes what is in order of a segment with bytes or a FIN.
func (s *Stack) receive(i uint32, segment *Segment) {
	c := s.conns.At(i)
	payload := segment.Payload
	end := segment.Seq + segment.length()
	switch before := int32(c.rcvNxt - segment.Seq); {
	case before < 0:
		s.stats.OutOfOrder++
		s.acknowledge(i) // the duplicate ACK that asks for what is missing
		return
	case int32(end-c.rcvNxt) <= 0:
		s.stats.Repeated++
		s.acknowledge(i)
		return
	case before > 0:
		// The end alone is new, perhaps only the FIN.
		payload = payload[min(int(before), len(payload)):]
	}
	if len(payload) > 0 {
		if c.state() >= stateFinSent {
			// Nobody reads it any more, and the sender is to know.
			s.refuse(i, segment)
			s.dead(i)
			return
		}
		if c.state() == statePeerEnd {
			return // behind a FIN: broken
		}
		s.deliver(i, payload, segment.Flags&flagFIN == 0)
	}
	if segment.Flags&flagFIN != 0 {
		s.finished(i, end)
	}
}

// deliver hands bytes to the user and acknowledges them as the policy says.
func (s *Stack) deliver(i uint32, payload []byte, mayWait bool) {
	c := s.conns.At(i)
	if c.flags&ackOwed != 0 && s.config.AckNanos == 0 {
		s.acknowledge(i) // each segment has one of its own
	}
	c.rcvNxt += uint32(len(payload))
	mayWait = mayWait && s.config.AckNanos > 0 && c.flags&ackOwed == 0
	c.flags |= ackOwed
	s.user.Received(i, payload)
	if c.flags&ackOwed == 0 {
		return // with an answer, or it is closed
	}
	if mayWait {
		s.owed.Push(timer{index: i, due: s.now + s.config.AckNanos})
		return
	}
	s.acknowledgeSoon(i)
}

// finished takes the peer's FIN.
func (s *Stack) finished(i, end uint32) {
	c := s.conns.At(i)
	switch c.state() {
	case stateOpen:
		c.rcvNxt = end
		c.setState(statePeerEnd)
		s.acknowledge(i)
		s.user.Ended(i, 0)
	case stateFinSent:
		c.rcvNxt = end
		s.acknowledge(i)
		if c.setState(stateLastAck); s.flights.of(i) == nil {
			s.dead(i)
		}
	}
}
