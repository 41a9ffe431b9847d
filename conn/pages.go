package conn

import (
	"strings"

	"c10m/channel"
	"c10m/conn/presence"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"
)

// own answers with what is the server's own: OPTIONS, for any path, as what may be asked
// of it is known from its answer; what is at /, and what is below /-/.
func (s *exchange) own(fd uint32, h *wire.Head, isPreflight bool) verdict {
	if reason := s.gate.judge.Plain(h); reason != reasons.None {
		return s.refuseHead(fd, h, reason)
	}
	isLast := s.isLast(h)
	if isPreflight {
		s.later = wire.AppendPreflight(s.later[:0], h, isLast)
		return s.respond(fd, isLast, s.later)
	}
	if answer := s.shared.pages.Answer(h, isLast); answer != nil {
		return s.respond(fd, isLast, answer)
	}
	const channels = "/-/channels"
	if strings.HasPrefix(string(h.Path()), channels+"/") {
		return s.countPage(fd, h, h.Path()[len(channels):])
	}
	return s.refuseHead(fd, h, reasons.RequestReserved)
}

// A Counter knows how many connections channels have (channel.Hub).
type Counter interface {
	// Count and Presence wait for the loops. Presence is empty where nobody is told of
	// it (Config.NewPresence).
	Count(channels []string) []int
	Presence(channel string) []channel.Part
}

// CountWith has /-/channels/<channel> answered. Any goroutine may call it, once.
func (s *Shared) CountWith(counter Counter) { s.counter.Store(&counter) }

var countBusy = wire.Failure{Status: 429, RetrySeconds: 1, Text: "Too many ask at once: try again."}

// countPage answers how many connections a channel has, on all loops, to whoever
// may subscribe to it. A goroutine asks the loops, as no loop may wait for another.
func (s *exchange) countPage(fd uint32, h *wire.Head, path []byte) verdict {
	if reason := s.gate.judge.Reader(h, path); reason != reasons.None {
		return s.refuseHead(fd, h, reason)
	}
	isLast, isHead := s.isLast(h), h.IsHead()
	counter := s.shared.counter.Load()
	if counter == nil || s.counts >= countsMax {
		return s.respond(fd, isLast, wire.AnswerTo(isHead, countBusy.Append(nil, isLast)))
	}
	c := s.coldOf(fd)
	if c == nil {
		return s.refuseHead(fd, h, reasons.RequestMemory)
	}
	s.keepAsker(c)
	c.pending++
	c.isLast, c.isCounting = isLast, true
	s.enter(fd, phaseAnswer)
	s.counts++
	id, name := s.identityOf(fd), string(s.gate.judge.Channel)
	go func() {
		var body []byte
		if s.presence.To != nil {
			var parts []wire.Part
			for _, p := range (*counter).Presence(name) {
				parts = append(parts, presence.Part(p))
			}
			body = wire.AppendPresence(nil, name, parts)
		} else {
			body = wire.AppendPublished(nil, name, (*counter).Count([]string{name})[0], -1, "")
		}
		body = append(body, '\n')
		s.loop.Run(func(*poller.Loop) {
			s.counts--
			s.answerLater(id, func(out []byte, isLast bool) []byte {
				return append(out, wire.AnswerTo(isHead, wire.AppendAnswer(nil, 200, "", "application/json", body, isLast))...)
			})
			s.sayAnswers()
		})
	}()
	if isLast {
		return verdictOver
	}
	return verdictNext
}
