package channel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// surveyed makes a survey and takes turns until it is done.
func (h *host) surveyed(match func(string) bool) (found Surveyed, turns int) {
	done := false
	h.registry.Survey(&Survey{Match: match, Done: func(f Surveyed) { found, done = f, true }})
	for more := true; !done; turns++ {
		if !more {
			h.tb.Fatal("Work does not ask for another turn, and the survey is not done")
		}
		more = h.registry.Work()
	}
	return found, turns
}

// A survey counts what matches and names the largest, in order, of channels with
// names of all size classes; channels that have gone are in none of it.
func TestSurveyNamesTheLargestChannels(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const channels = 300
	sizes := make(map[string]int)
	fd, total := uint32(1), 0
	h := newHost(t, roomy, 40*channels)
	for i := range channels {
		name := fmt.Sprintf("%c%s%d", 'a'+i%2, strings.Repeat("x", random.IntN(200)), i)
		members := 1 + random.IntN(30)
		h.subscribe(name, span(fd, fd+uint32(members)-1)...)
		if i%5 == 0 {
			for gone := range uint32(members) {
				h.registry.Unsubscribe(fd + gone)
			}
		} else {
			sizes[name] = members
		}
		fd += uint32(members)
	}
	for _, begin := range []string{"", "a", "z"} {
		matching := make(map[string]int)
		total = 0
		for name, members := range sizes {
			if strings.HasPrefix(name, begin) {
				matching[name] = members
				total += members
			}
		}
		found, _ := h.surveyed(func(name string) bool { return strings.HasPrefix(name, begin) })
		if found.Channels != len(matching) || found.Members != total || len(found.Largest) != min(len(matching), surveyLargestMax) {
			t.Errorf("%q: %d channels with %d members, %d named; want %d, %d", begin, found.Channels, found.Members, len(found.Largest), len(matching), total)
		}
		want := slices.Sorted(maps.Values(matching))
		slices.Reverse(want)
		for i, c := range found.Largest {
			if c.Members != want[i] || matching[c.Channel] != c.Members {
				t.Errorf("%q: number %d is %.20q with %d, want %d; it has %d", begin, i, c.Channel, c.Members, want[i], matching[c.Channel])
			}
			delete(matching, c.Channel) // twice would be wrong
		}
	}
}

// A survey looks at so many cells a turn, and others are served in between.
func TestASurveyIsDoneInSlices(t *testing.T) {
	h := idleChannels(t, 3*surveyCellsPerTurnMax)
	found, turns := h.surveyed(nil)
	if found.Channels != 3*surveyCellsPerTurnMax || turns < 3 {
		t.Errorf("%d channels in %d turns", found.Channels, turns)
	}
	if n := len(h.registry.surveys); n != 0 {
		t.Errorf("%d surveys are left", n)
	}
}

