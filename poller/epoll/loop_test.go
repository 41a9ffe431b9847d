package epoll_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/poller/epoll/epolltest"
	"c10m/poller/pollertest"

	"golang.org/x/sys/unix"
)

// recorder is a Handler that writes down what it is told.
type recorder struct {
	loop    *poller.Loop
	log     []string
	full    bool
	more    bool
	onOpen  func(fd uint32)
	onEvent func(fd uint32, event poller.Event)
	onTick  func() int64
}

func (r *recorder) note(format string, a ...any) { r.log = append(r.log, fmt.Sprintf(format, a...)) }

func (r *recorder) Open(fd uint32, _ poller.Tag) {
	r.note("open %d", fd)
	if r.onOpen != nil {
		r.onOpen(fd)
	}
}
func (r *recorder) Event(fd uint32, event poller.Event) {
	r.note("event %d %d", fd, event)
	if r.onEvent != nil {
		r.onEvent(fd, event)
	}
}
func (r *recorder) Letter(body any) {
	if body != nil {
		r.note("letter %v", body)
	}
}
func (r *recorder) Full() bool { return r.full }
func (r *recorder) Work() bool { return r.more }
func (r *recorder) Closed(fd uint32) {
	r.note("closed %d", fd)
}
func (r *recorder) Tick() int64 {
	if r.onTick != nil {
		return r.onTick()
	}
	return r.loop.Now() + int64(time.Hour)
}

// take returns what was written down since the last call.
func (r *recorder) take() string {
	s := fmt.Sprint(r.log)
	r.log = nil
	return s
}

func newLoop(t testing.TB, k *epolltest.Kernel) (*poller.Loop, *recorder) {
	t.Helper()
	r := &recorder{}
	l, err := epoll.NewLoop(epoll.Config{
		DescriptorsMax: 1 << 16,
		Listen:         make([]epoll.Listener, 1),
		Kernel:         k,
	}, k.Eventfd(), func(l *poller.Loop) poller.Handler { r.loop = l; return r })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Shut)
	return l, r
}

func turns(l *poller.Loop, n int) {
	for range n {
		l.Turn()
	}
}

func TestRecordSize(t *testing.T) {
	if size := unsafe.Sizeof(poller.Record{}); size > poller.RecordBytesMax {
		t.Fatalf("a record has %d bytes, and the limit is %d", size, poller.RecordBytesMax)
	}
}

func TestAConnectionFromAcceptToReaper(t *testing.T) {
	k := epolltest.New(1)
	l, r := newLoop(t, k)
	peer := k.Dial()
	turns(l, 2)
	if got := r.take(); got != "[open 7]" {
		t.Fatalf("after a dial: %s", got)
	}
	peer.Write([]byte("x"))
	l.Turn()
	if got := r.take(); got != "[event 7 1]" {
		t.Fatalf("after a write: %s", got)
	}
	// Two ways of closing in one turn are one close, at its end.
	r.onEvent = func(fd uint32, _ poller.Event) { l.Close(fd); l.Close(fd); r.note("end of event") }
	l.Turn()
	if got := r.take(); got != "[event 7 1 end of event closed 7]" {
		t.Fatalf("after a close: %s", got)
	}
	if !peer.Gone() || l.Connections() != 0 || l.Stats().Connections.Load() != 0 || l.Generation(7) != 0 {
		t.Fatal("the reaper left something")
	}
}

func TestStaleEventsAreDroppedAndCounted(t *testing.T) {
	k := epolltest.New(2)
	l, r := newLoop(t, k)
	first := k.Dial()
	turns(l, 2)
	r.onEvent = func(fd uint32, _ poller.Event) { l.Close(fd) }
	first.Close()
	turns(l, 2)
	r.onEvent = nil
	k.Dial() // gets the same number
	turns(l, 2)
	if r.take() != "[open 7 event 7 1 closed 7 open 7]" {
		t.Fatal("the descriptor was not reused")
	}
	k.Faults.StaleEvent = 1
	turns(l, 3)
	if got := r.take(); got != "[]" {
		t.Fatalf("an event of the former owner reached the next: %s", got)
	}
	if n := l.Stats().StaleEvents.Load(); n != 3 {
		t.Fatalf("%d stale events counted, 3 injected", n)
	}
}

