package faults

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gobwas/ws"
)

// What the clients of a told world note, what the end of a WebSocket tells them, and how
// all of it is judged.

// A note is what a client noted of a channel.
type note struct {
	kind   noteKind
	number int
}

type noteKind uint8

const (
	noteMessage noteKind = iota // this number came
	noteGap                     // it was told that what came before may not be all
	noteFrom                    // all that is published after this number comes from here on
	noteWhole                   // all that was published up to this number came, or is told of next
)

// A cause is what may end a client's connection while a fault is played.
type cause uint8

const (
	byGap   cause = 1 << iota // messages were lost at the bus
	byDrain                   // its server was told to end
	byCut                     // its server was killed
)

// An ending is what a client without a position knows by the end of its WebSocket.
type ending uint8

const (
	// endsSilent: nothing was missed and nothing will be, so no reader is closed so.
	endsSilent ending = iota
	// endsWhole: all that was published before the end came. What is published from the
	// end to the next connection does not.
	endsWhole
	// endsInDoubt: what was published before the end may not have come, either.
	endsInDoubt
)

// noCloseCode is the end of a connection without a close frame (RFC 6455, 7.1.5: 1006).
const noCloseCode ws.StatusCode = 0

// closeCodes says what each close code tells a reader, and by what a reader of these worlds
// may be closed so. A code that is not here tells nothing.
var closeCodes = map[ws.StatusCode]struct {
	says ending
	by   cause // 0: nothing
	why  string
}{
	noCloseCode:    {endsInDoubt, byCut, "nobody said goodbye: what was under way is lost with the connection"},
	1000:           {endsSilent, 0, "a normal end is the client's to begin; the server only repeats it"},
	1001:           {endsSilent, 0, "a page that is left; the server never says it"},
	1002:           {endsSilent, 0, "the client broke the protocol, and these clients do not"},
	1003:           {endsSilent, 0, "the client said something where it may not, and readers say nothing"},
	1007:           {endsSilent, 0, "the client's text was not UTF-8, and readers say nothing"},
	1008:           {endsWhole, 0, "the token ended, and there are none"},
	1009:           {endsSilent, 0, "the client's message was too long, and readers say nothing"},
	1012:           {endsWhole, byDrain, "the server restarts: a client that had its next connection by then missed nothing at all, another one what comes between"},
	1013:           {endsSilent, 0, "a message of the client's may be lost, or its server has no room for half a frame, and readers say nothing"},
	missedMessages: {endsInDoubt, byGap, "messages may have been missed while the client was connected"},
	4002:           {endsWhole, 0, "the operator wants it gone, and there is none"},
}

// allow says by what connections may end from now on.
func (w *toldWorld) allow(by cause) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.causes = w.causes&byGap | by
}

// ended judges the end of a WebSocket, and returns what its client knows by it.
func (w *toldWorld) ended(way string, code ws.StatusCode) ending {
	w.mu.Lock()
	defer w.mu.Unlock()
	row, isKnown := closeCodes[code]
	if !isKnown || row.by&w.causes == 0 {
		w.complain("%s: closed with %d, and nothing that is played ends a reader so (%s)", way, code, row.why)
	}
	return row.says
}

// end notes the end of a client without a position.
func (e *toldEar) end(code ws.StatusCode) {
	says := e.world.ended(e.way+"/"+e.channel, code)
	if says == endsWhole {
		e.world.mu.Lock()
		whole := e.world.whole[e.channel]
		e.world.mu.Unlock()
		e.note(noteWhole, whole)
	}
	if says != endsSilent {
		e.note(noteGap, 0)
	}
}

func (w *toldWorld) complain(format string, a ...any) {
	w.complaints = append(w.complaints, fmt.Sprintf(format, a...))
}

func toldKey(channel string, number int) string { return fmt.Sprint(channel, " ", number) }

