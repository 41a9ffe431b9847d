package channel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/poller"
)

// An askingLoop is a door that keeps the letters.
type askingLoop struct {
	mu      sync.Mutex
	letters []any
	came    *sync.Cond
}

func newAskingLoop() *askingLoop {
	l := &askingLoop{}
	l.came = sync.NewCond(&l.mu)
	return l
}

func (l *askingLoop) Wants(uint32) bool { return true }

func (l *askingLoop) Post(letter *poller.Letter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if message, ok := letter.Body.(*Message); ok && message.receipt != nil {
		message.receipt.Settle(0)
	}
	l.letters = append(l.letters, letter.Body)
	l.came.Broadcast()
	return true
}

// answer waits for the answer to a question and takes it out.
func (l *askingLoop) answer(id uint64) *Answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for i, letter := range l.letters {
			if a, ok := letter.(*Answer); ok && a.ID == id {
				l.letters = slices.Delete(l.letters, i, i+1)
				return a
			}
		}
		l.came.Wait()
	}
}

// A past world is a hub with a history and a clock that the test moves.
type pastWorld struct {
	tb      testing.TB
	now     int64
	loop    *askingLoop
	history *History
	hub     *Hub
	asked   uint64
}

func newPast(tb testing.TB, config HistoryConfig) *pastWorld {
	w := &pastWorld{tb: tb, loop: newAskingLoop(), history: NewHistory(config)}
	w.hub = NewHub([]Poster{w.loop}, HubConfig{
		Frame:           func(p []byte) []byte { return append([]byte("f"), p...) },
		PayloadBytesMax: 1 << 20, Now: func() int64 { return w.now }, History: w.history,
	})
	return w
}

func (w *pastWorld) publish(name, payload string) (id string) {
	w.tb.Helper()
	receipt, err := w.hub.Publish([]byte(name), []byte(payload))
	if err != nil {
		w.tb.Fatal(err)
	}
	return receipt.ID()
}

// ask returns what a channel got since a position, and where it stands.
func (w *pastWorld) ask(name, since string) (payloads []string, gone bool, position string) {
	w.asked++
	w.history.Ask(Question{Door: w.loop, ID: w.asked, Name: []byte(name), Since: []byte(since)})
	a := w.loop.answer(w.asked)
	for _, m := range a.Messages {
		payloads = append(payloads, string(m.Payload()))
	}
	return payloads, a.Gone, string(a.AppendPosition(nil))
}

func (w *pastWorld) want(name, since string, gone bool, payloads ...string) {
	w.tb.Helper()
	got, isGone, _ := w.ask(name, since)
	if isGone != gone || !slices.Equal(got, payloads) {
		w.tb.Errorf("%q since %s: %q gone %v, want %q gone %v", name, since, got, isGone, payloads, gone)
	}
}

func TestHistoryContinuesAPosition(t *testing.T) {
	w := newPast(t, HistoryConfig{Messages: 3})
	_, _, start := w.ask("a", "")
	one := w.publish("a", "1")
	w.publish("b", "other")
	two := w.publish("a", "2")
	w.want("a", start, false, "1", "2")
	w.want("a", one, false, "2")
	w.want("a", two, false)
	w.want("a", SinceFirst, false, "1", "2")
	w.publish("a", "3")
	w.publish("a", "4") // drops 1
	w.want("a", one, false, "2", "3", "4")
	w.want("a", start, true)
	w.want("a", SinceFirst, false, "2", "3", "4")
	w.want("never", start, false)
	if got := w.hub.stats.HistoryDroppedCount.Load(); got != 1 {
		t.Errorf("%d dropped", got)
	}
}

func TestPositionsThatMeanNothingHere(t *testing.T) {
	w := newPast(t, HistoryConfig{Messages: 3})
	here := w.publish("a", "1")
	other := newPast(t, HistoryConfig{Messages: 3}).publish("a", "1")
	for _, since := range []string{other, "nonsense", "-", "-1", "1", strings.ToUpper(here), here + "0", here + "x", here[:lifeBytes] + "-99999999999999999999999"} {
		w.want("a", since, true)
	}
}

