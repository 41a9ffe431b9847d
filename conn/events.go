package conn

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
)

// eventStream is the protocol of connections whose messages go as server-sent events.
// What they say is read and dropped, since to stop reading would hide their end.
var eventStream = &protocol{
	answers:  (*wire.Head).AcceptsEvents,
	begin:    (*Server).openEvents,
	shapes:   []func(wire.FrameMode) channel.Shape{func(wire.FrameMode) channel.Shape { return channel.Shape{Encode: encodeEvent} }},
	channels: oneChannel{},
	isStream: true,
	gauges:   []func(*Stats) *atomic.Int64{openGauge, func(s *Stats) *atomic.Int64 { return &s.OpenEvents }},

	mayRead:      func(*Server, uint32) bool { return true },
	readBytesMax: wholeRead,
	received:     func(*Server, uint32, []byte) {},
	hungUp:       hungUp,

	ping:     func(s *Server, fd uint32) { s.outbox.say(fd, heartbeat) },
	notice:   func(s *Server, fd uint32) { s.giveNotice(fd, drainEvents[rand.IntN(len(drainEvents))]) },
	finish:   func(s *Server, fd uint32, reason reasons.Reason) { s.finish(fd, reason, closeEvents[reason]) },
	answered: func(s *Server, fd uint32, c *cold, a *channel.Answer) { s.resumer.resumed(fd, c, a) },
	gone:     (*Server).sayGap,
	started:  func(s *Server, fd uint32, a *channel.Answer) { s.sayID(fd, a.AppendStart) },
}

func encodeEvent(m *channel.Message) []byte {
	var room [wire.IDBytesMax]byte
	id, payload := m.AppendID(room[:0]), m.Payload()
	return wire.AppendEvent(make([]byte, 0, wire.EventBytes(id, payload)), id, payload)
}

var heartbeat = []byte(wire.EventsHeartbeat)

// drainEvents are notices of a drain with different pauses. The closes are
// spread already, so the pause may be short; it has to be there, as an
// EventSource that finds nobody on the port tries again no sooner.
var drainEvents = func() (all [eventRetryChoices][]byte) {
	_, _, text := reasons.Draining.Told()
	for i := range all {
		retry := eventDrainRetryMillis * int64(eventRetryChoices+i) / eventRetryChoices
		all[i] = wire.AppendOwnEvent(nil, "drain", nil, retry, text)
	}
	return all
}()

// closeEvents are the last events of streams, by reason: what a WebSocket has in
// its close frame.
var closeEvents = lastWords(func(code uint16, text string) []byte {
	return wire.AppendOwnEvent(nil, "close", nil, 0, fmt.Sprintf("%d %s", code, text))
})

// openEvents answers a request for events. An EventSource that comes back says in
// Last-Event-ID where it was, and keeps the query that it began with.
func (s *Server) openEvents(p *protocol, fd uint32, h *wire.Head, _ []byte) verdict {
	reason := s.gate.judge.Reader(h, h.Path())
	if reason == reasons.None {
		reason = s.gate.admit(fd)
	}
	if reason != reasons.None {
		return s.refuseHead(fd, h, reason)
	}
	if h.IsHead() {
		return s.exchange.respond(fd, true, s.eventsAnswer(nil))
	}
	since := eventsSince(h)
	n := newcomer{s.gate.judge.Channel, s.gate.judge.Grant, s.exchange.dressed(s.eventsAnswer([]byte(wire.EventsPrelude)), s.exchange.asking), since}
	n.grant.Publish = false // nothing that it says is read
	s.stats.EventStreams.Add(1)
	s.admitMember(p, fd, &n)
	if len(since) == 0 && s.shared.Config.History.Keeps() && !s.loop.Closing(fd) && s.loop.Record(fd).Phase == phaseOpen {
		s.resumer.ask(fd, nil, &resume{waiting: true, isAhead: true})
	}
	s.thaw(fd)
	return verdictOver
}

// eventsAnswer is the head of a stream and what follows it.
func (s *Server) eventsAnswer(begin []byte) []byte {
	s.exchange.later = append(wire.AppendEventsHead(s.exchange.later[:0], s.resumer.kept()), begin...)
	return s.exchange.later
}

// eventsSince is the position at which a stream goes on: where its client says that it
// was, or, before it was anywhere, where it asked to begin. An EventSource says it in a
// header, and polyfills, which may not set that, in a parameter.
func eventsSince(h *wire.Head) (since []byte) {
	if since = h.Value(wire.LastEventID); len(since) > 0 {
		return since
	}
	if since, _ = h.Parameter("lastEventId"); len(since) > 0 {
		return since
	}
	since, _ = h.Parameter("since")
	return since
}

func (s *Server) sayID(fd uint32, appendPosition func(to []byte) []byte) {
	var room [len("id: \n\n") + wire.IDBytesMax]byte
	s.outbox.say(fd, wire.AppendEventID(room[:0], appendPosition))
}

// sayGap tells a stream that its position could not be continued, and where it
// stands now, if a is not nil.
func (s *Server) sayGap(fd uint32, a *channel.Answer) {
	var position []byte
	if a != nil {
		position = a.AppendPosition(nil)
	}
	s.outbox.say(fd, wire.AppendGapEvent(nil, position, s.resumer.kept()))
}
