package redisbus

import (
	"c10m/bus"
	"c10m/channel"
)

// A shortcut is Embedded.publish from a loop's own thread, for as long as no RESP peer
// subscribes to anything: a message then has no listeners but the loops' connections. Who
// subscribes meanwhile may not hear of a message whose publishing had begun before.
type shortcut struct {
	bus *Embedded
	way *channel.Shortcut
}

// Shortcut makes a loop's own way into the bus of its way into the Door, which has to be the
// Hub of this bus.
func (b *Embedded) Shortcut(way *channel.Shortcut) bus.Shortcut { return shortcut{b, way} }

// Publish implements bus.Shortcut.
func (s shortcut) Publish(name, payload []byte) (sent channel.Sent, ok bool) {
	b := s.bus
	if b.registry.count.Load() != 0 || b.closing.Load() {
		return sent, false
	}
	if sent, ok = s.way.Publish(name, payload); ok {
		b.count.Messages.Add(1)
		b.count.Bytes.Add(uint64(len(payload)))
	}
	return sent, ok
}
