package timers

import (
	"testing"
	"time"
)

// rounds has a loop with so many connections go round once, in so many steps, and returns
// the visits of each.
func rounds(t *testing.T, connections int, interval time.Duration, steps int) (visits []int) {
	var r Rounds
	now := int64(1e12)
	r.Begin(now)
	for range steps {
		now += int64(interval) / int64(steps)
		step := 0
		for next := now; next <= now; {
			var slice int
			if slice, next = r.Slice(now, interval, Loop{ID: 1, Connections: connections, All: int64(connections)}); slice > slicePerTickMax {
				t.Errorf("%d visits in a slice", slice)
			}
			step += slice
		}
		visits = append(visits, step)
	}
	return visits
}

// Everybody is visited once per interval, whatever the steps, and never in bursts.
func TestRoundsVisitEverybodyOncePerInterval(t *testing.T) {
	const interval = 10 * time.Second
	for _, n := range []int{1, 3, batchMax + 20} {
		for _, steps := range []int{1, 7, 100, 300} {
			sum := 0
			for _, step := range rounds(t, n, interval, steps) {
				sum += step
				if most := min(batchMax, n); step > most {
					t.Errorf("%d connections, %d steps: %d visits in one step", n, steps, step)
				}
			}
			// One step of more than batchMax: the round takes longer. What is due since the
			// last beat comes with the next.
			most, pending := min(n, steps*batchMax), 1+n*int(time.Second)/int(interval)
			if sum < most-pending || sum > most {
				t.Errorf("%d connections, %d steps: %d visits", n, steps, sum)
			}
		}
	}
}

// When Slice wants to be called again is soon enough to lose nothing.
func TestRoundsAskInTime(t *testing.T) {
	const connections, interval = 10, 5 * time.Second
	var r Rounds
	begin := int64(1e12)
	now, visited := begin, 0
	for r.Begin(now); now < begin+int64(10*interval); {
		slice, next := r.Slice(now, interval, Loop{ID: 2, Connections: connections, All: connections})
		if visited += slice; next > now+int64(interval) {
			t.Fatalf("wants to be called after %d ns", next-now)
		}
		now = next
	}
	if visited < 9*connections || visited > 10*connections {
		t.Errorf("%d visits in ten intervals of %d connections", visited, connections)
	}
}

// Batches are as rare as evenness and their largest size let them be.
func TestBeatOf(t *testing.T) {
	for _, tc := range []struct {
		perSecond, all float64
		interval       time.Duration
		wanted         time.Duration
	}{
		{10, 10, 5 * time.Minute, 4 * time.Second},
		{10, 10, 2*time.Minute + 8*time.Second, 2 * time.Second},
		{10, 10, time.Minute, time.Second},
		{10, 10, 20 * time.Millisecond, time.Second},
		{batchMax / 8, 3000, 5 * time.Minute, 4 * time.Second},
		{batchMax / 4, 3000, 5 * time.Minute, 2 * time.Second},
		{batchMax, 3000, time.Minute, time.Second / 2},
		{batchMax * 1e6, batchMax * 1e6, 5 * time.Minute, TickMin},
		{10, beatGroups * burstMax / 4, 5 * time.Minute, 4 * time.Second},
		{10, beatGroups * burstMax, 5 * time.Minute, time.Second},
	} {
		got := time.Duration(beatOf(tc.perSecond/1e9, tc.all/1e9, tc.interval))
		if got > tc.wanted || got <= tc.wanted/2 {
			t.Errorf("%g a second, every %s: a batch each %s, not %s", tc.perSecond, tc.interval, got, tc.wanted)
		}
	}
}

// All are met when the time is over, at an even rate, also if some leave or the loop is
// late.
func TestEvenWalkIsEven(t *testing.T) {
	const all, over = 1000, int64(10 * time.Second)
	for _, leave := range []int{0, 2} { // of each step, beside those who are met
		for _, pause := range []int64{int64(EvenTick), int64(100 * time.Millisecond)} {
			w := BeginWalk(0, over, all)
			met := 0
			for now := pause; now <= over && w.Left > 0; now += pause {
				want := float64(w.Left) / float64(max(over-now, int64(TickMin))) * float64(pause)
				due := min(w.Earn(now), w.Left)
				if w.Spend(due); float64(due) > want+1 {
					t.Fatalf("%d are due at once %d ms before the end, with %d left", due, (over-now)/1e6, w.Left)
				}
				met += due
				w.Left = max(w.Left-due-leave, 0)
			}
			if w.Left > 1 || leave == 0 && met < all-1 {
				t.Errorf("steps of %d ms: %d were met, and %d are left", pause/1e6, met, w.Left)
			}
		}
	}
}

// A loop that was late does not catch up in one burst.
func TestEvenWalkIsBounded(t *testing.T) {
	w := BeginWalk(0, 1, 1_000_000)
	if n := w.Earn(int64(time.Hour)); n != EvenPerTickMax {
		t.Errorf("%d are due at once", n)
	}
	w = BeginWalk(0, int64(time.Hour), 1)
	now := w.last
	if w.Hurry(); w.Earn(now) != EvenPerTickMax {
		t.Errorf("%d are due of a walk in a hurry", w.Earn(now))
	}
	if w.Spend(EvenPerTickMax); w.Earn(now) != 0 {
		t.Errorf("%d are due of a walk that has spent all", w.Earn(now))
	}
}
