package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var l, other Latencies
	var all []time.Duration
	sum := time.Duration(0)
	for i := range 10_000 {
		d := time.Duration(random.Int64N(1 << random.Int64N(41)))
		all = append(all, d)
		sum += d
		if i%3 == 0 {
			other.Observe(int64(d))
		} else {
			l.Observe(int64(d))
		}
	}
	l.Merge(&other)
	l.Merge(&Latencies{})
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[max(0, int(q*float64(len(all))+0.999999)-1)]
		got := l.Quantile(q)
		if got < exact || float64(got) > float64(exact)*1.008+2000 {
			t.Errorf("quantile %v is %v instead of %v", q, got, exact)
		}
	}
	s := l.Summary()
	if l.Count() != 10_000 || l.Max() != all[len(all)-1] || l.Mean() != sum/10_000 || s.MeanMillis != millis(sum/10_000) {
		t.Errorf("count %d, max %v, mean %v; %+v", l.Count(), l.Max(), l.Mean(), s)
	}
	copied := l.clone()
	l.Observe(-int64(time.Second))
	l.Observe(int64(1000 * time.Hour))
	if copied.Count() != 10_000 || l.Count() != 10_002 || l.Max() != 1000*time.Hour || l.Quantile(0.00001) > time.Microsecond {
		t.Errorf("%d in the copy, %d, max %v, least %v", copied.Count(), l.Count(), l.Max(), l.Quantile(0.00001))
	}
	if empty := (&Latencies{}); empty.Quantile(0.5) != 0 || empty.Mean() != 0 || empty.Summary() != (Latency{}) {
		t.Errorf("the summary of nothing is %+v", empty.Summary())
	}
}

// What came later is apart from what came before it, its maximum included.
func TestLatenciesSince(t *testing.T) {
	var l, apart Latencies
	for i := range int64(500) {
		l.Observe(1e6 + i*1e5)
	}
	if all := l.Since(&Latencies{}); all.Summary() != l.Summary() {
		t.Errorf("since nothing %+v, in all %+v", all.Summary(), l.Summary())
	}
	earlier := l.clone()
	for i := range int64(500) {
		l.Observe(1e6 + i*1e4)
		apart.Observe(1e6 + i*1e4)
	}
	later := l.Since(&earlier)
	got, want := later.Summary(), apart.Summary()
	if got.MaxMillis < want.MaxMillis || got.MaxMillis > want.MaxMillis*1.008+0.001 {
		t.Errorf("the longest is %v, want %v", got.MaxMillis, want.MaxMillis)
	}
	got.MaxMillis, got.P999Millis = want.MaxMillis, want.P999Millis // no quantile is above the longest
	if got != want {
		t.Errorf("what came later is %+v, want %+v", got, want)
	}
	if none := l.Since(&l); none.Summary() != (Latency{}) {
		t.Errorf("nothing came later, and it is %+v", none.Summary())
	}
}
