package channel

import (
	"testing"
	"time"

	"c10m/internal/patience"
)

// pacedHost is a host whose sweeps have a pace, with a large channel of 150
// members and a small one.
func pacedHost(t *testing.T, pace *Pace) *host {
	t.Helper()
	config := roomy
	config.Pace = pace
	h := newHost(t, config, 200)
	h.subscribe("large", span(1, 150)...)
	h.subscribe("small", 151)
	return h
}

// A sweep makes as many writes as the rate allows, and the loop is to wake up
// for the next slice.
func TestPaceBoundsTheRate(t *testing.T) {
	pace := &Pace{}
	h := pacedHost(t, pace)
	const perSecond = 6400 // a slice in 10 ms
	pace.SetRate(perSecond)
	begin := h.now
	for range 20 {
		h.publish("large", []byte("l"))
		for h.sends < 150 {
			h.workBy = 0
			if more := h.turn(); !more && h.sends < 150 {
				if h.workBy <= h.now {
					t.Fatal("nobody wakes the loop up for the rest of the sweep")
				}
				h.now = h.workBy
			}
		}
		h.sends = 0
	}
	h.settle()
	if pace.Writes() != 20*150 || pace.Bytes() != 20*150 || pace.Waits() == 0 {
		t.Errorf("%d writes, %d bytes, %d waits", pace.Writes(), pace.Bytes(), pace.Waits())
	}
	wanted := int64(20 * 150 * time.Second / perSecond)
	if took := h.now - begin; took < wanted-int64(25*time.Millisecond) || took > wanted+int64(25*time.Millisecond) {
		t.Errorf("%v for %v", time.Duration(took), time.Duration(wanted))
	}
	h.check()
}

// A small channel does not wait for the pace, also while a sweep does.
func TestPaceLeavesSmallChannelsAlone(t *testing.T) {
	pace := &Pace{}
	h := pacedHost(t, pace)
	pace.SetRate(1)
	h.publish("large", []byte("l"))
	h.turn()
	if h.turn(); h.sends != sliceWritesMax {
		t.Fatalf("%d writes at a write a second", h.sends)
	}
	h.publish("small", []byte("s"))
	if more := h.turn(); more || h.sends != sliceWritesMax+1 {
		t.Errorf("%d writes; more %v, so the loop spins", h.sends, more)
	}
	h.wantStream(151, "s")
	pace.SetRate(0)
	h.now += int64(time.Hour)
	h.settle()
	h.wantStream(150, "l")
	h.check()
}

// Without an end in sight nothing waits; at the end everything does, until it is
// moved.
func TestPaceHasAnEnd(t *testing.T) {
	pace := &Pace{}
	h := pacedHost(t, pace)
	pace.SetMost(sliceWritesMax)
	h.publish("large", []byte("l"))
	for range 5 {
		h.workBy = 0
		more := h.turn()
		if h.now = max(h.now, h.workBy); h.sends > 0 && h.sends != sliceWritesMax || more && h.sends == sliceWritesMax && h.workBy != 0 {
			t.Fatalf("%d writes, more %v", h.sends, more)
		}
	}
	if pace.Writes() != sliceWritesMax || h.workBy == 0 {
		t.Errorf("%d writes of %d", pace.Writes(), sliceWritesMax)
	}
	pace.SetMost(0)
	for h.sends < 150 {
		h.turn()
		h.now = max(h.now, h.workBy)
	}
	h.settle()
	h.wantStream(150, "l")
	if pace.Writes() != 150 {
		t.Errorf("%d writes are counted", pace.Writes())
	}
	h.check()
}

// What was reserved and not needed is the others'; what was missed is lost but
// for a burst.
func TestPaceGivesBack(t *testing.T) {
	pace := &Pace{}
	pace.SetRate(1000)
	now := int64(time.Hour)
	if at := pace.reserve(now, 10); at > now {
		t.Errorf("the first waits %v", time.Duration(at-now))
	}
	pace.take(10)
	pace.made(10, 0, 0)
	if at := pace.reserve(now, 10); at > now || pace.Writes() != 0 {
		t.Errorf("what was given back is gone: %v, %d writes", time.Duration(at-now), pace.Writes())
	}
	late := now + int64(time.Minute)
	free := 0
	for pace.reserve(late, 1) <= late {
		free++
	}
	if free < 4 || free > 7 { // paceBurstNanos at a write a millisecond
		t.Errorf("%d writes at once after a minute's rest", free)
	}
	pace.SetRate(1)
	if at := pace.reserve(late, 1000); at > late+paceWaitNanosMax {
		t.Errorf("a loop waits %v", time.Duration(at-late))
	}
}

// Who adapts the rate sleeps until a slice begins, and misses none that begins while he
// goes to sleep.
func TestPaceIsAwaited(t *testing.T) {
	pace := &Pace{}
	for range 2000 {
		seen := pace.Writes()
		woken := make(chan uint64)
		go func() {
			pace.Await(seen)
			woken <- pace.Writes()
		}()
		pace.take(3)
		select {
		case writes := <-woken:
			if writes != seen+3 {
				t.Fatalf("woken after %d writes, not %d", writes, seen+3)
			}
		case <-time.After(patience.Guard):
			t.Fatal("a slice began, and nobody was woken")
		}
	}
	ended := make(chan struct{})
	go func() {
		pace.Await(pace.Writes())
		close(ended)
	}()
	for isOver := false; !isOver; {
		pace.Interrupt()
		select {
		case <-ended:
			isOver = true
		case <-time.After(time.Millisecond):
		}
	}
}