// Whatever is published, the counts are not too low, and too high by no more than
// they say; a channel with more than its share is there; and what few channels got
// is counted exactly.
func TestBusiestChannels(t *testing.T) {
	for _, channels := range []int{10, 10 * busyEntries} {
		random := rand.New(rand.NewPCG(3, uint64(channels)))
		h := newHost(t, roomy, 4*channels)
		name := func(i int) string { return fmt.Sprintf("channel %d", i) }
		for i := range channels {
			h.subscribe(name(i), span(uint32(4*i+1), uint32(4*i+1+i%4))...)
		}
		if busiest, nanos := h.registry.Busiest(); busiest != nil || nanos != 0 {
			t.Fatalf("%v in %d ns before anything was counted", busiest, nanos)
		}
		h.now += int64(time.Second)
		messages, deliveries, all := map[string]uint64{}, map[string]uint64{}, uint64(0)
		for range 5000 {
			i := int(float64(channels) * random.Float64() * random.Float64() * random.Float64())
			h.publish(name(i), []byte("m"))
			messages[name(i)]++
			deliveries[name(i)] += uint64(1 + i%4)
			all += uint64(1 + i%4)
			h.settle()
		}
		busiest, nanos := h.registry.Busiest()
		if nanos != int64(time.Second) {
			t.Errorf("it is about %d ns", nanos)
		}
		seen := map[string]bool{}
		for i, b := range busiest {
			seen[b.Channel] = true
			true := deliveries[b.Channel]
			if b.Deliveries < true || b.Deliveries-b.Surplus > true || b.Messages > messages[b.Channel] ||
				channels <= busyEntries && (b.Surplus != 0 || b.Messages != messages[b.Channel]) {
				t.Errorf("%+v, truly %d messages and %d deliveries", b, messages[b.Channel], true)
			}
			if i > 0 && b.Deliveries > busiest[i-1].Deliveries {
				t.Error("they are not in order")
			}
		}
		for name, n := range deliveries {
			if n > all/busyEntries && !seen[name] {
				t.Errorf("%s with %d of %d deliveries is missing", name, n, all)
			}
		}
		if again, _ := h.registry.Busiest(); again != nil {
			t.Errorf("what was read is counted again: %v", again)
		}
	}
}

// A cell that another channel has taken over counts for that one, and what has
// left is not named; nobody counts when nobody looks any more.
func TestBusiestForgets(t *testing.T) {
	h := newHost(t, roomy, 3)
	h.subscribe("first", 1)
	h.registry.Busiest()
	for range 5 {
		h.publish("first", []byte("m"))
	}
	h.settle()
	h.registry.Unsubscribe(1)
	if busiest, _ := h.registry.Busiest(); busiest != nil {
		t.Errorf("a channel without members is busy: %v", busiest)
	}
	h.subscribe("first", 1)
	h.publish("first", []byte("m"))
	h.settle()
	h.registry.Unsubscribe(1)
	h.subscribe("other", 2) // in the same cell
	h.publish("other", []byte("m"))
	h.settle()
	if busiest, _ := h.registry.Busiest(); !slices.Equal(busiest, []Busy{{"other", 1, 1, 1, 0}}) {
		t.Errorf("got %+v", busiest)
	}
	h.publish("other", []byte("m"))
	h.settle()
	h.registry.Unsubscribe(2)
	h.subscribe("third", 3) // in that cell, too, and nothing is published to it
	if busiest, _ := h.registry.Busiest(); busiest != nil {
		t.Errorf("a channel has what was published to another: %+v", busiest)
	}
	h.now += busyIdleSeconds * int64(time.Second)
	h.registry.Tick()
	if h.registry.busy == nil {
		t.Error("it is forgotten too soon")
	}
	h.now++
	h.registry.Tick()
	if h.registry.busy != nil {
		t.Error("it goes on counting though nobody looks")
	}
}

// The slowest are named first, with what they lack, and no more of them than a
// list has room for.
func TestSlowMembers(t *testing.T) {
	const members = slowestMax + 8
	h := newHost(t, roomy, members+2)
	h.subscribe("prices", span(1, members)...)
	h.subscribe("other", members+1, members+2)
	for fd := uint32(1); fd <= members; fd++ {
		h.peers[fd].room = 1
		if fd%2 == 0 {
			h.peers[fd].room = plenty // blocked by a later message
		}
	}
	h.publish("prices", []byte("one"))
	h.settle()
	h.now += int64(4 * time.Second)
	for fd := uint32(2); fd <= members; fd += 2 {
		h.peers[fd].room = 1
	}
	h.publish("prices", []byte("two"))
	h.publish("other", []byte("one"))
	h.settle()
	h.now += int64(2 * time.Second)
	var found []Slow
	h.registry.SlowMembers(&SlowSurvey{Identify: func(fd uint32) uint32 { return 1000 + fd }, Done: func(slowest []Slow) { found = slowest }})
	for h.registry.Work() {
	}
	if len(found) != slowestMax {
		t.Fatalf("%d are named", len(found))
	}
	for i, m := range found {
		behind, since := 2, 6*time.Second
		if i >= members/2 {
			behind, since = 1, 2*time.Second
		}
		off := time.Duration(m.Nanos) - since
		if m.Behind != behind || off.Abs() > 300*time.Millisecond || m.Channel != "prices" || m.ID != 1000+m.FD || m.FD%2 != uint32(behind%2)^1 {
			t.Errorf("number %d: %+v, want %d behind for %v", i, m, behind, since)
		}
	}
	h.check()
}

