package channel

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/poller"
)

// A picky loop wants what its registry has.
type pickyLoop struct {
	*Registry
	letters atomic.Int64
}

func (l *pickyLoop) Post(letter *poller.Letter) bool {
	l.letters.Add(1)
	return l.Registry.Letter(letter.Body)
}

func TestOnlyLoopsWithTheChannelArePostedTo(t *testing.T) {
	var loops []*pickyLoop
	var posters []Poster
	for range 8 {
		l := &pickyLoop{Registry: newHost(t, roomy, 4).registry}
		loops, posters = append(loops, l), append(posters, l)
	}
	hub := NewHub(posters, HubConfig{
		Frame: func(p []byte) []byte { return append([]byte("f"), p...) }, PayloadBytesMax: 100, Now: func() int64 { return 0 },
	})
	loops[3].Subscribe(1, []byte("news"))
	loops[5].Subscribe(1, []byte("news"))
	loops[5].Subscribe(2, []byte("sport"))
	for _, c := range []struct {
		name  string
		posts map[int]int64
	}{{"news", map[int]int64{3: 1, 5: 1}}, {"sport", map[int]int64{5: 1}}, {"nobody", nil}} {
		for _, l := range loops {
			l.letters.Store(0)
		}
		receipt, err := hub.Publish([]byte(c.name), []byte("x"))
		if err != nil || receipt.Wait() != len(c.posts) {
			t.Fatalf("%s: %d members, %v", c.name, receipt.Wait(), err)
		}
		for i, l := range loops {
			if l.letters.Load() != c.posts[i] {
				t.Errorf("%s: loop %d got %d letters", c.name, i, l.letters.Load())
			}
		}
	}
	if n := hub.Stats().Spared.Load(); n != 6+7+8 {
		t.Errorf("%d posts spared", n)
	}
	loops[5].Unsubscribe(2)
	if loops[5].Wants(hashName([]byte("sport"))) {
		t.Error("a loop wants a channel whose last member left")
	}
}

// Messages without a payload fill a log, too.
func TestEmptyMessagesAreNotFree(t *testing.T) {
	h := newHost(t, Config{LogBytes: 64 << 10, LogAge: time.Hour, LogBytesTotal: 1 << 30}, 4)
	h.subscribe("news", 1)
	h.peers[1].room = 0
	hub := NewHub([]Poster{&pickyLoop{Registry: h.registry}}, HubConfig{
		Frame: func(p []byte) []byte { return append([]byte{0x81, byte(len(p))}, p...) }, PayloadBytesMax: 100, Now: h.Now,
	})
	const fitting = 64 << 10 / (messageBytesExtra + 2) // a frame has 2 bytes
	for range fitting {
		hub.Publish([]byte("news"), nil)
		h.turn()
	}
	if n := h.registry.stats.Overruns[OverBytes].Load(); n != 0 {
		t.Fatal("overrun within the limit")
	}
	for range 4 {
		hub.Publish([]byte("news"), nil)
		h.turn()
	}
	if n := h.registry.stats.Overruns[OverBytes].Load(); n != 1 {
		t.Fatalf("%d overruns of a reader who is owed %d empty messages", n, fitting+4)
	}
}

// While a loop inserts and removes channels without a pause, so that buckets
// split and join and cells are reused under the readers' eyes, no publisher may
// miss a channel that is there all the time.
func TestWantsWhileTheIndexChanges(t *testing.T) {
	const steady, churned, rounds = 500, 20_000, 20
	cells := &cells{}
	cells.init()
	x := &index{}
	x.init(cells)
	insert := func(name string) ref {
		r, _ := cells.make([]byte(name), hashName([]byte(name)))
		x.insert(r)
		return r
	}
	var hashes []uint32
	for i := range steady {
		name := fmt.Sprintf("steady channel %d", i)
		insert(name)
		hashes = append(hashes, hashName([]byte(name)))
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	var missed, absent, extra atomic.Int64
	for reader := range 2 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for i := reader; !stop.Load(); i++ {
				if !x.has(hashes[i%steady]) {
					missed.Add(1)
				}
				absent.Add(1)
				if x.has(hashes[i%steady] ^ 0x9e3779b9) {
					extra.Add(1)
				}
			}
		}()
	}
	refs := make([]ref, churned)
	for range rounds {
		for i := range refs {
			refs[i] = insert(fmt.Sprintf("churned %d", i))
		}
		for _, r := range refs {
			x.remove(r)
			cells.release(r)
		}
	}
	stop.Store(true)
	readers.Wait()
	if missed.Load() != 0 {
		t.Fatalf("%d times a channel that was there was not seen", missed.Load())
	}
	t.Logf("%d questions for absent channels, %d answered yes", absent.Load(), extra.Load())
	for _, hash := range hashes {
		if x.has(hash ^ 0x9e3779b9) {
			t.Fatal("an absent channel is wanted by an index at rest")
		}
	}
}

func BenchmarkWants(b *testing.B) {
	registry := newHost(b, roomy, 4).registry
	registry.Subscribe(1, []byte("news"))
	hash := hashName([]byte("news"))
	b.ReportAllocs()
	for b.Loop() {
		if !registry.Wants(hash) {
			b.Fatal("not wanted")
		}
	}
}