// Events are waited for before the mailbox is read: one of a socket that a letter or
// an order has not read any more is a thing of the past, and comes again later.
func TestAnEventOfWhoIsNotReadFromAnyMoreWaits(t *testing.T) {
	k := epolltest.New(2)
	l, r := newLoop(t, k)
	peer := k.Dial()
	turns(l, 2)
	r.take()
	peer.Write([]byte("x"))
	l.Run(func(l *poller.Loop) { l.ArmRead(7, false); r.note("order") })
	turns(l, 2)
	if got := r.take(); got != "[order]" {
		t.Fatalf("not read from any more: %s", got)
	}
	l.ArmRead(7, true)
	l.Turn()
	if got := r.take(); got != "[event 7 1]" {
		t.Fatalf("read from again: %s", got)
	}
}

func TestDescriptorsUsedUpPausesAcceptingAndNeverSpins(t *testing.T) {
	k := epolltest.New(3)
	l, r := newLoop(t, k)
	k.DescriptorsMax = k.Open() + 2
	for range 5 {
		k.Dial()
	}
	// Ten seconds of virtual time: with the listeners paused a turn sleeps,
	// so few turns pass. A spinning loop would need a million.
	start, count := k.Now(), 0
	for ; k.Now()-start < int64(10*time.Second); count++ {
		l.Turn()
	}
	if count > 10*25 {
		t.Fatalf("%d turns in 10 s with nothing to do", count)
	}
	if l.Connections() != 2 || l.Stats().AcceptPauses.Load() < 50 {
		t.Fatalf("%d connections, %d pauses", l.Connections(), l.Stats().AcceptPauses.Load())
	}
	r.take()
	// Room again: the tick re-arms the listeners, and who waited gets in.
	k.DescriptorsMax += 100
	turns(l, 10)
	if l.Connections() != 5 {
		t.Fatalf("%d connections after there was room again", l.Connections())
	}
}

func TestAFullTableLeavesDescriptorsToOthers(t *testing.T) {
	k := epolltest.New(16)
	r := &recorder{}
	l, err := epoll.NewLoop(epoll.Config{
		DescriptorsMax: 1 << 10, TableConnectionsMax: 10, Listen: make([]epoll.Listener, 1), Kernel: k,
	}, k.Eventfd(), func(l *poller.Loop) poller.Handler { r.loop = l; return r })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shut()
	var peers []*pollertest.Peer
	for range 15 {
		peers = append(peers, k.Dial())
	}
	turns(l, 50)
	if l.Connections() != 10 || l.Stats().AcceptPauses.Load() == 0 {
		t.Fatalf("%d connections, %d pauses", l.Connections(), l.Stats().AcceptPauses.Load())
	}
	r.onEvent = func(fd uint32, _ poller.Event) { l.Close(fd) }
	for _, peer := range peers[:5] {
		peer.Close()
	}
	turns(l, 50)
	if l.Connections() != 10 || l.Stats().Accepted.Load() != 15 {
		t.Fatalf("after 5 left: %d connections, %d accepted", l.Connections(), l.Stats().Accepted.Load())
	}
}

func TestAcceptErrorsOfOneConnectionDoNotPause(t *testing.T) {
	k := epolltest.New(4)
	l, _ := newLoop(t, k)
	k.Faults.AcceptAbort = 0.5
	for range 200 {
		k.Dial()
	}
	turns(l, 100)
	retries := int(l.Stats().AcceptRetries.Load())
	if retries == 0 || retries+l.Connections() != 200 || l.Stats().AcceptPauses.Load() != 0 {
		t.Fatalf("%d retries, %d connections, %d pauses", retries, l.Connections(), l.Stats().AcceptPauses.Load())
	}
}

func TestEpollFullRefusesTheNewcomerOnly(t *testing.T) {
	k := epolltest.New(5)
	l, r := newLoop(t, k)
	old := k.Dial()
	turns(l, 2)
	k.Faults.EpollNoSpace = 1
	refused := k.Dial()
	turns(l, 2)
	if !refused.Gone() || l.Connections() != 1 || l.Stats().AcceptRefused.Load() != 1 {
		t.Fatalf("gone %v, %d connections, %d refused", refused.Gone(), l.Connections(), l.Stats().AcceptRefused.Load())
	}
	r.take()
	old.Write([]byte("x"))
	l.Turn()
	if got := r.take(); got != "[event 7 1]" {
		t.Fatalf("the old connection: %s", got)
	}
}

