package channel

import (
	"bytes"
	"strconv"
	"sync"

	"c10m/poller"
)

// How a member comes to what was published while it was away. The loop makes it a
// member and holds it, so that nothing is written, and asks. The answer is made
// under the lock of the channel and posted before the lock is released, so
// in the loop's mailbox it stands between the messages that are in it and those
// that are not: the loop has the member pass over its log so far (CatchUp), writes
// the answer's messages, and releases it. Nobody gets a message twice or misses
// one, whatever is published meanwhile.

// SinceFirst as a position asks for all that is kept, from the latest interruption
// on: what lies before and behind one does not belong together.
const SinceFirst = "first"

// A Question is where a member's position stands.
type Question struct {
	// Door is the loop that asks, and ID what its Answer carries back.
	Door Poster
	ID   uint64
	// Name is the channel. Since is the position as the client gave it: an id, or
	// SinceFirst; empty asks only where the channel stands. Both are kept.
	Name, Since []byte
	// Max bounds the messages of the answer, the oldest of those that are lacking,
	// for a member that then asks again; 0 is all.
	Max int
}

// An Answer is a letter to the loop that asked.
type Answer struct {
	ID uint64
	// Messages are what the member lacks, in order.
	Messages []*Message
	// Gone tells that it lacks, or may lack, more: its position is older than what
	// is kept, or of another server or life.
	Gone bool

	hub          *Hub
	from, number uint64
}

// AppendPosition appends the position after the answer's messages, and AppendStart
// the one before them.
func (a *Answer) AppendPosition(to []byte) []byte { return a.hub.appendPosition(to, a.number) }
func (a *Answer) AppendStart(to []byte) []byte    { return a.hub.appendPosition(to, a.from) }

// questions are those that wait for their answer. They are at most as many as there
// are memberships, since each has one question under way.
type questions struct {
	mu sync.Mutex // held for an append or a swap only, as loops take it
	// Guarded by mu.
	list      []Question
	hub       *Hub // nil until there is one
	answering bool // a goroutine is at it
}

// Ask leaves a question; its answer comes as a letter. Loops may call it, and any
// goroutine: it never blocks. What is asked before there is a hub waits for it.
func (h *History) Ask(q Question) {
	a := &h.asking
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, q)
	h.beginAnswering()
}

// open gives questions a hub to be answered by.
func (h *History) open(hub *Hub) {
	a := &h.asking
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hub != nil {
		panic("BUG: a history of two hubs")
	}
	a.hub, h.stats = hub, &hub.stats
	h.beginAnswering()
}

// beginAnswering starts to answer if there is something to do and nobody at it,
// until all is answered.
func (h *History) beginAnswering() {
	if a := &h.asking; a.hub != nil && !a.answering && len(a.list) > 0 {
		a.answering = true
		h.config.Start(h.answerAll)
	}
}

func (h *History) answerAll() {
	a := &h.asking
	for {
		a.mu.Lock()
		list := a.list
		a.list = nil
		a.answering = len(list) > 0
		a.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for i := range list {
			a.hub.answer(h, &list[i])
		}
	}
}

// answer posts the answer to a question, in its place between the channel's
// messages.
func (h *Hub) answer(history *History, q *Question) {
	hash := hashName(q.Name)
	h.cut.RLock()
	defer h.cut.RUnlock()
	defer h.order.lock(hash).Unlock()
	// Other channels count, too, at this moment: all numbers of this one are at
	// most the one that is read here.
	answer := &Answer{ID: q.ID, hub: h, number: h.number.Load()}
	answer.from = answer.number
	switch number, ours := h.parsePosition(q.Since); {
	case len(q.Since) == 0:
	case string(q.Since) == SinceFirst:
		answer.Messages, _ = history.since(q.Name, hash, h.unbroken.Load(), q.Max, h.config.Now())
		if len(answer.Messages) > 0 {
			answer.from = answer.Messages[0].number - 1
		}
	case !ours || number > answer.number || number < h.unbroken.Load():
		answer.Gone = true
	case history.config.Messages == 0:
		answer.Gone = number < answer.number
	default:
		var isWhole bool
		answer.Messages, isWhole = history.since(q.Name, hash, number, q.Max, h.config.Now())
		if !isWhole {
			// Never a part: it would look like the whole.
			answer.Gone, answer.Messages = true, nil
		} else {
			answer.from = number
		}
	}
	if answer.Gone {
		h.stats.PositionsGone.Add(1)
	} else if len(q.Since) > 0 {
		h.stats.Resumed.Add(1)
	}
	// The messages themselves are the history's.
	h.insist(q.Door, &poller.Letter{Body: answer, Bytes: answerBytesExtra + 8*len(answer.Messages)})
}

// parsePosition reads an id; ours is false if it is none, or of another life.
func (h *Hub) parsePosition(id []byte) (number uint64, ours bool) {
	life, digits, _ := bytes.Cut(id, []byte("-"))
	number, err := strconv.ParseUint(string(digits), 10, 64)
	return number, err == nil && string(life) == h.life
}

// CatchUp has a held member pass over all that is in its log: it has that, or
// will, from an Answer. It must not stand in the middle of a frame.
func (r *Registry) CatchUp(fd uint32) {
	m := r.member(fd)
	if m.flags&memberHeld == 0 || m.off != 0 {
		panic("BUG: a member catches up that is not held, or in the middle of a frame")
	}
	g := r.logOf(r.cells.at(m.channel))
	if g == nil || m.seq == g.head() {
		return
	}
	g.move(m, g.head())
	if m.flags&memberBlocked != 0 {
		r.unblock(g, fd, m)
	}
	r.trim(g)
}