// A poll takes the oldest that it lacks, and comes back for the rest.
func TestHistoryGivesThePartThatIsAskedFor(t *testing.T) {
	w := newPast(t, HistoryConfig{Messages: 10})
	for i := range 5 {
		w.publish("a", fmt.Sprint(i))
	}
	w.history.Ask(Question{Door: w.loop, ID: 99, Name: []byte("a"), Since: []byte(SinceFirst), Max: 2})
	a := w.loop.answer(99)
	if len(a.Messages) != 2 || string(a.Messages[0].Payload()) != "0" || a.Gone {
		t.Errorf("%d messages, gone %v", len(a.Messages), a.Gone)
	}
}

// Without a history a position is good as long as nothing was published at all.
func TestHistoryOff(t *testing.T) {
	w := newPast(t, HistoryConfig{})
	position := w.publish("a", "1")
	w.want("a", position, false)
	w.publish("a", "2")
	w.want("a", position, true)
	w.want("a", SinceFirst, false)
	if got := w.hub.stats.HistoryMessages.Load(); got != 0 {
		t.Errorf("%d messages are kept", got)
	}
}

func TestHistoryAge(t *testing.T) {
	w := newPast(t, HistoryConfig{Messages: 10, Age: time.Minute})
	_, _, start := w.ask("a", "")
	first := w.publish("a", "1")
	w.now += int64(40 * time.Second)
	second := w.publish("a", "2")
	w.now += int64(40 * time.Second)
	w.want("a", start, true)
	w.want("a", first, false, "2")
	w.now += int64(40 * time.Second)
	w.want("a", first, true)
	w.want("a", second, false)
	if n := len(w.history.channels); n != 0 || w.history.oldest != nil || w.history.newest != nil || w.history.bytes != 0 {
		t.Errorf("%d channels and %d bytes are kept of nothing", n, w.history.bytes)
	}
	// A channel that begins anew knows what was dropped before.
	w.publish("a", "3")
	w.want("a", first, true)
	w.want("a", second, false, "3")
}

// What did not come to the hub is in no history: a position from before is gone,
// also one behind the latest message, and one from after is not.
func TestHistoryDoesNotContinueOverAnInterruption(t *testing.T) {
	w := newPast(t, HistoryConfig{Messages: 10})
	one := w.publish("a", "1")
	two := w.publish("a", "2")
	_, _, before := w.ask("b", "")
	w.hub.Interrupted(0)
	w.want("a", one, true)
	w.want("a", two, true)
	w.want("b", before, true)
	_, gone, after := w.ask("a", two)
	if !gone {
		t.Error("it is not gone")
	}
	w.want("a", after, false)
	three := w.publish("a", "3")
	w.want("a", after, false, "3")
	w.want("a", two, true)
	w.want("a", three, false)
	w.want("a", SinceFirst, false, "3") // 2 and 3 do not belong together
	w.hub.Interrupted(0)
	w.want("a", three, true)
}

func TestHistoryBytesTotal(t *testing.T) {
	cost := messageBytesExtra + keptBytesExtra + 2
	w := newPast(t, HistoryConfig{Messages: 10, BytesTotal: 3 * cost})
	w.publish("a", "1")
	two := w.publish("b", "2")
	w.publish("a", "3")
	w.publish("c", "4") // drops a's 1
	w.want("a", SinceFirst, false, "3")
	w.publish("c", "5") // drops b's 2
	w.want("b", SinceFirst, false)
	w.want("b", two, false)
	if got := w.hub.stats.HistoryBytes.Load(); got != int64(3*cost) {
		t.Errorf("%d bytes are kept, want %d", got, 3*cost)
	}
}

