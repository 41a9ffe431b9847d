package channel

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"c10m/poller"
)

func TestSweepTakesTurnsInSlices(t *testing.T) {
	h := newHost(t, roomy, 1001)
	h.subscribe("one", span(1, 500)...)
	h.subscribe("two", span(501, 1000)...)
	h.subscribe("small", 1001)
	h.recordOrder = true
	h.publish("one", []byte("1"))
	h.publish("two", []byte("2"))

	h.turn()
	h.turn()
	if len(h.order) != 2*sliceWritesMax {
		t.Fatalf("two slices made %d writes", len(h.order))
	}
	for i, fd := range h.order {
		if (fd <= 500) != (i < sliceWritesMax) {
			t.Fatalf("write %d went to %d: the channels do not take turns", i, fd)
		}
	}
	// In the middle of both sweeps: the small channel is served first.
	h.publish("small", []byte("3"))
	h.order = nil
	h.turn()
	if len(h.order) != 1+sliceWritesMax || h.order[0] != 1001 {
		t.Fatalf("the small channel was not overtaking: %v", h.order[:3])
	}
	h.settle()
	for fd := uint32(1); fd <= 1000; fd++ {
		h.wantStream(fd, map[bool]string{true: "1", false: "2"}[fd <= 500])
	}
	h.wantStream(1001, "3")
	if h.sends != 1001 {
		t.Errorf("%d writes for 1,001 deliveries", h.sends)
	}
	h.check()
}

func TestSmallChannelsDoNotStarveTheLarge(t *testing.T) {
	h := newHost(t, roomy, 1100)
	h.subscribe("large", span(1, 100)...)
	for fd := uint32(101); fd <= 1100; fd++ {
		name := fmt.Sprint("small", fd)
		h.subscribe(name, fd)
		h.publish(name, []byte("s"))
	}
	h.publish("large", []byte("l"))
	h.turn()
	if small := h.sends - sliceWritesMax; small <= 0 || small > smallWritesPerTurnMax {
		t.Errorf("a turn made %d writes, %d of them for small channels", h.sends, small)
	}
	h.settle()
	if h.sends != 1100 {
		t.Errorf("%d writes, want 1,100", h.sends)
	}
}

func TestJoinAndLeaveDuringASweep(t *testing.T) {
	h := newHost(t, roomy, 300)
	h.subscribe("c", span(1, 200)...)
	h.publish("c", []byte("old."))
	h.turn()
	g := h.log("c")
	// The list runs from the newest to the oldest member: the cursor stands at
	// the 65th. It leaves, and so do its neighbours and one that was served.
	if g.cursor != 200-sliceWritesMax {
		t.Fatalf("the cursor is at %d", g.cursor)
	}
	for _, fd := range []uint32{g.cursor, g.cursor - 1, g.cursor + 1, 200, 1} {
		h.registry.Unsubscribe(fd)
		h.check()
	}
	h.subscribe("c", span(201, 300)...)
	h.turn()
	h.publish("c", []byte("new."))
	h.settle()
	gone := []uint32{136, 135, 137, 200, 1}
	for fd := uint32(1); fd <= 300; fd++ {
		switch {
		case fd == 137 || fd == 200:
			h.wantStream(fd, "old.")
		case slices.Contains(gone, fd):
			h.wantStream(fd, "")
		case fd > 200:
			h.wantStream(fd, "new.")
		default:
			h.wantStream(fd, "old.new.")
		}
	}
	h.check()
}

// The cursor's member leaves as the last of the list: the sweep goes on at the
// start, and nobody is passed over.
func TestCursorLeavesAtTheEnd(t *testing.T) {
	h := newHost(t, roomy, sliceWritesMax+1)
	h.subscribe("c", span(1, sliceWritesMax+1)...)
	h.publish("c", []byte("a"))
	h.turn()
	if cursor := h.log("c").cursor; cursor != 1 {
		t.Fatalf("the cursor is at %d", cursor)
	}
	h.publish("c", []byte("b"))
	h.registry.Unsubscribe(1)
	h.check()
	h.settle()
	for fd := uint32(2); fd <= sliceWritesMax+1; fd++ {
		h.wantStream(fd, "ab")
	}
}

