package channel

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

var tight = Config{LogBytes: 4096, LogAge: 10 * time.Second, LogBytesTotal: 1 << 20}

func kilobyte(letter byte) []byte { return bytes.Repeat([]byte{letter}, 1024) }

func (h *host) wantOverruns(want map[uint32]Cause) {
	h.tb.Helper()
	if fmt.Sprint(h.overruns) != fmt.Sprint(want) {
		h.tb.Errorf("overrun: %v, want %v", h.overruns, want)
	}
}

func TestOverrunByBytes(t *testing.T) {
	h := newHost(t, tight, 4)
	h.subscribe("c", 1, 2, 3)
	h.peers[1].room = 0    // lacks all
	h.peers[2].room = 3000 // lacks the newest two, in the middle of a frame
	for i := range 4 {
		h.publish("c", kilobyte(byte('a'+i)))
		h.settle()
	}
	h.wantOverruns(map[uint32]Cause{})
	h.publish("c", kilobyte('e'))
	h.settle()
	h.wantOverruns(map[uint32]Cause{1: OverBytes})
	if n := h.stats.Overruns[OverBytes].Load(); n != 1 || h.closed != 1 {
		t.Errorf("%d counted, %d closed", n, h.closed)
	}
	h.peers[2].room = plenty
	h.settle()
	want := ""
	for i := range 5 {
		want += string(kilobyte(byte('a' + i)))
	}
	h.wantStream(2, want)
	h.wantStream(3, want)
	h.check()
	if h.log("c") != nil || h.registry.Full() {
		t.Error("all is read, and there is a log")
	}
}

func TestSkipByBytes(t *testing.T) {
	config := tight
	config.Skip = true
	h := newHost(t, config, 3)
	h.subscribe("c", 1, 2, 3)
	h.peers[1].room = 0
	h.peers[2].room = 100 // in the middle of the first frame
	for i := range 5 {
		h.publish("c", kilobyte(byte('a'+i)))
		h.settle()
		h.check()
	}
	// 5 KiB are over 4: what is more than 3 goes.
	if n := h.stats.Skipped.Load(); n != 2+1 {
		t.Errorf("%d frames skipped, want 2 of one and 1 of the other", n)
	}
	if n := h.stats.Overruns[OverBytes].Load(); n != 2 || len(h.overruns) != 0 {
		t.Errorf("%d skips counted, closed %v", n, h.overruns)
	}
	h.peers[1].room, h.peers[2].room = plenty, plenty
	h.settle()
	cde := string(kilobyte('c')) + string(kilobyte('d')) + string(kilobyte('e'))
	h.wantStream(1, cde)
	h.wantStream(2, string(kilobyte('a'))+cde) // the rest of what it had begun, then the kept
	h.check()
	if h.peers[1].armed || h.peers[2].armed {
		t.Error("EPOLLOUT is armed, and nothing is owed")
	}
}

// Skipped to the very head, in the middle of a frame: the member is held and
// up to date, and the message after that must not overtake the rest.
func TestSkipToTheHead(t *testing.T) {
	config := tight
	config.Skip, config.LogBytesTotal = true, 2048
	h := newHost(t, config, 2)
	h.subscribe("c", 1)
	h.peers[1].room = 100
	for i := range 3 {
		h.publish("c", kilobyte(byte('a'+i)))
	}
	h.settle()
	if h.log("c") != nil || h.registry.Blocked(1) || h.stats.Skipped.Load() != 2 {
		t.Fatalf("blocked %v, %d skipped", h.registry.Blocked(1), h.stats.Skipped.Load())
	}
	h.check()
	h.publish("c", []byte("next"))
	h.settle()
	h.wantStream(1, strings.Repeat("a", 100))
	h.peers[1].room = plenty
	h.settle()
	h.wantStream(1, strings.Repeat("a", 924)+"next")
	h.check()
}

// The largest message passes the limit of a log. Whose socket does not take it
// in one write is not slow.
func TestOneMessageAlwaysFits(t *testing.T) {
	for _, config := range []Config{tight, {LogBytes: 4096, LogAge: time.Second, LogBytesTotal: 4096}} {
		h := newHost(t, config, 20)
		h.subscribe("c", span(1, 20)...)
		for fd := uint32(1); fd <= 20; fd++ {
			h.peers[fd].room = 100
		}
		h.publish("c", bytes.Repeat([]byte("x"), 5000))
		h.settle()
		h.wantOverruns(map[uint32]Cause{})
		if h.registry.Full() {
			t.Error("letters wait for readers that are not slow")
		}
		h.check()
	}
}

