package report

import (
	"fmt"
	"slices"

	"c10m/bench/plot"
)

// Check sets r.Criteria, as doc.go describes them, and returns whether all are
// met. r.Fault is not among them.
func Check(r *Result) (pass bool) {
	r.Criteria = []Criterion{checkConnections(r)}
	// Who ends in a Disconnect gets no messages before.
	if widest := subscribers(r); r.Disconnect == nil && (widest > 1 || r.Connections.Wanted == 1 && widest == 1) {
		r.Criteria = append(r.Criteria, Criterion{
			Name:   "subscriptions",
			Wanted: Count(r.Connections.Wanted),
			Got:    Count(widest),
			Pass:   widest >= r.Connections.Wanted,
		})
	}
	r.Criteria = append(r.Criteria, checkMean("connect latency", r.Connections.Latency, connectMeanMillisMax))
	if len(r.Streams) > 0 {
		r.Criteria = append(r.Criteria, checkLevel(r.Samples))
	}
	for i := range r.Streams {
		s, of := &r.Streams[i], ""
		if len(r.Streams) > 1 {
			of = " of " + s.Name
		}
		r.Criteria = append(r.Criteria, checkMean("mean latency"+of, s.Latency, deliveryMeanMillisMax), checkReceived("received"+of, s))
	}
	return !slices.ContainsFunc(r.Criteria, func(c Criterion) bool { return !c.Pass })
}

// checkConnections looks for the highest number ever open at one time: at the
// end of a run under churn, some are always on their way.
func checkConnections(r *Result) Criterion {
	most := r.Connections.Open
	for i := range r.Samples {
		most = max(most, r.Samples[i].Open)
	}
	return Criterion{
		Name:   "connections",
		Wanted: Count(r.Connections.Wanted) + " open at one time",
		Got:    Count(most),
		Pass:   r.Connections.Wanted > 0 && most >= r.Connections.Wanted,
	}
}

// subscribers is to how many connections a message goes at most.
func subscribers(r *Result) int {
	widest, listeners := 0, 0
	for i := range r.Streams {
		widest = max(widest, r.Streams[i].Subscribers)
		listeners += r.Streams[i].Listeners // no connection listens to two streams
	}
	return max(widest, listeners)
}

func checkMean(name string, q Quantiles, limit float64) Criterion {
	c := Criterion{Name: name, Wanted: "mean below " + plot.Text(plot.Millis, limit), Got: "not measured"}
	if q.Count > 0 {
		c.Got = plot.Text(plot.Millis, q.MeanMillis)
		c.Pass = q.MeanMillis < limit
	}
	return c
}

// checkLevel compares the first with the last third of the measuring phase.
func checkLevel(samples []Sample) Criterion {
	c := Criterion{Name: "level latency", Wanted: fmt.Sprintf("last third at most %g times the first third, plus %g ms", levelFactorMax, levelSpareMillis)}
	var measuring []Sample
	var means []float64
	for _, s := range samples {
		if s.Phase == phaseMeasuring && s.Deliveries > 0 {
			measuring, means = append(measuring, s), append(means, s.MeanMillis)
		}
	}
	if len(means) < levelSecondsMin {
		c.Got = fmt.Sprintf("only %d s with messages, %d are needed to tell", len(means), levelSecondsMin)
		return c
	}
	third := len(means) / 3
	first, last := Median(means[:third]), Median(means[len(means)-third:])
	firstAll, lastAll := weighted(measuring[:third]), weighted(measuring[len(means)-third:])
	c.Got = fmt.Sprintf("median %s, then %s; mean %s, then %s", plot.Text(plot.Millis, first), plot.Text(plot.Millis, last),
		plot.Text(plot.Millis, firstAll), plot.Text(plot.Millis, lastAll))
	c.Pass = level(first, last) || level(firstAll, lastAll)
	return c
}

func level(first, last float64) bool { return last <= levelFactorMax*first+levelSpareMillis }

// weighted is the mean latency of all that was delivered in these seconds.
func weighted(samples []Sample) float64 {
	sum, deliveries := 0.0, 0.0
	for i := range samples {
		sum += samples[i].MeanMillis * samples[i].Deliveries
		deliveries += samples[i].Deliveries
	}
	return sum / deliveries
}

// Median is that of at least one value; of two in the middle it is their mean.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func checkReceived(name string, s *Stream) Criterion {
	c := Criterion{Name: name, Wanted: Count(s.Expected) + " deliveries, each once and in order"}
	if s.Expected == s.Published*uint64(s.Subscribers) {
		c.Wanted = fmt.Sprintf("%s messages x %s = %s, each once and in order", Count(s.Published), Count(s.Subscribers), Count(s.Expected))
	}
	c.Got = Count(s.Delivered) + wrong(s)
	c.Pass = s.Expected > 0 && s.Delivered == s.Expected && wrong(s) == ""
	return c
}

// wrong lists what went wrong with a stream, or nothing.
func wrong(s *Stream) (text string) {
	for _, w := range []struct {
		n    uint64
		what string
	}{{s.Lost, "lost"}, {s.Duplicated, "duplicated"}, {s.OutOfOrder, "out of order"}, {s.Corrupt, "corrupt"}} {
		if w.n > 0 {
			text += fmt.Sprintf(", %s %s", Count(w.n), w.what)
		}
	}
	return text
}