// judge looks at what everybody noted. mu is held.
func (w *toldWorld) judge() (lost, gaps int) {
	for _, channel := range w.channels {
		for i, f := range w.fates[channel] {
			key := toldKey(channel, i+1)
			if f == published && i < w.judged[channel] && !w.seen[key] && !w.blurred[key] {
				w.complain("%s: the publisher was told that %d was published, and it was not", channel, i+1)
			}
			if f == unpublished && w.seen[key] {
				w.complain("%s: the publisher was told that %d was not published, and it was", channel, i+1)
			}
		}
	}
	for _, e := range w.ears {
		l, g := w.judgeEar(e)
		lost, gaps = lost+l, gaps+g
		w.judgeTransactions(e)
	}
	w.judgeReach()
	return lost, gaps
}

// judgeReach compares the numbers that publishers were told with who got their messages
// from the loops, and not later from a history.
func (w *toldWorld) judgeReach() {
	got := make(map[string]int)
	for _, e := range w.ears {
		for _, n := range e.notes {
			if e.isMember && n.kind == noteMessage {
				got[toldKey(e.channel, n.number)]++
			}
		}
	}
	for key, reached := range w.reached {
		if got[key] > reached {
			w.complain("the publisher of %s was told that it goes to %d connections, and it came to %d", key, reached, got[key])
		}
	}
}

// judgeEar wants each message once and in order, or a gap before the next.
func (w *toldWorld) judgeEar(e *toldEar) (lost, gaps int) {
	const inDoubt = -1
	last, highest := inDoubt, 0 // the number up to which nothing is missing, and the highest that came
	came := make(map[int]bool)
	hole := func(at, before int, what string) {
		for n := last + 1; last != inDoubt && n < before; n++ {
			key := toldKey(e.channel, n)
			if came[n] || w.fates[e.channel][n-1] != published || w.blurred[key] && !w.seen[key] {
				continue
			}
			lost++
			if w.silent[key] && slices.ContainsFunc(e.notes[at:], func(n note) bool { return n.kind == noteGap }) {
				continue // told as soon as it could be known
			}
			w.complain("%s: %s of %s came after %d, and nothing told of %d", e.way, what, e.channel, last, n)
		}
	}
	for at, n := range e.notes {
		switch n.kind {
		case noteGap:
			gaps++
			last = inDoubt
		case noteFrom:
			if last == inDoubt {
				last = n.number
			}
		case noteWhole:
			hole(at, n.number+1, fmt.Sprintf("an end that promises all up to %d", n.number))
		case noteMessage:
			isLate := w.orphans[toldKey(e.channel, n.number)] && !came[n.number]
			if n.number < 1 || n.number > len(w.fates[e.channel]) || n.number <= highest && !isLate {
				w.complain("%s: %d of %s came after %d", e.way, n.number, e.channel, highest)
				return lost, gaps
			}
			if w.fates[e.channel][n.number-1] == unpublished {
				w.complain("%s: %d of %s came, of which the publisher was told that it was not published", e.way, n.number, e.channel)
			}
			came[n.number] = true
			if n.number <= highest {
				continue
			}
			hole(at, n.number, fmt.Sprint(n.number))
			last, highest = n.number, n.number
		}
	}
	return lost, gaps
}

// judgeTransactions wants all of a transaction or nothing, also of one whose publisher was
// cut off before it had the answer. What lacks at a gap may be in it, and the world may
// end in the middle of one.
func (w *toldWorld) judgeTransactions(e *toldEar) {
	last := make(map[[2]int]int) // number that came of those that are not complete
	for _, n := range e.notes {
		t, isOne := w.transactions[toldKey(e.channel, n.number)]
		switch {
		case n.kind == noteGap:
			clear(last)
		case n.kind != noteMessage || !isOne:
		default:
			before, isBegun := last[t]
			if isBegun && n.number != before+1 {
				w.complain("%s: of %d to %d, one transaction, %d came after %d", e.way, t[0], t[1], n.number, before)
			}
			if last[t] = n.number; n.number == t[1] {
				delete(last, t)
			}
		}
	}
	for t, n := range last {
		if e.notes[len(e.notes)-1] == (note{noteMessage, n}) {
			continue
		}
		w.complain("%s: of %d to %d, one transaction, nothing came after %d", e.way, t[0], t[1], n)
	}
}

