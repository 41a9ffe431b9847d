package channel

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An interruption stands in every loop's mailbox at the same place among the messages,
// and no position from before it continues, whatever is asked and published meanwhile.
func TestInterruptionIsOneCut(t *testing.T) {
	w := newPast(t, HistoryConfig{Messages: 10})
	w.hub.loops = append(w.hub.loops, newAskingLoop(), newAskingLoop())
	stop := make(chan struct{})
	for i := range 3 {
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					w.hub.Publish([]byte(fmt.Sprint(i, n%5)), nil)
				}
			}
		}()
	}
	for range 20 {
		time.Sleep(time.Millisecond)
		_, _, position := w.ask("quiet", "")
		w.hub.Interrupted(0)
		w.want("quiet", position, true)
		w.want("quiet", SinceFirst, false)
	}
	close(stop)
	for i, poster := range w.hub.loops {
		loop := poster.(*askingLoop)
		loop.mu.Lock()
		cut := uint64(0)
		for _, letter := range loop.letters {
			switch letter := letter.(type) {
			case *Interruption:
				cut = letter.number
			case *Message:
				if letter.number < cut {
					t.Fatalf("loop %d: message %d comes behind interruption %d", i, letter.number, cut)
				}
			}
		}
		loop.mu.Unlock()
	}
}

// A cutWorld is a channel of a registry with interruptions, and what its members are
// to get.
type cutWorld struct {
	*host
	random  *rand.Rand
	seed    uint64
	number  uint64
	all     []uint64 // messages of the channel
	members map[uint32]*cutMember
	round   *Round
	untold  []uint32 // of that round, to be told
}

type cutMember struct {
	got  []uint64
	from uint64 // whatever was published later is due
	cut  uint64 // the first interruption of which it is untold; 0 is none
	rest string // of a frame
}

func (w *cutWorld) failf(format string, a ...any) {
	w.tb.Helper()
	w.tb.Fatalf("INTERRUPTION_SEED=%d: %s", w.seed, fmt.Sprintf(format, a...))
}

// read takes what a member got, and checks that nothing is from behind an
// interruption that it does not know of, and that nothing is lacking in between.
func (w *cutWorld) read(fd uint32) {
	m := w.members[fd]
	frames := strings.Split(m.rest+w.stream(fd), ",")
	m.rest = frames[len(frames)-1]
	for _, frame := range frames[:len(frames)-1] {
		number, err := strconv.ParseUint(strings.Trim(frame, "."), 10, 64)
		if err != nil {
			w.failf("%d got %q", fd, frame)
		}
		if m.cut != 0 && number > m.cut {
			w.failf("%d got %d and is untold of %d", fd, number, m.cut)
		}
		last := m.from
		if len(m.got) > 0 {
			last = m.got[len(m.got)-1]
		}
		at, isThere := slices.BinarySearch(w.all, number)
		if !isThere || number <= last || len(m.got) > 0 && w.all[at-1] != last {
			w.failf("%d got %d after %d", fd, number, last)
		}
		m.got = append(m.got, number)
	}
}

func (w *cutWorld) tell(fd uint32) {
	w.read(fd)
	if w.registry.MidFrame(fd) {
		return // its owner would finish the frame before
	}
	w.registry.Hold(fd)
	w.registry.CatchUp(fd)
	w.registry.Told(fd)
	w.registry.Release(fd)
	*w.members[fd] = cutMember{from: w.number}
}

// flaps: there are more interruptions than walks come to an end.
func (w *cutWorld) flaps() bool { return w.seed%4 == 0 }

