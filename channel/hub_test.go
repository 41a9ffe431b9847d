package channel

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/poller"
)

// A fakeLoop is a Poster with a small mailbox and a goroutine that hands the
// letters to a registry, as a loop's thread does.
type fakeLoop struct {
	host    *host
	mailbox chan *poller.Letter
	refused atomic.Int64
	done    chan struct{}
	seen    []string // names and frames of the messages, in their order
}

func (l *fakeLoop) Post(letter *poller.Letter) bool {
	runtime.Gosched() // so that publishers get in each other's way
	select {
	case l.mailbox <- letter:
		return true
	default:
		l.refused.Add(1)
		return false
	}
}

// Wants takes everything, as a loop may whose index changes all the time.
func (l *fakeLoop) Wants(uint32) bool { return true }

// run handles letters until the mailbox is closed.
func (l *fakeLoop) run() {
	defer close(l.done)
	for letter := range l.mailbox {
		if f, ok := letter.Body.(func()); ok {
			f()
			continue
		}
		if message, ok := letter.Body.(*Message); ok && message.frame != nil {
			l.seen = append(l.seen, string(message.name)+" "+string(message.frame))
		}
		if !l.host.registry.Letter(letter.Body) {
			panic("a letter that nobody understands")
		}
		for l.host.registry.Work() {
		}
	}
}

// newHub makes a hub over so many loops with fds connections each. stop ends
// the loops, after which their hosts belong to the test.
func newHub(tb testing.TB, loops, fds, mailbox int) (hub *Hub, all []*fakeLoop, stop func()) {
	var posters []Poster
	for range loops {
		l := &fakeLoop{host: newHost(tb, roomy, fds), mailbox: make(chan *poller.Letter, mailbox), done: make(chan struct{})}
		all, posters = append(all, l), append(posters, l)
	}
	frame := func(payload []byte) []byte { return append([]byte("f:"), payload...) }
	hub = NewHub(posters, HubConfig{Frame: frame, PayloadBytesMax: 100, Now: func() int64 { return 7 }})
	start := func() {
		for _, l := range all {
			go l.run()
		}
	}
	stop = sync.OnceFunc(func() {
		for _, l := range all {
			close(l.mailbox)
			<-l.done
		}
	})
	tb.Cleanup(stop)
	start()
	return hub, all, stop
}

// on runs f on a loop and waits for it.
func (l *fakeLoop) on(f func()) {
	done := make(chan struct{})
	l.mailbox <- &poller.Letter{Body: func() { f(); close(done) }}
	<-done
}

func TestReceiptsAddUp(t *testing.T) {
	hub, loops, stop := newHub(t, 3, 20, 64)
	for i, l := range loops {
		l.on(func() { l.host.subscribe("news", span(1, uint32(5*i))...) }) // 0, 5, 10
	}
	receipt, err := hub.Publish([]byte("news"), []byte("hello"))
	if err != nil || receipt.Wait() != 15 {
		t.Errorf("%d members, %v", receipt.Wait(), err)
	}
	if receipt, err = hub.Publish([]byte("nobody"), []byte("hello")); err != nil || receipt.Wait() != 0 {
		t.Errorf("%d members, %v", receipt.Wait(), err)
	}
	if got := hub.Count([]string{"news", "nobody", "news", "-/page", ""}); !slices.Equal(got, []int{15, 0, 15, 0, 0}) {
		t.Errorf("counts %v", got)
	}
	stop()
	for i, l := range loops {
		for fd := uint32(1); fd <= 20; fd++ {
			want := ""
			if fd <= uint32(5*i) {
				want = "f:hello"
			}
			l.host.wantStream(fd, want)
		}
		if m, u := l.host.stats.Messages.Load(), l.host.stats.Unwanted.Load(); m != 2 || u != 1+uint64(max(0, 1-i)) {
			t.Errorf("loop %d: %d messages, %d unwanted; a question is none", i, m, u)
		}
	}
	if m, b := hub.Stats().Messages.Load(), hub.Stats().Bytes.Load(); m != 2 || b != 10 {
		t.Errorf("%d messages, %d bytes at the door", m, b)
	}
}

