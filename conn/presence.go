package conn

import (
	"math"
	"strconv"
	"time"

	"c10m/channel"
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
		payload := strconv.AppendInt(append(room[:0], `{"joined":`...), int64(joined), 10)
		payload = strconv.AppendInt(append(payload, `,"left":`...), int64(left), 10)
		payload = append(appendPart(append(payload, ','), now), '}')
		return s.presence.Publish(0, []byte(channel.PresencePrefix+name), payload)
	})
	s.presenceNext = now + int64(walkTickMin)
	if !more {
		s.presenceNext = onBeat(now, int64(time.Second), s.loop.ID())
	}
	return s.presenceNext
}

// appendPart appends the fields of a part.
func appendPart(to []byte, p channel.Part) []byte {
	to = append(append(append(to, `"of":"`...), p.Of...), `","connections":`...)
	to = strconv.AppendInt(to, int64(p.Members), 10)
	return strconv.AppendUint(append(to, `,"version":`...), p.Version, 10)
}

// appendPresence appends the answer to who asks for the parts of a channel: that to
// who asks for their number, and the parts.
func appendPresence(out []byte, name string, parts []channel.Part) []byte {
	connections := 0
	for _, p := range parts {
		connections += p.Members
	}
	out = AppendPublished(out, name, connections, -1, "")
	out = append(out[:len(out)-1], `,"presence":[`...)
	for i, p := range parts {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendPart(append(out, '{'), p), '}')
	}
	return append(out, "]}"...)
}

// presenceFeedback hears what became of events: one that the bus did not take is
// counted, and nobody is closed for it.
type presenceFeedback struct{ stats *Stats }

func (presenceFeedback) Room()                       {}
func (presenceFeedback) Published([]channel.Outcome) {}

func (f presenceFeedback) PublishFailed(failed []channel.Outcome) {
	f.stats.PresenceFailed.Add(uint64(len(failed)))
}