func (w *cutWorld) step() {
	fd := uint32(1 + w.random.IntN(len(w.peers)-1))
	m := w.members[fd]
	switch w.random.IntN(16) {
	case 0:
		if m == nil {
			w.peers[fd].room = plenty
			w.subscribe("news", fd)
			w.members[fd] = &cutMember{from: w.number}
		} else if w.random.IntN(3) == 0 && !w.registry.MidFrame(fd) {
			w.read(fd)
			w.registry.Unsubscribe(fd)
			delete(w.members, fd)
		}
	case 1, 2, 3:
		w.number++
		w.all = append(w.all, w.number)
		message := w.message("news", fmt.Appendf(nil, "%d%s,", w.number, strings.Repeat(".", w.random.IntN(20))), nil)
		message.number = w.number
		w.registry.Letter(message)
	case 4:
		w.number += 1 + uint64(w.random.IntN(3)) // of other channels, too
		if w.random.IntN(3) > 0 && !w.flaps() {
			return
		}
		for fd, m := range w.members {
			if w.read(fd); m.cut == 0 {
				m.cut = w.number
			}
		}
		w.registry.Interrupt(&Interruption{number: w.number})
	case 5:
		if m != nil {
			w.peers[fd].room = w.random.IntN(60)
		}
	case 6, 7:
		if m != nil {
			w.peers[fd].room += w.random.IntN(60)
		}
	case 8: // a walk
		switch {
		case w.flaps() && w.random.IntN(10) > 0:
		case w.round == nil:
			round := w.registry.BeginRound()
			w.round, w.untold = &round, nil
			for fd := range w.members {
				w.untold = append(w.untold, fd)
			}
		case len(w.untold) == 0:
			w.registry.EndRound(*w.round)
			w.round = nil
		}
	case 9, 10:
		if len(w.untold) > 0 {
			fd := w.untold[0]
			if w.members[fd] != nil && w.registry.Untold(fd) {
				if w.registry.MidFrame(fd) {
					w.peers[fd].room = plenty
					return
				}
				w.tell(fd)
			}
			w.untold = w.untold[1:]
		}
	default:
		w.turn()
		for _, fd := range w.interrupted {
			if w.members[fd] == nil || w.members[fd].cut == 0 && w.registry.interruptions.merges == w.registry.interruptions.merged {
				w.failf("%d is to be told, and there is nothing", fd)
			}
			if (w.random.IntN(2) == 0 || slices.Contains(w.atOnce, fd)) && w.registry.Untold(fd) {
				w.tell(fd)
			}
		}
		w.interrupted, w.atOnce = w.interrupted[:0], w.atOnce[:0]
		for fd := range w.members {
			w.read(fd)
		}
	}
}

// What was published after an interruption comes to nobody who is untold, what was
// published before it to everybody, and nothing is lost between two messages that
// somebody gets, with any number of interruptions, walks and slow readers.
func TestInterruptionsInRandomWorlds(t *testing.T) {
	seeds := []uint64{uint64(time.Now().UnixNano())}
	if text := os.Getenv("INTERRUPTION_SEED"); text != "" {
		seeds[0], _ = strconv.ParseUint(text, 10, 64)
	} else {
		for seed := range uint64(60) {
			seeds = append(seeds, seed)
		}
	}
	merges, passed := uint64(0), uint64(0)
	for _, seed := range seeds {
		w := &cutWorld{host: newHost(t, roomy, 8), seed: seed, random: rand.New(rand.NewPCG(seed, 0)), members: map[uint32]*cutMember{}}
		for range 3000 {
			w.step()
		}
		merges += w.registry.interruptions.merges
		passed += w.stats.Passed.Load()
		for fd := range w.members {
			w.peers[fd].room = plenty
		}
		w.settle()
		for fd, m := range w.members {
			w.read(fd)
			last := m.from
			if len(m.got) > 0 {
				last = m.got[len(m.got)-1]
			}
			for _, number := range w.all {
				if number > last && (m.cut == 0 || number < m.cut && number < w.registry.interruptions.first) && !w.registry.Untold(fd) {
					w.failf("%d did not get %d, only %d", fd, number, last)
				}
			}
		}
	}
	if merges == 0 || passed == 0 {
		t.Errorf("%d interruptions found no epoch, %d messages were passed over: the worlds are too tame", merges, passed)
	}
}
