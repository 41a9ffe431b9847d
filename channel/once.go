package channel

// Who subscribes with SubscribeOnce is a member until it is given something: long-polls.
// A response is all that such a member is owed, in one piece, and has
// to be whole from its first byte (its length comes first), so it is never begun
// and continued here: what the socket does not take is the owner's to write.

// A responseCache is the last response of several messages that was made in a
// slice, in one format. Most members stand at the same place, and a burst that comes in the
// middle of a sweep over a million of them is owed to half a million as one
// response. Within a slice nothing is appended to a log, so the first message
// tells them all.
type responseCache struct {
	first    *Message
	messages []*Message
	bytes    []byte
}

func (c *responseCache) forget() {
	if c.first != nil {
		clear(c.messages[:cap(c.messages)])
		*c = responseCache{messages: c.messages[:0]}
	}
}

// responseCaches are those of each format.
type responseCaches [FormatsMax]responseCache

func (c *responseCaches) forget() {
	for i := range c {
		c[i].forget()
	}
}

// respond gives a member all that it is owed before until, as far as one response
// carries it, and takes it out of its channel. A broken socket is reported, and the member
// stays until its owner unsubscribes it.
func (r *Registry) respond(g *log, fd uint32, m *member, until uint32) {
	response, messages := r.responseOf(g, m.format, m.seq, until)
	n, status := r.socket.Respond(fd, response)
	r.tally.writes++
	if status.IsEnd() {
		m.flags |= memberDead
		if m.flags&memberBlocked == 0 {
			r.block(g, fd, m)
		}
		r.owner.Failed(fd, status)
		return
	}
	r.tally.bytes += uint64(n)
	r.tally.deliveries += uint64(messages)
	if messages > 1 {
		r.tally.batches++
	}
	r.Unsubscribe(fd)
	r.owner.Served(fd, response[n:])
}

// responseOf returns the response, in this format, of the messages from seq to until
// and how many they are. Within a slice until is the same for all that stand at seq:
// before an interruption all are untold.
func (r *Registry) responseOf(g *log, format Format, seq, until uint32) (response []byte, messages int) {
	first := g.entry(seq).message
	if seq+1 == until {
		return first.As(format), 1
	}
	c := &r.responses[format]
	if c.first == first {
		return c.bytes, len(c.messages)
	}
	c.forget()
	c.first = first
	for ; seq != until && len(c.messages) < ResponseMessagesMax; seq++ {
		c.messages = append(c.messages, g.entry(seq).message)
	}
	c.messages = FirstOf(c.messages)
	if len(c.messages) == 1 {
		c.bytes = first.As(format)
	} else {
		c.bytes = first.hub.config.Formats[format].Join(c.messages)
	}
	return c.bytes, len(c.messages)
}

// FirstOf returns those of messages that one response carries, at least the first.
func FirstOf(messages []*Message) []*Message {
	bytes := 0
	for i, message := range messages {
		if bytes += int(message.payloadBytes); i > 0 && (i == ResponseMessagesMax || bytes > responseBytesMax) {
			return messages[:i]
		}
	}
	return messages
}