// Random channels, limits and positions against a list of all that was published:
// an answer is either whole, or gone.
func TestHistoryAgainstAList(t *testing.T) {
	type published struct{ name, id, payload string }
	random := rand.New(rand.NewPCG(1, rand.Uint64()))
	gone, whole := 0, 0
	for range 20 {
		w := newPast(t, HistoryConfig{Messages: 1 + random.IntN(20), Age: time.Duration(random.IntN(2)) * time.Minute, BytesTotal: random.IntN(2) * 20_000})
		names := []string{"a", "b", "c", "d"}
		var all []published
		_, _, start := w.ask("a", "")
		for i := range 300 {
			w.now += int64(random.IntN(4)) * int64(time.Second)
			name := names[random.IntN(1+random.IntN(4))]
			all = append(all, published{name, w.publish(name, fmt.Sprint(i)), fmt.Sprint(i)})
			from := random.IntN(len(all)+1) - 1
			since := start
			if from >= 0 {
				since = all[from].id
			}
			name = names[random.IntN(4)]
			var want []string
			for _, p := range all[from+1:] {
				if p.name == name {
					want = append(want, p.payload)
				}
			}
			got, isGone, position := w.ask(name, since)
			switch {
			case isGone && len(got) > 0:
				t.Fatal("a part of what was asked for")
			case isGone:
				gone++
			case !slices.Equal(got, want):
				t.Fatalf("%q since %s: %q, want %q", name, since, got, want)
			default:
				whole++
			}
			if position != all[len(all)-1].id {
				t.Fatalf("the channel stands at %s, and the latest message is %s", position, all[len(all)-1].id)
			}
		}
	}
	if gone < 100 || whole < 100 {
		t.Errorf("%d were gone and %d whole: the test looks at one side only", gone, whole)
	}
}

// While others publish, an answer stands where it belongs: what comes before it in
// the mailbox is in it, what comes after is not.
func TestAnswersStandBetweenMessages(t *testing.T) {
	w := newPast(t, HistoryConfig{Messages: 100_000})
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for range 500 {
				w.hub.Publish([]byte("a"), []byte("m"))
			}
		})
	}
	for id := range uint64(200) {
		w.history.Ask(Question{Door: w.loop, ID: id + 1, Name: []byte("a"), Since: []byte(SinceFirst)})
	}
	publishers.Wait()
	for w.history.asking.busy() {
		time.Sleep(time.Millisecond)
	}
	before, answers := 0, 0
	for _, letter := range w.loop.letters {
		switch letter := letter.(type) {
		case *Message:
			before++
		case *Answer:
			answers++
			if len(letter.Messages) != before {
				t.Fatalf("an answer has %d messages and stands behind %d", len(letter.Messages), before)
			}
		}
	}
	if answers != 200 || before != 2000 {
		t.Errorf("%d answers and %d messages", answers, before)
	}
}

func (a *questions) busy() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answering
}

func TestCatchUp(t *testing.T) {
	h := newHost(t, roomy, 2)
	h.subscribe("c", 1, 2)
	h.registry.Hold(1)
	for _, swept := range []bool{false, true} { // behind, and blocked
		h.publish("c", []byte("old"))
		if swept {
			h.turn()
		}
		h.registry.CatchUp(1)
		h.check()
	}
	h.publish("c", []byte("new"))
	h.settle()
	h.wantStream(1, "")
	h.registry.Release(1)
	h.settle()
	h.wantStream(1, "new")
	h.wantStream(2, "oldoldnew")
	h.check()
}

// Released with a full socket, a member waits for room.
func TestReleaseWaitsForRoom(t *testing.T) {
	h := newHost(t, roomy, 1)
	h.subscribe("c", 1)
	h.registry.Hold(1)
	h.publish("c", []byte("message"))
	h.turn()
	h.peers[1].room = 0
	h.registry.Release(1)
	h.check()
	h.peers[1].room = plenty
	h.settle()
	h.wantStream(1, "message")
}