func TestAcceptsAreBoundedPerTurn(t *testing.T) {
	k := epolltest.New(6)
	l, _ := newLoop(t, k)
	for range 100 {
		k.Dial()
	}
	for before := 0; l.Connections() < 100; before = l.Connections() {
		l.Turn()
		if got := l.Connections() - before; got > 32 {
			t.Fatalf("%d accepts in one turn", got)
		}
	}
}

func TestArmWrite(t *testing.T) {
	k := epolltest.New(7)
	l, r := newLoop(t, k)
	k.Dial()
	turns(l, 2)
	r.take()
	l.ArmWrite(7, true)
	l.Turn()
	if got := r.take(); got != "[event 7 2]" {
		t.Fatalf("armed: %s", got)
	}
	l.ArmWrite(7, false)
	l.Turn()
	if got := r.take(); got != "[]" {
		t.Fatalf("disarmed: %s", got)
	}
}

func TestLettersWaitWhileTheHandlerIsFull(t *testing.T) {
	k := epolltest.New(8)
	l, r := newLoop(t, k)
	r.full, r.more = true, true
	for i := range 3 {
		l.Post(&poller.Letter{Body: i})
	}
	turns(l, 3)
	if got := r.take(); got != "[]" {
		t.Fatalf("full: %s", got)
	}
	// An order of the operator's does not wait with them.
	for i := range 3 {
		l.Run(func(*poller.Loop) { r.note("order %d", i) })
	}
	l.Turn()
	if got := r.take(); got != "[order 0 order 1 order 2]" {
		t.Fatalf("orders to a full loop: %s", got)
	}
	r.full = false
	l.Turn()
	if got := r.take(); got != "[letter 0 letter 1 letter 2]" {
		t.Fatalf("in order: %s", got)
	}
}

func TestTheMailboxIsBoundedInLettersAndBytes(t *testing.T) {
	k := epolltest.New(9)
	l, r := newLoop(t, k)
	fitted := 0
	for l.Post(&poller.Letter{}) {
		fitted++
	}
	if fitted != 8192 || l.Stats().PostsRefused.Load() != 1 {
		t.Fatalf("%d letters fitted", fitted)
	}
	turns(l, 40)
	r.take()
	fitted = 0
	for l.Post(&poller.Letter{Bytes: 1 << 20}) {
		fitted++
	}
	if fitted != 65 {
		t.Fatalf("%d letters of 1 MiB fitted in 64 MiB and one", fitted)
	}
	turns(l, 2)
	if !l.Post(&poller.Letter{Bytes: 1 << 20}) {
		t.Fatal("the bytes of letters that were read still count")
	}
}

func TestATickComesWhenAskedFor(t *testing.T) {
	k := epolltest.New(10)
	l, r := newLoop(t, k)
	ticks := 0
	r.onTick = func() int64 { ticks++; return l.Now() + int64(100*time.Millisecond) }
	start := k.Now()
	for k.Now()-start < int64(10*time.Second) {
		l.Turn()
	}
	if ticks < 90 || ticks > 101 {
		t.Fatalf("%d ticks in 10 s at 100 ms", ticks)
	}
	r.onTick = func() int64 { ticks++; return l.Now() + int64(time.Hour) }
	l.TickNow()
	l.Turn()
	ticks, start = 0, k.Now()
	for k.Now()-start < int64(10*time.Second) {
		l.Turn()
	}
	if ticks < 9 || ticks > 11 {
		t.Fatalf("%d ticks in 10 s of an idle loop, which wants one a second", ticks)
	}
}

func TestInterruptedWaitIsNoEvent(t *testing.T) {
	k := epolltest.New(11)
	l, r := newLoop(t, k)
	k.Dial()
	k.Faults.WaitNothing = 1
	turns(l, 5)
	if got := r.take(); got != "[]" {
		t.Fatalf("events without a wait: %s", got)
	}
	k.Faults.WaitNothing = 0
	turns(l, 2)
	if got := r.take(); got != "[open 7]" {
		t.Fatalf("after the interrupts: %s", got)
	}
}

