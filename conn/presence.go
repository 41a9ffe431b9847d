package conn

import (
	"math"
	"strconv"
	"time"

	"c10m/channel"
)

// Presence (Config.NewPresence): once a second each loop publishes to presence:news
// how many of its connections came to the channel news, and how many left it. Only
// sums are told, so a million who come at once are one message for each loop; who
// wants to know how many there are asks once (NUMSUB, /-/channels/news) and adds.

// tellPresence publishes what has changed and returns when to call it again.
func (s *Server) tellPresence() (next int64) {
	if s.presence == nil {
		return math.MaxInt64
	}
	now := s.loop.Now()
	if now < s.presenceNext {
		return s.presenceNext
	}
	more := s.registry.Changes(presencePerTickMax, func(name string, joined, left int) (taken bool) {
		if s.presence.Full() {
			return false
		}
		var room [64]byte
		payload := strconv.AppendInt(append(room[:0], `{"joined":`...), int64(joined), 10)
		payload = strconv.AppendInt(append(payload, `,"left":`...), int64(left), 10)
		return s.presence.Publish(0, []byte(channel.PresencePrefix+name), append(payload, '}'))
	})
	s.presenceNext = now + int64(walkTickMin)
	if !more {
		s.presenceNext = onBeat(now, int64(time.Second), s.loop.ID())
	}
	return s.presenceNext
}

// presenceFeedback hears what became of events: one that the bus did not take is
// counted, and nobody is closed for it.
type presenceFeedback struct{ stats *Stats }

func (presenceFeedback) Room()                       {}
func (presenceFeedback) Published([]channel.Outcome) {}

func (f presenceFeedback) PublishFailed(failed []channel.Outcome) {
	f.stats.PresenceFailed.Add(uint64(len(failed)))
}
