package rate

import (
	"math/rand/v2"
	"testing"
	"time"
)

const second = int64(time.Second)

// Reserve gives what a bucket gives that is filled at the rate and holds the burst.
func TestReserveIsATokenBucket(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, burst := range []int{1, 2, 7} {
		const perSecond = 4 // the interval is whole, so that the bucket's sums are exact
		limit := New(perSecond, burst)
		tokens, rest := int64(burst)*limit.Interval, int64(0) // in nanoseconds
		now, last := 100*second, 100*second
		for range 10_000 {
			now += random.Int64N(limit.Interval)
			tokens = min(int64(burst)*limit.Interval, tokens+now-last)
			last = now
			from, after := limit.Reserve(rest, now, 1)
			if may := tokens >= limit.Interval; may != (from <= now) {
				t.Fatalf("burst %d: %d tokens, and an event may happen %d ns from now", burst, tokens, from-now)
			} else if may {
				tokens, rest = tokens-limit.Interval, after
			} else if from-now != limit.Interval-tokens {
				t.Fatalf("burst %d: the next token is there in %d ns, and an event may happen in %d", burst, limit.Interval-tokens, from-now)
			}
		}
	}
}

// What several reserve is one after the other, and in the order in which they asked.
func TestReserveSeveral(t *testing.T) {
	limit := New(10, 3)
	rest, now := int64(0), 5*second
	for i, want := range []int64{-2, 2, 6} {
		from, after := limit.Reserve(rest, now, 4)
		if from-now != want*limit.Interval || after-now != int64(4*i+4)*limit.Interval {
			t.Errorf("%d: from %d on, at rest after %d", i, from-now, after-now)
		}
		rest = after
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		perSecond float64
		burst     int
		want      Limit
	}{
		{0, 9, Limit{}}, {-1, 9, Limit{}},
		{1, 0, Limit{second, 0}}, {1, 1, Limit{second, 0}}, {0.5, 3, Limit{2 * second, 4 * second}},
		{1e12, 5, Limit{1, 4}},
	} {
		if got := New(c.perSecond, c.burst); got != c.want {
			t.Errorf("%g a second, %d at once: %+v", c.perSecond, c.burst, got)
		}
	}
	if from, after := (Limit{}).Reserve(0, second, 1000); from > second || after > second {
		t.Error("no limit limits")
	}
}