// overrunCrowd makes 5,000 members of channel c whose sockets are full, and
// publishes more than their log may hold.
func (h *host) overrunCrowd() {
	h.subscribe("c", span(1, 5000)...)
	for fd := uint32(1); fd <= 5000; fd++ {
		h.peers[fd].room = 0
	}
	h.publish("c", kilobyte('x'))
	h.settle()
	for range 4 {
		h.publish("c", kilobyte('x'))
	}
}

// Overruns go in slices, as the closing of a socket costs as much as a write;
// those in front of a long list are not closed in one turn.
func TestOverrunsComeInSlices(t *testing.T) {
	h := newHost(t, tight, 5000)
	h.overrunCrowd()
	for turns := 1; h.turn(); turns++ {
		if h.closed > turns*sliceWritesMax {
			t.Fatalf("%d closed after %d turns", h.closed, turns)
		}
	}
	if h.closed != 5000 {
		t.Errorf("%d closed", h.closed)
	}
	h.checkEmpty()
}

func TestBlockedListIsWalkedInSlices(t *testing.T) {
	config := tight
	config.Skip = true
	h := newHost(t, config, 5000)
	h.overrunCrowd()
	for turns := 1; h.turn(); turns++ {
		if n := h.stats.Overruns[OverBytes].Load(); n > uint64(turns*sliceVisitsMax) {
			t.Fatalf("%d skipped after %d turns", n, turns)
		}
		if turns == 2 {
			// The walk stands at a member that leaves, and at one that reads.
			for range 2 {
				fd := h.log("c").evictCursor
				if fd == 0 {
					t.Fatal("the walk was over in two turns")
				}
				h.peers[fd].room = plenty
				h.registry.Writable(fd)
				h.check()
				h.registry.Unsubscribe(h.log("c").evictCursor)
				h.check()
			}
		}
	}
	if n := h.stats.Overruns[OverBytes].Load(); n != 4996 {
		t.Errorf("%d of 4,996 skipped", n)
	}
	h.check()
}

func TestOverrunByAge(t *testing.T) {
	h := newHost(t, tight, 3)
	h.subscribe("c", 1, 2)
	h.peers[1].room = 10
	h.publish("c", []byte("hello, world"))
	h.settle()
	h.now += int64(tight.LogAge)
	h.registry.Tick()
	h.settle()
	h.wantOverruns(map[uint32]Cause{})
	h.now += int64(tight.LogAge) / ageRounds
	h.registry.Tick()
	h.settle()
	h.wantOverruns(map[uint32]Cause{1: OverAge})
	h.check()
	if h.log("c") != nil || h.stats.Overruns[OverAge].Load() != 1 {
		t.Error("what was too old is still there")
	}
}

// A frame may be old because the sweep took long. Its reader has LogAge from
// the moment at which its socket was full.
func TestSweepTimeIsNotAge(t *testing.T) {
	h := newHost(t, tight, 100)
	h.subscribe("c", span(1, 100)...)
	h.peers[1].room = 0 // visited last
	h.publish("c", []byte("hello"))
	h.turn()
	h.now += 3 * int64(tight.LogAge) // a very long sweep
	h.settle()
	if !h.registry.Blocked(1) {
		t.Fatal("not blocked")
	}
	h.registry.Tick()
	h.settle()
	h.wantOverruns(map[uint32]Cause{})
	h.now += int64(tight.LogAge) + int64(tight.LogAge)/ageRounds
	h.registry.Tick()
	h.settle()
	h.wantOverruns(map[uint32]Cause{1: OverAge})
}

// Only what is too old is skipped.
func TestSkipByAge(t *testing.T) {
	config := tight
	config.Skip = true
	h := newHost(t, config, 1)
	h.subscribe("c", 1)
	h.peers[1].room = 0
	h.publish("c", []byte("old"))
	h.settle()
	h.now += int64(tight.LogAge) * 5 / 4
	h.publish("c", []byte("new"))
	h.registry.Tick()
	h.settle()
	h.check()
	h.peers[1].room = plenty
	h.settle()
	h.wantStream(1, "new")
	if n := h.stats.Skipped.Load(); n != 1 {
		t.Errorf("%d skipped", n)
	}
}

