package channel

import "c10m/poller"

// A Neighbour is a loop, as a loop that publishes sees it.
type Neighbour interface {
	Poster
	// HasRoom and PostAnyway are poller.Loop's.
	HasRoom() bool
	PostAnyway(letter *poller.Letter)
	// MembersOf is Registry's.
	MembersOf(name []byte, hash uint32) (n int, isKnown bool)
}

// A Home is the loop itself, to itself.
type Home interface {
	Neighbour
	// TakesLetters reports whether no letter waits and the loop would take one now: a
	// message that is handed to it is not earlier than one that was posted before.
	TakesLetters() bool
	// Letter is poller.Handler's.
	Letter(body any)
}

// A Shortcut is a loop's own way into the Hub, for what comes in on its connections. It
// publishes at once, or not at all: it waits for nothing, neither for another publisher of
// the channel nor for room in a mailbox. Who is told no takes the long way, from a
// goroutine (Hub.Publish). All its methods are for that loop's thread.
type Shortcut struct {
	// Fixed after construction.
	hub   *Hub
	home  Home
	loops []Neighbour // home among them

	// Of the message at hand.
	to          []Neighbour // those that have its channel
	connections int         // theirs
}

// Shortcuts makes one for each loop of the hub, which are given in the hub's order.
func (h *Hub) Shortcuts(homes []Home) []*Shortcut {
	loops, all := make([]Neighbour, len(homes)), make([]*Shortcut, len(homes))
	for i, home := range homes {
		loops[i], all[i] = home, &Shortcut{hub: h, home: home, loops: loops}
	}
	return all
}

// Sent is a message that a Shortcut published.
type Sent struct {
	// Connections is the number of connections that it goes to. Of the other loops it is
	// how many were members when it was published. One of those who leaves before its
	// loop has the message does not get it; who comes before that does.
	Connections int
	hub         *Hub
	number      uint64
}

// ID is the id of the message.
func (s *Sent) ID() string {
	if s.hub == nil {
		return ""
	}
	return string(s.hub.appendPosition(nil, s.number))
}

// Publish is Hub.Publish, but never waits. It keeps neither argument. false: nothing was
// done, be it that somebody else is at the channel or that a mailbox is full, be it that
// nobody can subscribe to the name, or that the payload is too long: Hub.Publish says that.
func (s *Shortcut) Publish(name, payload []byte) (sent Sent, ok bool) {
	h := s.hub
	if len(payload) > h.config.PayloadBytesMax || !ValidName(name) || !h.cut.TryRLock() {
		return sent, false
	}
	defer h.cut.RUnlock()
	message := &Message{
		name: append([]byte(nil), name...), hash: hashName(name), frame: h.config.Frame(payload), payloadBytes: uint32(len(payload)),
		extra: messageBytesExtra, at: h.config.Now(), hub: h,
	}
	channel := h.order.try(message.hash)
	if channel == nil {
		return sent, false
	}
	defer channel.mu.Unlock()
	if !s.look(message) || !h.config.History.tryLock() {
		return sent, false
	}
	message.number = h.number.Add(1)
	h.config.History.keepAndUnlock(message)
	h.stats.Messages.Add(1)
	h.stats.Shortcuts.Add(1)
	h.stats.Bytes.Add(uint64(len(payload)))
	h.stats.Spared.Add(uint64(len(s.loops) - len(s.to)))
	s.post(message)
	return Sent{Connections: s.connections, hub: h, number: message.number}, true
}

// look finds the loops that have the channel and how many of their connections are in it.
// It reports false if one of them has no room, or changes too fast to be counted.
func (s *Shortcut) look(message *Message) (ok bool) {
	s.to, s.connections = s.to[:0], 0
	for _, loop := range s.loops {
		if !loop.Wants(message.hash) {
			continue
		}
		n, isKnown := loop.MembersOf(message.name, message.hash)
		if !isKnown || !loop.HasRoom() {
			return false
		}
		s.to = append(s.to, loop)
		s.connections += n
	}
	return true
}

// post hands a message to the loops that look found.
func (s *Shortcut) post(message *Message) {
	for _, loop := range s.to {
		if loop == s.home && s.home.TakesLetters() {
			s.home.Letter(message)
			continue
		}
		loop.PostAnyway(&poller.Letter{Body: message, Bytes: message.cost()})
	}
}