func TestWalkVisitsEachOnceAndGoesOn(t *testing.T) {
	k := epolltest.New(12)
	k.DescriptorsMax = 4096
	l, _ := newLoop(t, k)
	for range 1000 {
		k.Dial()
	}
	turns(l, 200)
	seen := make(map[uint32]int)
	cursor := uint32(0)
	for steps := 1; ; steps++ {
		visited := 0
		cursor = l.Walk(cursor, 7, func(fd uint32) { seen[fd]++; visited++ })
		if visited > 7 {
			t.Fatalf("%d visits where 7 were allowed", visited)
		}
		if cursor == 0 {
			break
		}
	}
	if len(seen) != 1000 {
		t.Fatalf("%d of 1000 connections seen", len(seen))
	}
	for fd, n := range seen {
		if n != 1 {
			t.Fatalf("descriptor %d seen %d times", fd, n)
		}
	}
}

func TestStopAcceptingTakesWhoWaits(t *testing.T) {
	k := epolltest.New(13)
	l, _ := newLoop(t, k)
	var peers []*pollertest.Peer
	for range 300 {
		peers = append(peers, k.Dial())
	}
	isDone := false
	l.Engine().(*epoll.Engine).StopAccepting(0, func() { isDone = true })
	for i, peer := range peers {
		if peer.WasReset() {
			t.Fatalf("newcomer %d of 300 was reset", i)
		}
	}
	if l.Connections() != 300 || !isDone {
		t.Fatalf("%d connections, done %v", l.Connections(), isDone)
	}
	if !k.Dial().WasReset() {
		t.Fatal("a listener is still open")
	}
	turns(l, 3)
}

func TestIdleTurnsAndPostsAllocateNothing(t *testing.T) {
	k := epolltest.New(14)
	l, r := newLoop(t, k)
	r.onTick = func() int64 { return l.Now() }
	linux := epoll.Linux{}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	letter := &poller.Letter{}
	if n := testing.AllocsPerRun(100, func() { l.Post(letter); l.Turn(); linux.Wake(fd) }); n > 1 {
		// The fake kernel's Perm is the 1.
		t.Fatalf("%v allocations in a turn", n)
	}
}

func BenchmarkPost(b *testing.B) {
	k := epolltest.New(15)
	l, _ := newLoop(b, k)
	letters := make([]poller.Letter, 256)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !l.Post(&letters[i%256]) {
			b.Fatal("full")
		}
		if i%256 == 255 {
			l.Turn()
		}
	}
}

// A loop that naps leaves its connections alone, but not its mailbox, and wakes
// from it by itself.
func TestNap(t *testing.T) {
	k := epolltest.New(1)
	l, r := newLoop(t, k)
	peer := k.Dial()
	turns(l, 2)
	r.take()
	l.Nap(5)
	peer.Write([]byte("x"))
	l.Turn()
	if got := r.take(); got != "[]" {
		t.Fatalf("in the nap: %s", got)
	}
	l.Turn()
	if got := r.take(); got != "[event 7 1]" {
		t.Fatalf("after the nap: %s", got)
	}
	l.Nap(5)
	l.Post(&poller.Letter{Body: "hello", Bytes: 1})
	turns(l, 1)
	if got := r.take(); !strings.Contains(got, "hello") {
		t.Fatalf("posted in a nap: %s", got)
	}
}

// A handler that had enough of newcomers gets no more of them in this turn, the
// others in the next; before the listeners close all are taken.
func TestLeaveNewcomers(t *testing.T) {
	k := epolltest.New(3)
	l, r := newLoop(t, k)
	r.onOpen = func(fd uint32) { l.LeaveNewcomers() }
	for range 5 {
		k.Dial()
	}
	for turn := range 3 {
		l.Turn()
		if got, want := r.take(), fmt.Sprintf("[open %d]", 7+turn); got != want {
			t.Fatalf("turn %d: %s, want %s", turn, got, want)
		}
	}
	l.Engine().(*epoll.Engine).StopAccepting(0, func() {})
	if got := r.take(); got != "[open 10 open 11]" {
		t.Fatalf("at the end: %s", got)
	}
}