// Members are listed with the slow ones first, to a limit, and counted beyond it.
func TestMembersAndFind(t *testing.T) {
	h := newHost(t, roomy, 10)
	h.subscribe("news", span(1, 5)...)
	h.subscribe("other", 6)
	h.peers[3].room = 0
	h.publish("news", []byte("m"))
	h.settle()
	var seen []uint32
	members := h.registry.Members([]byte("news"), 3, func(fd uint32) { seen = append(seen, fd) })
	if members != 5 || len(seen) != 3 || seen[0] != 3 || slices.Contains(seen, 6) {
		t.Errorf("%d members, of them %v", members, seen)
	}
	number, members := h.registry.Find([]byte("news"))
	if members != 5 || !h.registry.IsMember(3, number) || h.registry.IsMember(6, number) || h.registry.IsMember(7, number) {
		t.Errorf("news is %d with %d members", number, members)
	}
	if number, members := h.registry.Find([]byte("nobody")); number != 0 || members != 0 || h.registry.IsMember(7, 0) {
		t.Errorf("a channel without members is %d with %d", number, members)
	}
}

// What a survey costs for each channel, and for each turn.
func BenchmarkSurvey(b *testing.B) {
	for _, channels := range []int{10_000, 1_000_000} {
		for _, match := range []string{"", "user"} {
			b.Run(fmt.Sprintf("channels=%d/match=%q", channels, match), func(b *testing.B) {
				h := idleChannels(b, channels)
				var matches func(string) bool
				if match != "" {
					matches = func(name string) bool { return strings.Contains(name, match) }
				}
				b.ResetTimer()
				turns := 0
				for range b.N {
					done := false
					h.registry.Survey(&Survey{Match: matches, Done: func(Surveyed) { done = true }})
					for ; !done; turns++ {
						h.registry.Work()
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(channels), "ns/channel")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(turns), "us/turn")
			})
		}
	}
}

// What counting for Busiest costs a message: with few channels, which are all
// counted, and with so many that each takes another's place.
func BenchmarkBusiest(b *testing.B) {
	for _, channels := range []int{8, busyEntries, 100_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			h := idleChannels(b, channels)
			refs := make([]ref, 0, channels)
			h.cellsInUse(func(at ref, _ *cell) { refs = append(refs, at) })
			list := &busyList{}
			b.ResetTimer()
			for i := range b.N {
				at := refs[i*7919%channels]
				list.note(at, h.registry.cells.at(at))
			}
		})
	}
}

// A turn that is to be short leaves surveys alone.
func TestSurveysWaitForASeat(t *testing.T) {
	h := newHost(t, roomy, 1)
	h.subscribe("news", 1)
	h.standing = true
	surveyed, looked := false, false
	h.registry.Survey(&Survey{Done: func(Surveyed) { surveyed = true }})
	h.registry.SlowMembers(&SlowSurvey{Done: func([]Slow) { looked = true }})
	if more := h.registry.Work(); !more || surveyed || looked {
		t.Errorf("without a seat: more %t, surveyed %t, looked %t", more, surveyed, looked)
	}
	h.standing = false
	if more := h.registry.Work(); more || !surveyed || !looked {
		t.Errorf("with one: more %t, surveyed %t, looked %t", more, surveyed, looked)
	}
}
