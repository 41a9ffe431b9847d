package conn

import "c10m/conn/reasons"

// What is kept of requests: half of one, or those whose turn has not come.

// awaitRequest keeps p until more of a request (or of what comes before it) is
// there. own is as takeRequest returns it, and 0 if p is lent.
func (s *exchange) awaitRequest(fd uint32, p []byte, own int) (kept bool) {
	if s.keepBounded(fd, p, own) == nil {
		s.refuseRequest(fd, p, reasons.RequestMemory)
		return false
	}
	return true
}

// keepBounded keeps p with its connection, whose cold state it returns; nil says that
// there is no room for it, and the connection has to end.
func (s *exchange) keepBounded(fd uint32, p []byte, own int) *cold {
	c := s.coldOf(fd)
	if c == nil {
		return nil
	}
	if s.keepRequest(c, p, own); s.requestBytes > requestBytesTotalMax {
		return nil
	}
	return c
}

// keepRequest keeps a part of a request until the rest of it is there, and counts the
// whole array that it is kept in. The connection's own bytes are not copied, unless
// they are less than a quarter of their array: a byte that is left of a read of 64 KiB
// would hold all of it. So copies cost in proportion to the bytes that come.
func (s *exchange) keepRequest(c *cold, p []byte, own int) {
	s.requestBytes -= c.requestArray
	switch {
	case len(c.request) == 0 && len(p) >= own/4 && own > 0:
		c.request, c.requestArray = p, own
	case len(c.request)+len(p) > cap(c.request):
		c.request = append(c.request, p...)
		c.requestArray = cap(c.request)
	default:
		c.request = append(c.request, p...)
	}
	s.requestBytes += c.requestArray
}

// takeRequest returns what is kept of requests, and keeps it no longer. own is the size
// of the array that p is the end of, for who keeps p, or the end of it, again.
func (s *exchange) takeRequest(c *cold) (p []byte, own int) {
	p, own = c.request, c.requestArray
	s.requestBytes -= own
	c.request, c.requestArray = nil, 0
	return p, own
}