// Age is looked at in slices, however many logs there are, and every log in
// each round.
func TestAgeOfManyLogs(t *testing.T) {
	const logs = 5000
	h := newHost(t, tight, logs)
	h.registry.Tick() // no logs at all
	for fd := uint32(1); fd <= logs; fd++ {
		name := fmt.Sprint("c", fd)
		h.subscribe(name, fd)
		h.peers[fd].room = 0
		h.publish(name, []byte("x"))
	}
	h.settle()
	h.now += 2 * int64(tight.LogAge)
	h.registry.Tick()
	left := h.registry.ageTodo
	for turns := 0; h.registry.ageTodo > 0; turns++ {
		h.registry.Work()
		if left-h.registry.ageTodo > agedLogsPerTurnMax || turns > logs {
			t.Fatalf("from %d to %d logs in a turn", left, h.registry.ageTodo)
		}
		left = h.registry.ageTodo
	}
	h.settle()
	if n := h.stats.Overruns[OverAge].Load(); n != logs || h.closed != logs {
		t.Errorf("%d overrun, %d closed", n, h.closed)
	}
	h.checkEmpty()
	// All slots of the table are free now.
	h.now += int64(tight.LogAge)
	h.registry.Tick()
	h.settle()
}

func TestOverrunByTotal(t *testing.T) {
	config := tight
	config.LogBytesTotal = 8192
	h := newHost(t, config, 12)
	for fd := uint32(1); fd <= 12; fd++ {
		name := fmt.Sprint("c", fd)
		h.subscribe(name, fd)
		h.peers[fd].room = 0
	}
	for fd := range uint32(8) {
		h.publish(fmt.Sprint("c", fd+1), kilobyte('x'))
	}
	h.settle()
	h.wantOverruns(map[uint32]Cause{})
	h.publish("c9", kilobyte('x'))
	h.settle()
	if len(h.overruns) != 1 || h.stats.Overruns[OverTotal].Load() != 1 {
		t.Errorf("overrun: %v", h.overruns)
	}
	h.check()
	if h.registry.bytesTotal > config.LogBytesTotal {
		t.Errorf("%d bytes in all logs", h.registry.bytesTotal)
	}
}

// One log at a time, even if its members are so many that it takes turns:
// the others may not have to go.
func TestTotalOverrunsOneLogAtATime(t *testing.T) {
	config := tight
	config.LogBytesTotal = 4096
	h := newHost(t, config, 1004)
	h.subscribe("large", span(1, 1000)...)
	for fd := range h.peers {
		h.peers[fd].room = 0
	}
	for fd := uint32(1001); fd <= 1004; fd++ {
		name := fmt.Sprint("small", fd)
		h.subscribe(name, fd)
	}
	h.publish("large", kilobyte('x'))
	h.settle()
	for fd := uint32(1001); fd <= 1003; fd++ {
		h.publish(fmt.Sprint("small", fd), kilobyte('x'))
	}
	h.settle()
	h.registry.logHand = uint32(len(h.registry.logs) - 1) // the large one is next
	h.publish("small1004", kilobyte('x'))
	h.settle()
	if n := h.stats.Overruns[OverTotal].Load(); n != 1000 || h.closed != 1000 {
		t.Errorf("%d overrun, %d closed, want the 1,000 of one log", n, h.closed)
	}
	h.check()
}

// Over the total with nobody to overrun: the sweeps are behind, letters wait,
// and nobody is closed for it.
func TestTotalOfSweeps(t *testing.T) {
	config := tight
	config.LogBytesTotal = 4096
	h := newHost(t, config, 100)
	for fd := uint32(1); fd <= 20; fd++ {
		name := fmt.Sprint("c", fd)
		h.subscribe(name, fd)
		if h.registry.Full() {
			break
		}
		h.publish(name, kilobyte('x'))
		h.check()
	}
	if !h.registry.Full() || h.registry.bytesTotal > 9*1024 {
		t.Fatalf("full %v at %d bytes", h.registry.Full(), h.registry.bytesTotal)
	}
	h.settle()
	h.wantOverruns(map[uint32]Cause{})
	if h.registry.Full() {
		t.Error("full with empty logs")
	}
}

