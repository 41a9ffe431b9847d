package conn

import (
	"math"
	"time"

	"c10m/channel"
	"c10m/conn/timers"
	"c10m/conn/wire"
)

// Presence (Config.NewPresence): once a second each loop publishes to presence:news
// how many of its connections came to the channel news, how many left it, and how many
// there are now. Only sums are told, so a million who come at once are one message for
// each loop; who wants to know how many there are asks once (/-/channels/news) for the
// parts of all loops, and keeps the latest of each.

// tellPresence publishes what has changed and returns when to call it again.
func (s *Server) tellPresence() (next int64) {
	if s.presence == nil {
		return math.MaxInt64
	}
	now := s.loop.Now()
	if now < s.presenceNext {
		return s.presenceNext
	}
	more := s.registry.Changes(presencePerTickMax, func(name string, joined, left int, now channel.Part) (taken bool) {
		if s.presence.Full() {
			return false
		}
		var room [128]byte
		payload := wire.AppendPresenceChange(room[:0], joined, left, partOf(now))
		return s.presence.Publish(0, []byte(channel.PresencePrefix+name), payload)
	})
	s.presenceNext = now + int64(timers.TickMin)
	if !more {
		s.presenceNext = timers.OnBeat(now, int64(time.Second), s.loop.ID())
	}
	return s.presenceNext
}

func partOf(p channel.Part) wire.Part {
	return wire.Part{Of: p.Of, Connections: p.Members, Version: p.Version}
}

// presenceFeedback hears what became of events: one that the bus did not take is
// counted, and nobody is closed for it.
type presenceFeedback struct{ stats *Stats }

func (presenceFeedback) Room()                       {}
func (presenceFeedback) Published([]channel.Outcome) {}

func (f presenceFeedback) PublishFailed(failed []channel.Outcome) {
	f.stats.PresenceFailed.Add(uint64(len(failed)))
}