// The judge itself: what it lets pass and what not.
func TestToldJudge(t *testing.T) {
	const channel = "c"
	message := func(n int) note { return note{noteMessage, n} }
	gap := note{noteGap, 0}
	for _, c := range []struct {
		name  string
		notes []note
		is    bool // complained of
	}{
		{"all", []note{{noteFrom, 0}, message(1), message(2), message(3), message(5)}, false},
		{"twice", []note{message(1), message(1)}, true},
		{"out of order", []note{message(2), message(1)}, true},
		{"lost", []note{message(1), message(3)}, true},
		{"told", []note{message(1), gap, message(3)}, false},
		{"told after the next message", []note{message(1), message(3), gap}, true},
		{"twice over a gap", []note{message(1), gap, message(1)}, true},
		{"after the 101", []note{message(1), gap, {noteFrom, 1}, message(3)}, true},
		{"before the 101", []note{message(1), gap, {noteFrom, 2}, message(3)}, false},
		{"before an end that promises it", []note{{noteFrom, 0}, message(1), {noteWhole, 2}, gap, message(3)}, true},
		{"after an end that promises nothing of it", []note{{noteFrom, 0}, message(1), {noteWhole, 1}, gap, message(3)}, false},
		{"unpublished", []note{message(3), message(4), message(5)}, true},
		{"nobody knows", []note{message(5), message(7)}, false},
		{"nobody knows, and it comes late", []note{message(5), message(7), message(6)}, false},
		{"late and twice", []note{message(5), message(7), message(6), message(6)}, true},
		{"more than was told", []note{message(8)}, true},
		{"a part of a transaction", []note{{noteFrom, 8}, message(9), message(11)}, true},
		{"the begin of a transaction", []note{{noteFrom, 8}, message(9), message(10), message(12)}, true},
		{"the begin of a transaction, and the end of the world", []note{{noteFrom, 8}, message(9), message(10)}, false},
		{"the begin of a transaction, and a gap", []note{{noteFrom, 8}, message(9), message(10), gap, message(12)}, false},
		{"a transaction", []note{{noteFrom, 8}, message(9), message(10), message(11), message(12)}, false},
	} {
		w := newToldWorld(t, channel)
		w.fates[channel] = []fate{published, published, published, unpublished, published, unknown, published, published, unknown, unknown, unknown, published}
		w.orphans[toldKey(channel, 6)] = true
		w.reached[toldKey(channel, 8)] = 0
		for n := 9; n <= 11; n++ {
			w.transactions[toldKey(channel, n)] = [2]int{9, 11}
		}
		w.ears = []*toldEar{{world: w, way: "this", channel: channel, isMember: true, notes: c.notes}}
		w.judge()
		if is := len(w.complaints) > 0; is != c.is {
			t.Errorf("%s: %v", c.name, w.complaints)
		}
	}
}

// What each close code tells a reader, and when it may be said.
func TestToldEnds(t *testing.T) {
	for _, c := range []struct {
		code ws.StatusCode
		by   cause
		want []noteKind
		is   bool // complained of
	}{
		{missedMessages, byGap, []noteKind{noteGap}, false},
		{missedMessages, byDrain, []noteKind{noteGap}, true},
		{noCloseCode, byCut, []noteKind{noteGap}, false},
		{noCloseCode, byGap | byDrain, []noteKind{noteGap}, true},
		{1012, byDrain, []noteKind{noteWhole, noteGap}, false},
		{1012, byGap | byCut, []noteKind{noteWhole, noteGap}, true},
		{1000, byGap | byDrain | byCut, nil, true},
		{1001, byGap | byDrain | byCut, nil, true},
		{1013, byGap | byDrain | byCut, nil, true},
		{4003, byGap | byDrain | byCut, nil, true},
	} {
		w := newToldWorld(t, "c")
		w.causes = c.by
		e := w.ear("this", "c")
		e.end(c.code)
		var got []noteKind
		for _, n := range e.notes {
			got = append(got, n.kind)
		}
		if is := len(w.complaints) > 0; is != c.is || !slices.Equal(got, c.want) {
			t.Errorf("%d by %b: notes %v, %v", c.code, c.by, got, w.complaints)
		}
	}
}