// A sweep that is a quarter of a log behind makes letters wait, before any reader is
// slow by the log's length; it opens when the sweep has caught up.
func TestFullWhileSweepsAreBehind(t *testing.T) {
	h := newHost(t, tight, 300)
	h.subscribe("c", span(1, 300)...)
	for fd := uint32(1); fd <= 300; fd++ {
		h.peers[fd].room = 640 // takes half a burst at once
	}
	for i := range 80 {
		h.mailbox = append(h.mailbox, h.message("c", kilobyte(byte('a' + i))[:256], nil))
	}
	h.turn()
	if !h.registry.Full() || len(h.mailbox) != 75 {
		t.Fatalf("full %v with %d letters left", h.registry.Full(), len(h.mailbox))
	}
	turns := 0
	for ; h.registry.Full(); turns++ {
		h.registry.Work()
		h.check()
	}
	if turns < 3 {
		t.Errorf("opened after %d slices", turns)
	}
	h.wantOverruns(map[uint32]Cause{})
	for len(h.mailbox) > 0 || h.log("c") != nil {
		for fd := range h.peers {
			h.peers[fd].room = 1500
		}
		h.turn()
	}
	h.wantOverruns(map[uint32]Cause{})
	h.check()
	if n := len(h.peers[1].stream); n != 20*1024 {
		t.Errorf("%d bytes of 20 KiB", n)
	}
}

// A slow reader within its limits does not make anybody wait.
func TestSlowReadersMakeNobodyWait(t *testing.T) {
	h := newHost(t, tight, 2)
	h.subscribe("c", 1, 2)
	h.peers[1].room = 0
	for range 4 {
		h.publish("c", kilobyte('x'))
		h.turn()
		if h.registry.Full() {
			t.Fatal("letters wait for a slow reader")
		}
	}
	if h.log("c").bytes != 4096 {
		t.Fatalf("the log has %d bytes", h.log("c").bytes)
	}
}

// All readers are blocked for a moment while many letters wait: they get room
// in between, and are not overrun by what one turn could take.
func TestBurstToBlockedReaders(t *testing.T) {
	h := newHost(t, tight, 20)
	h.subscribe("c", span(1, 20)...)
	for i := range 80 {
		h.mailbox = append(h.mailbox, h.message("c", kilobyte(byte('a' + i))[:256], nil))
	}
	for len(h.mailbox) > 0 || h.log("c") != nil {
		for fd := range h.peers {
			h.peers[fd].room = 1300
		}
		h.turn()
	}
	h.wantOverruns(map[uint32]Cause{})
	if n := len(h.peers[20].stream); n != 80*256 {
		t.Errorf("%d bytes of 20 KiB", n)
	}
}

// While so many are overrun that it takes turns, messages may make the log
// twice too long. Then letters wait, but not longer than that.
func TestOverrunsDoNotLockTheDoor(t *testing.T) {
	h := newHost(t, tight, 1000)
	h.subscribe("c", span(1, 1000)...)
	for fd := uint32(1); fd < 1000; fd++ {
		h.peers[fd].room = 5 * 1024 * int(fd%2)
	}
	h.publish("c", kilobyte('x'))
	h.settle()
	for i := range 200 {
		h.mailbox = append(h.mailbox, h.message("c", bytes.Repeat([]byte{byte(i)}, 4000), nil))
	}
	was := false
	for range 20_000 {
		h.turn()
		was = was || h.log("c") != nil && h.log("c").evicting && h.log("c").bytes > fullFactor*tight.LogBytes
		if n := h.registry.bytesTotal; n > fullFactor*tight.LogBytes+4000 {
			t.Fatalf("the log has %d bytes", n)
		}
	}
	h.check()
	if len(h.mailbox) != 0 {
		t.Errorf("%d letters wait for ever", len(h.mailbox))
	}
	if !was {
		t.Error("the log was never too long: this test tests nothing")
	}
	if len(h.overruns) != 999 {
		t.Errorf("%d overrun", len(h.overruns))
	}
	if n := len(h.peers[1000].stream); n != 200*4000+1024 {
		t.Errorf("the one who reads got %d bytes", n)
	}
}

// Sequence numbers wrap: before, at and after 2^32 members are overrun alike.
func TestOverrunAcrossTheWrap(t *testing.T) {
	for back := uint32(0); back < 8; back++ {
		h := newHost(t, tight, 3)
		h.subscribe("c", 1, 2, 3)
		h.setHead("c", -back)
		h.peers[1].room = 0
		h.peers[2].room = 2500
		for i := range 5 {
			h.publish("c", kilobyte(byte('a'+i)))
			h.settle()
			h.check()
		}
		h.wantOverruns(map[uint32]Cause{1: OverBytes})
		h.peers[2].room = plenty
		h.settle()
		if n := len(h.stream(2)); n != 5*1024 {
			t.Errorf("head at 2^32-%d: %d bytes", back, n)
		}
		h.check()
	}
}
