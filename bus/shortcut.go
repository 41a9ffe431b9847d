package bus

import (
	"hash/maphash"

	"c10m/channel"
	"c10m/internal/trylock"
)

// A Shortcut is a loop's own way into a bus whose loops are its only listeners: it publishes
// at once, or not at all (channel.Shortcut). All its methods are for that loop's thread.
type Shortcut interface {
	Publish(channel, payload []byte) (sent channel.Sent, ok bool)
}

// A KeyedShortcut is Repeats in front of a Shortcut.
type KeyedShortcut struct {
	repeats *Repeats
	way     Shortcut
}

// Shortcut puts the Repeats in front of a loop's own way to the same bus.
func (r *Repeats) Shortcut(way Shortcut) *KeyedShortcut { return &KeyedShortcut{r, way} }

// publish publishes a message whose key, if it has one, has not been seen. The outcome has
// the arguments, and no id where nobody asked for an answer.
func (s *KeyedShortcut) publish(name, key, payload []byte, isAnswered bool) (o channel.Outcome, ok bool) {
	var sent channel.Sent
	if len(key) == 0 || s.repeats.keysMax == 0 {
		sent, ok = s.way.Publish(name, payload)
	} else {
		sent, ok = s.first(name, key, payload)
	}
	if !ok || !isAnswered {
		return o, ok
	}
	return channel.Outcome{Channel: name, Key: key, Fate: channel.FatePublished, Connections: sent.Connections, ID: sent.ID()}, true
}

// first publishes a message with a key that is new, and remembers its answer.
func (s *KeyedShortcut) first(name, key, payload []byte) (sent channel.Sent, ok bool) {
	r := s.repeats
	p := Publication{Channel: name, Key: key}
	first, known := underWay{payload: maphash.Bytes(r.seed, payload)}, p.repeatKey()
	if !trylock.Lock(&r.mu) {
		return sent, false
	}
	defer r.mu.Unlock()
	now := r.now()
	r.forget(now)
	if _, isUnderWay := r.underWay[known]; isUnderWay {
		return sent, false
	}
	if _, isKnown := r.known[known]; isKnown {
		return sent, false
	}
	if sent, ok = s.way.Publish(name, payload); ok {
		first.answer = answer{connections: sent.Connections, id: sent.ID()}
		r.remember(known, &first, now)
	}
	return sent, ok
}