func TestMessagesDuringASweep(t *testing.T) {
	h := newHost(t, roomy, 300)
	h.subscribe("c", span(1, 300)...)
	want := ""
	for i := range 9 {
		text := fmt.Sprint(i, ";")
		want += text
		h.publish("c", []byte(text))
		h.turn()
		h.check()
	}
	h.settle()
	for fd := range uint32(300) {
		h.wantStream(fd+1, want)
	}
	// Who was visited late got several frames in one call.
	if writes, most := h.sends+h.sendvs, 9*300/2; writes > most || h.sendvs == 0 {
		t.Errorf("%d sends and %d batches for 2,700 deliveries", h.sends, h.sendvs)
	}
	if n := h.stats.Deliveries.Load(); n != 2700 {
		t.Errorf("%d deliveries counted", n)
	}
	if n := h.stats.Batches.Load(); n != uint64(h.sendvs) {
		t.Errorf("%d batches counted, %d made", n, h.sendvs)
	}
	if n := h.stats.Bytes.Load(); n != uint64(300*len(want)) {
		t.Errorf("%d bytes counted", n)
	}
}

func TestLateVisitIsOneBatch(t *testing.T) {
	h := newHost(t, roomy, 1)
	h.subscribe("c", 1)
	for range framesPerWriteMax {
		h.publish("c", []byte("f"))
	}
	h.turn()
	if h.sendvs != 1 || h.sends != 0 {
		t.Errorf("%d frames took %d batches and %d sends", framesPerWriteMax, h.sendvs, h.sends)
	}
	h.wantStream(1, strings.Repeat("f", framesPerWriteMax))
}

// Beyond bytesPerWriteMax a batch ends: the host counts.
func TestBatchIsBoundedInBytes(t *testing.T) {
	h := newHost(t, roomy, 1)
	h.subscribe("c", 1)
	for range 40 {
		h.publish("c", make([]byte, 10_000))
	}
	h.settle()
	if h.sendvs != 2 || len(h.peers[1].stream) != 400_000 {
		t.Errorf("%d batches for %d bytes", h.sendvs, len(h.peers[1].stream))
	}
}

// A member with a long backlog costs a slice one write per visit, whether the
// sweep or EPOLLOUT brings it on.
func TestLongBacklogHoldsNoSlice(t *testing.T) {
	h := newHost(t, roomy, 40)
	h.subscribe("c", span(1, 40)...)
	h.peers[1].room = 0
	const frames = 100 * framesPerWriteMax
	want := strings.Repeat("f", frames)
	for range frames {
		h.publish("c", []byte("f"))
	}
	before := h.sendvs
	h.turn()
	if n := h.sendvs - before; n != sliceWritesMax {
		t.Errorf("a slice made %d writes", n)
	}
	h.settle()
	h.peers[1].room = plenty
	before = h.sendvs
	h.turn()
	if n := h.sendvs - before; n != 1 || !h.peers[1].armed {
		t.Errorf("one event made %d writes, armed %v", n, h.peers[1].armed)
	}
	h.settle()
	for fd := range uint32(40) {
		h.wantStream(fd+1, want)
	}
	if h.peers[1].armed {
		t.Error("EPOLLOUT is armed, and nothing is owed")
	}
	h.check()
}

func TestBlockedAreArmedAloneAndDisarmed(t *testing.T) {
	h := newHost(t, roomy, 200)
	h.subscribe("c", span(1, 200)...)
	for _, fd := range []uint32{7, 77, 150} {
		h.peers[fd].room = 3
	}
	h.publish("c", []byte("hello"))
	h.settle()
	if h.arms != 3 || h.stats.Blocked.Load() != 3 || !h.registry.Blocked(7) || h.registry.Blocked(8) {
		t.Fatalf("%d armed, %d blocked", h.arms, h.stats.Blocked.Load())
	}
	// No sweep visits them again: the next message costs 197 writes.
	before := h.sends
	h.publish("c", []byte("!"))
	h.settle()
	if n := h.sends - before; n != 197 {
		t.Errorf("%d writes for 197 that can be written to", n)
	}
	for _, fd := range []uint32{7, 77, 150} {
		h.wantStream(fd, "hel")
		h.peers[fd].room = plenty
	}
	h.settle()
	for _, fd := range []uint32{7, 77, 150} {
		h.wantStream(fd, "lo!")
		if h.peers[fd].armed || h.registry.Blocked(fd) {
			t.Errorf("connection %d is armed %v", fd, h.peers[fd].armed)
		}
	}
	if h.log("c") != nil || h.stats.Blocked.Load() != 0 {
		t.Error("nobody is owed anything, and there is a log")
	}
	h.check()
}

