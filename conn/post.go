package conn

import (
	"bytes"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
)

// A body is that of a POST, as far as it came.
type body struct {
	channel []byte
	key     []byte // the message's, empty if it has none
	bytes   []byte
	length  int64
	isLast  bool // the answer is the last on the connection
}

func (s *exchange) post(fd uint32, h *wire.Head, rest []byte) (after []byte, then verdict) {
	isPending := s.cold[fd].isPending()
	isWhole := int64(len(rest)) >= h.Length
	if isPending && !isWhole {
		return nil, verdictWait
	}
	if reason := s.gate.judge.Post(h); reason != reasons.None {
		if isPending {
			return nil, verdictWait
		}
		s.refuse(fd, reason)
		return nil, verdictOver
	}
	if !isWhole {
		s.awaitBody(fd, h, rest)
		return nil, verdictOver
	}
	return rest[h.Length:], s.publishBody(fd, s.gate.judge.Channel, s.gate.judge.Key, rest[:h.Length], s.isLast(h))
}

// continueAnswer has a client send the body that it holds back (RFC 9110, 10.1.1).
var continueAnswer = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// awaitBody waits for the body of a POST, of which part is there.
func (s *exchange) awaitBody(fd uint32, h *wire.Head, part []byte) {
	c := s.coldOrRefuse(fd)
	if c == nil {
		return
	}
	c.body = &body{channel: bytes.Clone(s.gate.judge.Channel), key: bytes.Clone(s.gate.judge.Key), length: h.Length, isLast: s.isLast(h)}
	s.keepAsker(c)
	s.enter(fd, phaseBody)
	if !s.keepBody(fd, c, part) {
		return
	}
	if h.ExpectContinue && len(part) == 0 {
		s.outbox.say(fd, continueAnswer)
	}
}

// keepBody keeps a part of a body. Memory doubles, up to what was announced, so
// that a client gets at most twice of what it has sent.
func (s *exchange) keepBody(fd uint32, c *cold, part []byte) (kept bool) {
	b := c.body
	if need := len(b.bytes) + len(part); need > cap(b.bytes) {
		size := min(int(b.length), max(need, 2*cap(b.bytes)))
		s.inboundBytes += size - cap(b.bytes)
		b.bytes = append(make([]byte, 0, size), b.bytes...)
		s.inboundBytes += cap(b.bytes) - size // where the runtime rounds up
	}
	b.bytes = append(b.bytes, part...)
	if s.inboundBytes > s.shared.Config.InboundBytesTotal {
		s.refuse(fd, reasons.RequestMemory)
		return false
	}
	return true
}

func (s *exchange) readBody(fd uint32, p []byte) {
	c := s.cold[fd]
	b := c.body
	n := int(min(int64(len(p)), b.length-int64(len(b.bytes))))
	if !s.keepBody(fd, c, p[:n]) || int64(len(b.bytes)) < b.length {
		return
	}
	s.dropBody(c)
	if s.publishBody(fd, b.channel, b.key, b.bytes, b.isLast) == verdictNext {
		s.readRequests(fd, p[n:], 0)
	}
}

func (s *exchange) dropBody(c *cold) {
	if c.body != nil {
		s.inboundBytes -= cap(c.body.bytes)
		c.body = nil
	}
}

// publishBody hands a message to the bus; the answer comes with Published.
func (s *exchange) publishBody(fd uint32, name, key, payload []byte, isLast bool) verdict {
	c := s.coldOrRefuse(fd)
	if c == nil {
		return verdictOver
	}
	if c.pending == 0 {
		if o, ok := s.publishing.publishNow(name, key, payload); ok {
			s.stats.Published.Add(1)
			return s.respond(fd, isLast, appendOutcome(nil, &o, isLast))
		}
	}
	if s.publisher.Full() || !s.publishing.publishAnswered(fd, name, key, payload) {
		if c.pending > 0 {
			return verdictWait
		}
		s.stats.PublishesRefused.Add(1)
		return s.respond(fd, isLast, publishBusy.Append(nil, isLast))
	}
	s.stats.Published.Add(1)
	s.keepAsker(c)
	c.pending++
	c.isLast = isLast
	s.enter(fd, phaseAnswer)
	if isLast {
		return verdictOver
	}
	return verdictNext
}

var publishBusy = wire.Failure{Status: 429, RetrySeconds: 1, Text: "Too many messages are under way, and this one was not published: try again."}

// publishFailures is what who asked is told of a message that was not published, or may not be.
var publishFailures = [...]wire.Failure{
	channel.FateUnpublished: {Status: 503, RetrySeconds: 5, Text: "The bus is down, and the message was not published."},
	channel.FateUnconfirmed: {Status: 503, RetrySeconds: 5, Text: "The bus did not answer, and the message may have been published."},
	channel.FateKeyReused:   {Status: 422, Text: "The key was another message's, and this one was not published."},
}

func appendOutcome(out []byte, o *channel.Outcome, isLast bool) []byte {
	if o.Fate != channel.FatePublished {
		return publishFailures[o.Fate].Append(out, isLast)
	}
	var room [512]byte
	body := append(wire.AppendPublished(room[:0], string(o.Channel), o.Connections, o.Subscribers, o.ID), '\n')
	return wire.AppendAnswer(out, 200, "", "application/json", body, isLast)
}
