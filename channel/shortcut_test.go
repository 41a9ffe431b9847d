package channel

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"c10m/poller"
)

// A desk is a loop that the test is the thread of: what it is posted waits until read.
type desk struct {
	*Registry
	letters []*poller.Letter
	isFull  bool // its mailbox is
	isBusy  bool // its handler takes no letters
	handed  int  // messages that it got in the turn in which they were published
}

func (d *desk) Post(letter *poller.Letter) bool {
	if !d.isFull {
		d.PostAnyway(letter)
	}
	return !d.isFull
}
func (d *desk) HasRoom() bool                    { return !d.isFull }
func (d *desk) PostAnyway(letter *poller.Letter) { d.letters = append(d.letters, letter) }
func (d *desk) TakesLetters() bool               { return len(d.letters) == 0 && !d.isBusy }
func (d *desk) Letter(body any)                  { d.handed++; d.Registry.Letter(body) }

func (d *desk) read() {
	for _, letter := range d.letters {
		d.Registry.Letter(letter.Body)
	}
	d.letters = nil
}

// desks are three loops, of which the first two have two members of news and one.
func desks(t *testing.T) (all []*desk, hub *Hub, way *Shortcut) {
	var posters []Poster
	var homes []Home
	for range 3 {
		d := &desk{Registry: newHost(t, roomy, 8).registry}
		all, posters, homes = append(all, d), append(posters, d), append(homes, d)
	}
	hub = NewHub(posters, HubConfig{
		Frame: bytes.Clone, PayloadBytesMax: 100, Now: func() int64 { return 0 }, History: NewHistory(HistoryConfig{Messages: 10}),
	})
	for i, members := range []uint32{2, 1, 0} {
		for fd := range members {
			if err := all[i].Subscribe(fd+1, []byte("news")); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all, hub, hub.Shortcuts(homes)[0]
}

// In a turn the loop has its message, the others a letter, and the publisher the number of
// all connections, the id, and a place in the history.
func TestShortcut(t *testing.T) {
	loops, hub, way := desks(t)
	sent, ok := way.Publish([]byte("news"), []byte("hello"))
	if !ok || sent.Connections != 3 || sent.ID() != string(hub.appendPosition(nil, 1)) {
		t.Fatalf("%+v %v", sent, ok)
	}
	if loops[0].handed != 1 || len(loops[0].letters) != 0 || len(loops[1].letters) != 1 || len(loops[2].letters) != 0 {
		t.Errorf("handed over %d, letters %d, %d and %d", loops[0].handed, len(loops[0].letters), len(loops[1].letters), len(loops[2].letters))
	}
	kept, isWhole := hub.config.History.since([]byte("news"), hashName([]byte("news")), 0, 0, 0)
	if len(kept) != 1 || !isWhole || string(kept[0].Payload()) != "hello" {
		t.Errorf("the history has %v", kept)
	}
	if sent, ok := way.Publish([]byte("nobody"), nil); !ok || sent.Connections != 0 {
		t.Errorf("to a channel of nobody: %+v %v", sent, ok)
	}
	s := hub.Stats()
	if s.Messages.Load() != 2 || s.Shortcuts.Load() != 2 || s.Bytes.Load() != 5 || s.Spared.Load() != 1+3 {
		t.Errorf("counted: %d %d %d %d", s.Messages.Load(), s.Shortcuts.Load(), s.Bytes.Load(), s.Spared.Load())
	}
}

// A message is not handed over before letters that were posted before it.
func TestShortcutKeepsBehindLetters(t *testing.T) {
	loops, hub, way := desks(t)
	if _, err := hub.Publish([]byte("news"), []byte("first")); err != nil {
		t.Fatal(err)
	}
	if _, ok := way.Publish([]byte("news"), []byte("second")); !ok || loops[0].handed != 0 || len(loops[0].letters) != 2 {
		t.Errorf("handed over %d, and %d letters", loops[0].handed, len(loops[0].letters))
	}
	loops[0].read()
	loops[0].isBusy = true
	if _, ok := way.Publish([]byte("news"), []byte("third")); !ok || loops[0].handed != 0 {
		t.Error("a loop that takes no letters is handed one")
	}
}

// What has to wait is not begun: no loop has a part of it, and no number is used.
func TestShortcutIsAllOrNothing(t *testing.T) {
	name := []byte("news")
	for what, prevent := range map[string]func(loops []*desk, hub *Hub) (payload []byte, end func()){
		"a full mailbox":       func(loops []*desk, _ *Hub) ([]byte, func()) { loops[1].isFull = true; return nil, nil },
		"its own full mailbox": func(loops []*desk, _ *Hub) ([]byte, func()) { loops[0].isFull = true; return nil, nil },
		"another publisher":    func(_ []*desk, hub *Hub) ([]byte, func()) { return nil, hub.order.Lock(name).Unlock },
		"an interruption":      func(_ []*desk, hub *Hub) ([]byte, func()) { hub.cut.Lock(); return nil, hub.cut.Unlock },
		"a busy history": func(_ []*desk, hub *Hub) ([]byte, func()) {
			hub.config.History.mu.Lock()
			return nil, hub.config.History.mu.Unlock
		},
		"a long payload":  func([]*desk, *Hub) ([]byte, func()) { return make([]byte, 101), nil },
		"a busy index":    func(loops []*desk, _ *Hub) ([]byte, func()) { loops[1].index.version.Add(1); return nil, nil },
		"a reserved name": nil,
	} {
		loops, hub, way := desks(t)
		to, payload, end := name, []byte(nil), func() {}
		if prevent == nil {
			to = []byte("-/x")
		} else if p, e := prevent(loops, hub); true {
			payload = p
			if e != nil {
				end = e
			}
		}
		_, ok := way.Publish(to, payload)
		end()
		if ok || loops[0].handed+len(loops[0].letters)+len(loops[1].letters) != 0 || hub.number.Load() != 0 || hub.Stats().Messages.Load() != 0 {
			t.Errorf("%s: published %v, number %d", what, ok, hub.number.Load())
		}
		loops[1].isFull, loops[0].isFull = false, false
		if _, ok := way.Publish(name, nil); !ok && what != "a busy index" {
			t.Errorf("%s: the channel is locked for ever", what)
		}
	}
}

// The members of a channel are counted right by others while the loop's index grows,
// shrinks and changes.
func TestMembersAreCountedBesideChanges(t *testing.T) {
	const channels, members = 3000, 5
	r := newHost(t, roomy, members+channels+1).registry
	for fd := range uint32(members) {
		r.Subscribe(fd+1, []byte("news"))
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	var known, unknown atomic.Int64
	for range 2 {
		readers.Go(func() {
			for !stop.Load() {
				switch n, isKnown := r.MembersOf([]byte("news"), hashName([]byte("news"))); {
				case !isKnown:
					unknown.Add(1)
				case n != members:
					t.Errorf("%d members are counted", n)
					return
				default:
					known.Add(1)
				}
			}
		})
	}
	for round := 0; round < 20 || known.Load() < 1000; round++ {
		for i := range uint32(channels) {
			r.Subscribe(members+1+i, fmt.Appendf(nil, "channel %d of %d", i, round))
		}
		for i := range uint32(channels) {
			r.Unsubscribe(members + 1 + i)
		}
		time.Sleep(time.Millisecond) // for readers that are never lucky
	}
	stop.Store(true)
	readers.Wait()
	t.Logf("known %d times, too busy %d times", known.Load(), unknown.Load())
	if n, isKnown := r.MembersOf([]byte("nobody"), hashName([]byte("nobody"))); n != 0 || !isKnown {
		t.Errorf("nobody has %d members", n)
	}
}
