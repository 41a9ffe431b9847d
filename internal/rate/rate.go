// Package rate bounds how often something happens, by the generic cell rate algorithm
// (ITU-T I.371): a token bucket that needs no refilling. All that is kept is one time, that
// at which what is bounded is at rest again, so it fits a map without pointers or an atomic.
package rate

import "time"

// A Limit is a rate and its burst. The zero value limits nothing.
type Limit struct {
	Interval int64 // nanoseconds between two events in the long run
	Slack    int64 // nanoseconds for which events may be ahead of the rate: the burst
}

// New makes the limit of so many events per second, and of burst at once after a pause, 1
// at least. No more than one event per nanosecond is counted; 0 per second is no limit.
func New(perSecond float64, burst int) Limit {
	if perSecond <= 0 {
		return Limit{}
	}
	interval := max(1, int64(float64(time.Second)/perSecond))
	return Limit{Interval: interval, Slack: interval * int64(max(1, burst)-1)}
}

// Reserve returns from when on n events may happen, which is now or earlier if they may
// happen at once, and when the rate is at rest after them. rest is when it was to be at
// rest; any time that is over means that it is.
func (l Limit) Reserve(rest, now int64, n int) (from, after int64) {
	rest = max(rest, now)
	return rest - l.Slack, rest + int64(n)*l.Interval
}
