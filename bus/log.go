package bus

import "time"

// A LogLimit lets a line through at most every LogIntervalSecondsMin. Its owner
// keeps it to one goroutine at a time.
type LogLimit struct {
	last time.Time
	held uint64 // occurrences since the last line
}

// Allow returns how many occurrences a line now stands for, or 0 for no line.
func (l *LogLimit) Allow(now time.Time) uint64 {
	l.held++
	if !l.last.IsZero() && now.Sub(l.last) < LogIntervalSecondsMin*time.Second {
		return 0
	}
	held := l.held
	l.last, l.held = now, 0
	return held
}

// Clip bounds a text that came from elsewhere before it goes into a sentence.
func Clip(s string) string {
	if len(s) > clippedBytesMax {
		return s[:clippedBytesMax] + "..."
	}
	return s
}