// The socket cuts a frame at every byte; messages, the owner's own frames and
// newcomers come in between.
func TestPartialTailIsFinishedFirst(t *testing.T) {
	const frame = "0123456789"
	for cut := range len(frame) {
		h := newHost(t, roomy, 2)
		h.subscribe("c", 1)
		h.peers[1].script = []int{cut}
		h.peers[1].room = cut
		h.publish("c", []byte(frame))
		h.turn()
		h.subscribe("c", 2)
		if h.registry.MidFrame(1) != (cut > 0) || !h.registry.Blocked(1) {
			t.Fatalf("cut at %d: in a frame %v, blocked %v", cut, h.registry.MidFrame(1), h.registry.Blocked(1))
		}
		h.publish("c", []byte("next"))
		h.publish("c", []byte("last"))
		h.turn()
		h.check()
		// One byte at a time, so that every later place is cut, too.
		for range 2 * len(frame) {
			h.peers[1].room++
			h.turn()
			h.check()
		}
		h.wantStream(1, frame+"nextlast")
		h.wantStream(2, "nextlast")
		if n := h.stats.Deliveries.Load(); n != 5 {
			t.Errorf("cut at %d: %d deliveries counted", cut, n)
		}
	}
}

func TestAFullSocketEndsNothing(t *testing.T) {
	h := newHost(t, roomy, 1)
	h.subscribe("c", 1)
	h.peers[1].script = []int{2, -int(poller.Full), 3, -int(poller.Full)}
	h.publish("c", []byte("abcdefg"))
	h.publish("c", []byte("hij"))
	h.settle()
	h.wantStream(1, "abcdefghij")
	if len(h.failures) != 0 {
		t.Error("a full socket ended a connection")
	}
}

func TestFailedIsToldOnce(t *testing.T) {
	for _, broken := range []poller.Status{poller.Gone, poller.TimedOut, poller.Broken} {
		h := newHost(t, roomy, 3)
		h.subscribe("c", 1, 2, 3)
		h.peers[2].script = []int{2, -int(broken)}
		h.publish("c", []byte("abc"))
		h.registry.Work() // 2 bytes, then blocked
		h.writable(2)     // fails
		if h.failures[2] != broken || !h.registry.Blocked(2) {
			t.Fatalf("failures %v", h.failures)
		}
		// Before the reaper comes, nothing more is tried: the host would panic.
		h.registry.Writable(2)
		h.publish("c", []byte("def"))
		h.registry.Work()
		h.settle()
		if len(h.failures) != 1 || h.closed != 1 {
			t.Errorf("failures %v, %d closed", h.failures, h.closed)
		}
		h.wantStream(1, "abcdef")
		h.wantStream(2, "ab")
		h.check()
		if h.log("c") != nil {
			t.Error("a dead member keeps a log")
		}
	}
}

// A member that fails at the sweep's visit is dead in the same turn.
func TestFailedInASweep(t *testing.T) {
	h := newHost(t, roomy, 3)
	h.subscribe("c", 1, 2, 3)
	h.peers[2].broken = poller.Gone
	h.publish("c", []byte("abc"))
	h.registry.Work()
	h.publish("c", []byte("def"))
	h.registry.Work()
	h.check()
	if h.peers[2].armed {
		t.Error("EPOLLOUT is armed for a dead member")
	}
	h.settle()
	h.wantStream(3, "abcdef")
	h.check()
}

