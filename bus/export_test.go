package bus

import "time"

// What the tests see of the inside. They are a package of their own, since the drivers
// that they run on import this one.

const (
	UplinkMessagesMax     = uplinkMessagesMax
	UplinkHardFactor      = uplinkHardFactor
	PublicationBytesExtra = publicationBytesExtra
	RepeatsAge            = repeatsAge
	ShortcutBacklogMax    = shortcutBacklogMax
)

// UnderWay is how much of a queue is not published.
func (q *UplinkQueue) UnderWay() (messages, bytes int64) { return q.count.Load(), q.bytes.Load() }

// SetClock is for before the first message.
func (r *Repeats) SetClock(now func() time.Duration) { r.now = now }
