// Package fifo is a queue in an array that is reused: who is first leaves, and the room
// that it leaves at the front is taken back before the array grows.
package fifo

// keptMax is how many entries an empty queue has room for: one that was long once gives
// its memory back.
const keptMax = 64

// A Queue hands out what was pushed in its order. The zero value is empty. It allocates
// while it grows, and nothing at a length that it has had.
type Queue[T any] struct {
	entries []T
	first   int
}

// Len is how many are in it.
func (q *Queue[T]) Len() int { return len(q.entries) - q.first }

// Push puts v behind all others.
func (q *Queue[T]) Push(v T) {
	// Only when half of it is free, or a queue that stays nearly full would
	// be moved again and again.
	if len(q.entries) == cap(q.entries) && q.first > len(q.entries)/2 {
		q.trim()
	}
	q.entries = append(q.entries, v)
}

func (q *Queue[T]) trim() {
	n := copy(q.entries, q.entries[q.first:])
	clear(q.entries[n:])
	q.entries, q.first = q.entries[:n], 0
}

// Front is the first of a queue that is not empty, until the next call.
func (q *Queue[T]) Front() *T { return &q.entries[q.first] }

// Pop takes the first out of a queue that is not empty.
func (q *Queue[T]) Pop() T {
	var none T
	v := q.entries[q.first]
	q.entries[q.first] = none // it holds nothing alive
	q.first++
	if q.first == len(q.entries) {
		q.empty()
	}
	return v
}

func (q *Queue[T]) empty() {
	q.entries, q.first = q.entries[:0], 0
	if cap(q.entries) > keptMax {
		q.entries = nil
	}
}

// Keep drops all for which isKept is false. The others keep their order.
func (q *Queue[T]) Keep(isKept func(T) bool) {
	kept := q.entries[:0]
	for _, v := range q.entries[q.first:] {
		if isKept(v) {
			kept = append(kept, v)
		}
	}
	clear(q.entries[len(kept):])
	if q.entries, q.first = kept, 0; len(kept) == 0 {
		q.empty()
	}
}
