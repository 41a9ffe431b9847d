package poller

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/internal/patience"
)

// full is a handler that only says whether it takes letters.
type full struct {
	Handler
	is bool
}

func (f *full) Full() bool { return f.is }

func crowdedLoop(turns *turnstile) (*Loop, *full) {
	handler := &full{}
	l := &Loop{id: 3, engine: &countingEngine{}, turns: turns, handler: handler, now: Now()}
	return l, handler
}

// While the turnstile stands open, nobody needs a seat; once it is closed, a
// loop takes one, keeps it over turns, and gives it back before it sleeps or when
// the turnstile opens again.
func TestALoopTakesASeatOnlyWhileTheTurnstileIsClosed(t *testing.T) {
	turns := newTurnstile(1)
	l, _ := crowdedLoop(turns)
	l.queue(turns.enter)
	if l.seated || !l.Seated() || l.Hurried() || turns.free.Load() != 1 {
		t.Fatal("an open turnstile gave out a seat")
	}
	l.Urgent()
	l.queue(turns.enter)
	if !l.seated || !l.Hurried() || turns.free.Load() != 0 {
		t.Fatal("a closed turnstile let the loop in without a seat")
	}
	l.sitDown(false)
	if !l.seated {
		t.Fatal("it lost its seat, though nobody waits and it does not sleep")
	}
	l.sitDown(true)
	if l.seated || turns.free.Load() != 1 {
		t.Fatal("it sleeps on its seat")
	}
	l.queue(turns.enter)
	turns.until.Store(0)
	l.now += quantumNanosMax + 1
	l.sitDown(false)
	if l.seated || !l.Seated() || turns.free.Load() != 1 {
		t.Fatal("it keeps its seat though the turnstile is open")
	}
}

// A loop with letters passes, unless its handler would not take them; one that
// is only ever passed in may take its time at last.
func TestALoopWithLettersPasses(t *testing.T) {
	turns := newTurnstile(1)
	l, handler := crowdedLoop(turns)
	l.Urgent()
	other := &atomic.Bool{}
	turns.enter(0, other) // the only seat
	l.mailbox.push(&Letter{})
	l.seatedAt = l.now
	l.queue(turns.enter)
	if l.seated || l.Seated() {
		t.Fatal("a pass is no seat")
	}
	if l.mailbox.pass.Load() || l.mailbox.queued.Load() {
		t.Fatal("a pass is for one turn")
	}
	l.now += roundNanos + 1
	if !l.Seated() {
		t.Error("a loop starves by being passed in")
	}

	handler.is = true
	passed := make(chan struct{})
	go func() { l.queue(turns.enter); close(passed) }()
	for turns.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	l.notify()
	if l.stats.Passes.Load() != 0 {
		t.Error("a loop whose handler is full was passed in")
	}
	turns.leave()
	<-passed
	if !l.seated {
		t.Error("it waited for a seat and has none")
	}
}

// Whoever posts while a loop waits for a seat lets it in, once.
func TestPostersPassALoopIn(t *testing.T) {
	turns := newTurnstile(1)
	l, _ := crowdedLoop(turns)
	l.Urgent()
	other := &atomic.Bool{}
	turns.enter(0, other)
	passed := make(chan struct{})
	go func() { l.queue(turns.enter); close(passed) }()
	for turns.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	var posters sync.WaitGroup
	for range 4 {
		posters.Add(1)
		go func() { defer posters.Done(); l.Post(&Letter{}) }()
	}
	posters.Wait()
	select {
	case <-passed:
	case <-time.After(patience.Guard):
		t.Fatal("a letter waits for a seat")
	}
	if l.seated || l.stats.Passes.Load() != 1 || l.stats.Wakeups.Load() != 0 {
		t.Errorf("seated %v, %d passes, %d wake-ups", l.seated, l.stats.Passes.Load(), l.stats.Wakeups.Load())
	}
}

// A countingEngine has so many events at each wait.
type countingEngine struct {
	Engine
	events int
}

func (e *countingEngine) Wait([]Ready, int64) int { return e.events }
func (e *countingEngine) Wake()                   {}
func (e *countingEngine) Now() int64              { return Now() }

// A loop with many events is a crowd for a while, in the eyes of all that share its
// processors.
func TestALoopWithManyEventsIsCrowded(t *testing.T) {
	turns := newTurnstile(1)
	l, _ := crowdedLoop(turns)
	other, _ := crowdedLoop(turns)
	engine := &countingEngine{events: crowdedEventsMin - 1}
	l.engine, l.more = engine, true
	l.wait()
	if other.now = l.now; other.Crowded() {
		t.Fatal("crowded by a few")
	}
	engine.events++
	l.wait()
	if other.now = l.now; !other.Crowded() {
		t.Fatal("not crowded")
	}
	if other.now += crowdedNanos; other.Crowded() {
		t.Fatal("crowded for ever")
	}
}