// Publishers do not wait for their receipts here, so only the hub's own order
// keeps the loops alike.
func TestOrderIsTheSameOnAllLoops(t *testing.T) {
	const publishers, messages = 8, 300
	hub, loops, stop := newHub(t, 4, 4, 1<<14)
	names := []string{"a", "b", "c"}
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range messages {
				name := names[(p+i)%len(names)]
				if _, err := hub.Publish([]byte(name), fmt.Appendf(nil, "%d %d", p, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stop()
	for _, name := range names {
		var first []string
		for i, l := range loops {
			var seen []string
			next := map[string]int{}
			for _, line := range l.seen {
				if rest, ok := strings.CutPrefix(line, name+" "); ok {
					seen = append(seen, rest)
					var number int
					publisher, text, _ := strings.Cut(rest, " ")
					fmt.Sscan(text, &number)
					if number < next[publisher] {
						t.Fatalf("loop %d: publisher %s's %d comes after %d", i, publisher, number, next[publisher]-1)
					}
					next[publisher] = number + 1
				}
			}
			if i == 0 {
				first = seen
			} else if !slices.Equal(seen, first) {
				t.Errorf("loops 0 and %d have another order in %q", i, name)
			}
			if len(seen) != publishers*messages/len(names) {
				t.Errorf("loop %d got %d messages to %q", i, len(seen), name)
			}
		}
	}
}

// A full mailbox makes publishers wait; nothing is lost or posted twice.
func TestFullMailboxMakesPublishersWait(t *testing.T) {
	hub, loops, stop := newHub(t, 2, 1, 1)
	release := make(chan struct{})
	loops[1].mailbox <- &poller.Letter{Body: func() { <-release }}
	const messages = 50
	published := make(chan int)
	go func() {
		for i := range messages {
			receipt, err := hub.Publish([]byte("c"), fmt.Append(nil, i))
			if err != nil {
				t.Error(err)
			}
			if i == messages-1 {
				receipt.Wait()
			}
		}
		close(published)
	}()
	// The other loop may be full for a moment, too: that is not what is meant.
	for loops[1].refused.Load() == 0 {
		select {
		case <-published:
			t.Fatal("nobody waited for a loop that takes no letters")
		default:
		}
	}
	close(release)
	<-published
	stop()
	var want []string
	for i := range messages {
		want = append(want, fmt.Sprint("c f:", i))
	}
	for i, l := range loops {
		if !slices.Equal(l.seen, want) {
			t.Errorf("loop %d got %q", i, l.seen)
		}
	}
	if hub.Stats().Waits.Load() == 0 {
		t.Error("a post was refused, and no wait was counted")
	}
}

// A fullLoop wants one channel, whose hash it is told, and takes no letters until it is
// released.
type fullLoop struct {
	wants    uint32
	released atomic.Bool
	seen     []string // by one publisher at a time, under the channel's lock
}

func (l *fullLoop) Wants(hash uint32) bool { return hash == l.wants }

func (l *fullLoop) Post(letter *poller.Letter) bool {
	if !l.released.Load() {
		return false
	}
	message := letter.Body.(*Message)
	l.seen = append(l.seen, string(message.frame))
	message.receipt.Settle(1)
	return true
}

// A loop whose mailbox is full holds up who publishes to a channel that it wants, in
// their order, and nobody else.
func TestFullMailboxHoldsUpItsOwnChannels(t *testing.T) {
	full, other := &fullLoop{wants: hashName([]byte("hot"))}, &instantLoop{}
	hub := NewHub([]Poster{full, other}, HubConfig{Frame: bytes.Clone, PayloadBytesMax: 100, Now: func() int64 { return 0 }})
	var hot sync.WaitGroup
	for i := range 3 {
		hot.Go(func() {
			if receipt, err := hub.Publish([]byte("hot"), fmt.Append(nil, i)); err != nil || receipt.Wait() != 2 {
				t.Error(err)
			}
		})
	}
	for hub.Stats().Waits.Load() == 0 {
		runtime.Gosched()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 * orderBuckets {
			name := fmt.Sprint("other ", i)
			if receipt, err := hub.Publish([]byte(name), nil); err != nil || receipt.Wait() != 1 {
				t.Error(err)
			}
			if counts := hub.Count([]string{name}); counts[0] != 1 {
				t.Errorf("%s has %d members", name, counts[0])
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(patience.Guard):
		t.Fatal("a loop that is full held up who publishes to channels that it does not want")
	}
	if n := other.letters.Load(); n != 2*100*orderBuckets {
		// The first of hot is at the full loop before it comes to the other.
		t.Errorf("the other loop has %d letters", n)
	}
	full.released.Store(true)
	hot.Wait()
	if len(full.seen) != 3 {
		t.Errorf("the full loop got %q", full.seen)
	}
}

func TestTooBigIsNotPosted(t *testing.T) {
	hub, loops, stop := newHub(t, 1, 1, 8)
	receipt, err := hub.Publish([]byte("c"), make([]byte, 101))
	var tooBig ErrTooBig
	if receipt != nil || !errors.As(err, &tooBig) || tooBig != (ErrTooBig{101, 100}) || !strings.Contains(err.Error(), "101 bytes") {
		t.Errorf("%v, %v", receipt, err)
	}
	if _, err := hub.Publish([]byte("c"), make([]byte, 100)); err != nil {
		t.Error(err)
	}
	stop()
	if n := len(loops[0].seen); n != 1 || hub.Stats().TooBig.Load() != 1 || hub.Stats().Messages.Load() != 1 {
		t.Errorf("%d letters, %d too big, %d messages", n, hub.Stats().TooBig.Load(), hub.Stats().Messages.Load())
	}
}

func TestNames(t *testing.T) {
	hub, loops, stop := newHub(t, 1, 1, 8)
	for name, valid := range map[string]bool{
		"": false, "a": true, "-": true, "-/": false, "-/health": false, "/-/": true, "--/": true,
		strings.Repeat("n", 255): true, strings.Repeat("n", 256): false,
		strings.Repeat("ü", 127): true, strings.Repeat("ü", 128): false,
		"\xff": false, "a\x00b": true, "a b": true,
	} {
		if ValidName([]byte(name)) != valid {
			t.Errorf("ValidName(%.20q) is %v", name, !valid)
		}
		var err error
		loops[0].on(func() {
			err = loops[0].host.registry.Subscribe(1, []byte(name))
			loops[0].host.registry.Unsubscribe(1)
		})
		if (err == nil) != valid || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("subscribe to %.20q: %v", name, err)
		}
		receipt, err := hub.Publish([]byte(name), []byte("x"))
		if err != nil || receipt.Wait() != 0 {
			t.Errorf("publish to %.20q: %d members, %v", name, receipt.Wait(), err)
		}
	}
	stop()
	if n := len(loops[0].seen); n != 8 {
		t.Errorf("%d messages were posted for 8 names that somebody could subscribe to", n)
	}
}

// Publish keeps neither the name nor the payload.
func TestPublishKeepsNothing(t *testing.T) {
	hub, loops, stop := newHub(t, 1, 1, 8)
	loops[0].on(func() { loops[0].host.subscribe("name", 1) })
	name, payload := []byte("name"), []byte("payload")
	receipt, _ := hub.Publish(name, payload)
	copy(name, "XXXX")
	copy(payload, "XXXXXXX")
	if n := receipt.Wait(); n != 1 {
		t.Errorf("%d members", n)
	}
	stop()
	loops[0].host.wantStream(1, "f:payload")
}

func TestChannels(t *testing.T) {
	const each = 3 * listedCellsPerTurnMax
	hub, loops, stop := newHub(t, 2, each, 64)
	for i, l := range loops {
		l.on(func() {
			for fd := uint32(1); fd <= each; fd++ {
				// Half of the names are on both loops; lengths of all classes.
				l.host.subscribe(fmt.Sprint("n", fd+uint32(i)*each/2, strings.Repeat("x", int(fd+uint32(i)*each/2)%200)), fd)
			}
		})
	}
	anything := func(string) bool { return true }
	names := hub.Channels(anything, 1<<62)
	distinct := map[string]bool{}
	for _, l := range loops {
		l.on(func() { l.host.cellsInUse(func(_ ref, c *cell) { distinct[string(c.name())] = true }) })
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] || !distinct[name] {
			t.Fatalf("%q is listed, before %v", name, seen[name])
		}
		seen[name] = true
	}
	if len(names) != len(distinct) || len(names) != each*3/2 {
		t.Errorf("%d names, want %d", len(names), len(distinct))
	}
	if names = hub.Channels(anything, 10); len(names) != 10 {
		t.Errorf("%d names of at most 10", len(names))
	}
	if names = hub.Channels(anything, 0); len(names) != 0 {
		t.Errorf("%d names of at most none", len(names))
	}
	if names = hub.Channels(func(name string) bool { return strings.HasPrefix(name, "n77x") }, 100); len(names) != 1 {
		t.Errorf("names with one prefix: %q", names)
	}
	stop()
	for _, l := range loops {
		if len(l.host.registry.listings) != 0 {
			t.Error("a listing is left")
		}
	}
}

// While channels come and go, those that stay are listed, each once, and a
// turn looks at no more cells than its limit.
func TestChannelsWhileTheyComeAndGo(t *testing.T) {
	const stay, move = 5000, 5000
	h := newHost(t, roomy, stay+move)
	for fd := uint32(1); fd <= stay; fd++ {
		h.subscribe(fmt.Sprint("stay", fd), fd)
	}
	looked := 0
	match := func(name string) bool { looked++; return strings.HasPrefix(name, "stay") }
	first, second := &listing{match: match, max: 1 << 62}, &listing{match: match, max: 100}
	for _, ask := range []*listing{first, second} {
		ask.done.Add(1)
		h.registry.Letter(&listingOfLoop{listing: ask})
	}
	for turn := 0; ; turn++ {
		looked = 0
		more := h.registry.Work()
		if looked > listedCellsPerTurnMax {
			t.Fatalf("a turn looked at %d names", looked)
		}
		if !more {
			break
		}
		for i := range uint32(700) {
			fd := stay + 1 + (uint32(turn)*700+i)%move
			h.registry.Unsubscribe(fd)
			h.subscribe(fmt.Sprint("move", turn, "/", i), fd)
		}
	}
	first.done.Wait()
	second.done.Wait()
	seen := map[string]bool{}
	for _, batch := range first.batches {
		if len(batch) > listedCellsPerTurnMax {
			t.Errorf("a batch of %d", len(batch))
		}
		for _, name := range batch {
			if seen[name] {
				t.Fatalf("%q twice", name)
			}
			seen[name] = true
		}
	}
	if len(seen) != stay || len(second.batches) != 1 || len(second.batches[0]) != 100 {
		t.Errorf("%d of %d listed; the second got %d batches", len(seen), stay, len(second.batches))
	}
}

func TestLetterOfAnotherRoom(t *testing.T) {
	h := newHost(t, roomy, 1)
	if h.registry.Letter("a string") {
		t.Error("the registry took what it does not know")
	}
}

func TestSubscribeTwiceIsABug(t *testing.T) {
	h := newHost(t, roomy, 1)
	h.subscribe("c", 1)
	defer func() {
		if fault := recover(); fault == nil || !strings.HasPrefix(fmt.Sprint(fault), "BUG:") {
			t.Errorf("recovered %v", fault)
		}
	}()
	_ = h.registry.Subscribe(1, []byte("d"))
}

func TestCauseNames(t *testing.T) {
	seen := map[string]bool{}
	for cause := range causes {
		if name := cause.String(); name == "" || seen[name] {
			t.Errorf("cause %d is called %q", cause, name)
		} else {
			seen[name] = true
		}
	}
}