func TestHoldInAFrame(t *testing.T) {
	const frame = "0123456789"
	for cut := 1; cut < len(frame); cut++ {
		h := newHost(t, roomy, 2)
		h.subscribe("c", 1, 2)
		h.peers[1].room = cut
		h.publish("c", []byte(frame))
		h.publish("c", []byte("next"))
		h.turn()
		rest := string(h.registry.Hold(1))
		if rest != frame[cut:] || h.registry.MidFrame(1) {
			t.Fatalf("cut at %d: the rest is %q", cut, rest)
		}
		if n := h.stats.Deliveries.Load(); n != 3 {
			t.Errorf("cut at %d: %d deliveries counted", cut, n)
		}
		if again := h.registry.Hold(1); again != nil {
			t.Fatalf("a second Hold returned %q", again)
		}
		h.check()
		// Held: neither a sweep nor EPOLLOUT gives it anything.
		h.peers[1].room = plenty
		h.publish("c", []byte("last"))
		h.registry.Work()
		h.registry.Writable(1)
		h.registry.Work()
		h.wantStream(1, frame[:cut])
		h.check()
		h.Send(1, poller.Words([]byte(rest+"[pong]")))
		h.registry.Release(1)
		h.settle()
		h.wantStream(1, frame[cut:]+"[pong]nextlast")
		h.wantStream(2, frame+"nextlast")
		h.check()
	}
}

// Held between two frames, it is at the head: the sweep blocks it at the next
// message, and Release brings it on at once.
func TestHoldBetweenFrames(t *testing.T) {
	h := newHost(t, roomy, 2)
	h.subscribe("c", 1, 2)
	if rest := h.registry.Hold(1); rest != nil {
		t.Fatalf("nothing is owed, and the rest is %q", rest)
	}
	h.publish("c", []byte("a"))
	h.turn()
	h.wantStream(1, "")
	h.wantStream(2, "a")
	h.check()
	h.registry.Release(1)
	h.wantStream(1, "a")
	h.check()
	if h.peers[1].armed || h.log("c") != nil {
		t.Errorf("armed %v", h.peers[1].armed)
	}
}

// A hold belongs to the connection and not to its membership.
func TestHoldOutlastsSubscriptions(t *testing.T) {
	h := newHost(t, roomy, 1)
	h.registry.Hold(1) // no member yet
	h.subscribe("c", 1)
	h.publish("c", []byte("a"))
	h.settle()
	h.registry.Unsubscribe(1)
	h.subscribe("d", 1)
	h.publish("d", []byte("b"))
	h.settle()
	h.wantStream(1, "")
	h.registry.Release(1)
	h.wantStream(1, "b")
	h.check()
}

func TestManyLogsComeAndGo(t *testing.T) {
	h := newHost(t, roomy, 3000)
	for fd := uint32(1); fd <= 3000; fd++ {
		h.subscribe(fmt.Sprint("c", fd), fd)
	}
	for round := range 3 {
		for fd := uint32(1); fd <= 3000; fd++ {
			h.publish(fmt.Sprint("c", fd), []byte{byte('a' + round)})
		}
		h.check()
		h.settle()
		h.check()
	}
	if n := len(h.registry.spares); n == 0 || n > spareLogsMax {
		t.Errorf("%d spare logs", n)
	}
	h.wantStream(3000, "abc")
}

// Who leaves with its message still queued leaves an empty log in the queue,
// and the channel may be made anew before its turn comes.
func TestLogIsReleasedWhileQueued(t *testing.T) {
	h := newHost(t, roomy, 2)
	for range 5 {
		h.subscribe("c", 1)
		h.publish("c", []byte("x"))
		h.registry.Unsubscribe(1)
		h.check()
	}
	h.subscribe("c", 2)
	h.publish("c", []byte("y"))
	h.check()
	h.settle()
	h.check()
	h.wantStream(1, "")
	h.wantStream(2, "y")
	if n := len(h.registry.spares); n != 6 {
		t.Errorf("%d spare logs, want 6", n)
	}
}

// A queue that hovers at its capacity copies half of itself at most once per
// half: at a million logs, a copy per push would be seconds per round.
func TestQueueIsNotCopiedAtEachPush(t *testing.T) {
	var q queue
	logs := make([]log, 1<<14)
	for i := range logs {
		q.push(&logs[i])
		if i >= 1024 && len(q.logs) == cap(q.logs) {
			logs = logs[:i+1] // the memory is full to the last place
			break
		}
	}
	moved := 0
	for i := range 100_000 {
		g := q.pop()
		if g != &logs[i%len(logs)] {
			t.Fatalf("pop %d is out of order", i)
		}
		first, base := q.first, &q.logs[0]
		q.push(g)
		if q.first != first || &q.logs[0] != base {
			moved += q.len()
		}
	}
	if moved > 2*100_000+len(logs) {
		t.Errorf("100,000 pushes copied %d entries", moved)
	}
}
