package report

import (
	"slices"
	"strings"
	"testing"
)

// seconds are samples of measuring with these means, a thousand deliveries in
// each.
func seconds(means ...float64) (samples []Sample) {
	for i, mean := range means {
		samples = append(samples, Sample{Seconds: float64(i), Phase: "measuring", Deliveries: 1000, MeanMillis: mean})
	}
	return samples
}

// passing is a result that meets all criteria.
func passing() *Result {
	return &Result{
		Connections: Connections{Wanted: 1000, Opened: 1000, Open: 1000, Latency: Quantiles{Count: 1000, MeanMillis: 3}},
		Streams: []Stream{{Name: "fanout", Subscribers: 1000, Published: 30, Expected: 30_000, Delivered: 30_000,
			Latency: Quantiles{Count: 30_000, MeanMillis: 4}}},
		Samples: seconds(4, 4, 4, 4, 4, 4, 4, 4, 4),
	}
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Result)
		fails  []string // the criteria that do
	}{
		{"all well", func(r *Result) {}, nil},
		{"nothing measured", func(r *Result) { *r = Result{} }, []string{"connections", "connect latency"}},
		{"connections alone", func(r *Result) { r.Streams, r.Samples = nil, nil }, nil},
		{"one connection is missing", func(r *Result) { r.Connections.Open = 999 }, []string{"connections"}},
		{"all were open before", func(r *Result) { r.Connections.Open, r.Samples[3].Open = 999, 1000 }, nil},
		{"opened twice is not open at one time", func(r *Result) { r.Connections.Open, r.Connections.Opened = 500, 1000 }, []string{"connections"}},
		{"a message goes to too few", func(r *Result) {
			r.Streams[0].Subscribers, r.Streams[0].Expected, r.Streams[0].Delivered = 999, 29_970, 29_970
		}, []string{"subscriptions"}},
		{"a channel each", func(r *Result) {
			r.Streams[0].Subscribers, r.Streams[0].Expected, r.Streams[0].Delivered = 1, 30, 30
		}, nil},
		{"some listen to another stream", func(r *Result) {
			s := &r.Streams[0]
			s.Subscribers, s.Listeners, s.Expected, s.Delivered = 990, 990, 29_700, 29_700
			r.Streams = append(r.Streams, Stream{Name: "unicast", Subscribers: 1, Listeners: 10, Published: 5, Expected: 5, Delivered: 5,
				Latency: Quantiles{Count: 5, MeanMillis: 1}})
		}, nil},
		{"one listens to none", func(r *Result) {
			s := &r.Streams[0]
			s.Subscribers, s.Listeners, s.Expected, s.Delivered = 990, 990, 29_700, 29_700
			r.Streams = append(r.Streams, Stream{Name: "unicast", Subscribers: 1, Listeners: 9, Published: 5, Expected: 5, Delivered: 5,
				Latency: Quantiles{Count: 5, MeanMillis: 1}})
		}, []string{"subscriptions"}},
		{"only who stays gets messages", func(r *Result) {
			s := &r.Streams[0]
			s.Subscribers, s.Listeners, s.Expected, s.Delivered = 1, 10, 30, 30
			r.Disconnect = &Disconnect{Ended: 990, Stayed: 10}
		}, nil},
		{"connects below 100 ms", func(r *Result) { r.Connections.Latency.MeanMillis = 99.9 }, nil},
		{"connects at 100 ms", func(r *Result) { r.Connections.Latency.MeanMillis = 100 }, []string{"connect latency"}},
		{"latency below 500 ms", func(r *Result) { r.Streams[0].Latency.MeanMillis = 499.9 }, nil},
		{"latency at 500 ms", func(r *Result) { r.Streams[0].Latency.MeanMillis = 500 }, []string{"mean latency"}},
		{"one lacks", func(r *Result) { r.Streams[0].Delivered-- }, []string{"received"}},
		{"one too many", func(r *Result) { r.Streams[0].Delivered++ }, []string{"received"}},
		{"nothing was published", func(r *Result) {
			s := &r.Streams[0]
			s.Published, s.Expected, s.Delivered, s.Latency = 0, 0, 0, Quantiles{}
		}, []string{"mean latency", "received"}},
		{"one lost and another twice", func(r *Result) { r.Streams[0].Lost, r.Streams[0].Duplicated = 1, 1 }, []string{"received"}},
		{"out of order", func(r *Result) { r.Streams[0].OutOfOrder = 1 }, []string{"received"}},
		{"corrupt", func(r *Result) { r.Streams[0].Corrupt = 1 }, []string{"received"}},
		{"the second stream alone", func(r *Result) {
			r.Streams = append(r.Streams, Stream{Name: "unicast", Subscribers: 1, Published: 5, Expected: 5, Delivered: 4,
				Latency: Quantiles{Count: 4, MeanMillis: 501}})
		}, []string{"mean latency of unicast", "received of unicast"}},

		{"grows as much as is allowed", func(r *Result) { r.Samples = seconds(4, 4, 4, 9, 9, 9, 11, 11, 11) }, nil},
		{"grows by more", func(r *Result) { r.Samples = seconds(4, 4, 4, 9, 9, 9, 11.1, 11.1, 11.1) }, []string{"level latency"}},
		{"a queue", func(r *Result) { r.Samples = seconds(100, 200, 300, 400, 500, 600, 700, 800, 900, 1000) }, []string{"level latency"}},
		{"becomes faster", func(r *Result) { r.Samples = seconds(900, 800, 700, 600, 500, 400, 300, 200, 100) }, nil},
		{"one slow second", func(r *Result) { r.Samples = seconds(4, 4, 4, 4, 4, 4, 4, 400, 4) }, nil},
		{"two slow seconds of three", func(r *Result) { r.Samples = seconds(4, 4, 4, 4, 4, 4, 400, 400, 4) }, []string{"level latency"}},
		{"thirds with unlike seconds", func(r *Result) {
			r.Samples = seconds(4, 4, 400, 4, 400, 4, 400, 400, 4)
			r.Samples[2].Deliveries = 100_000
		}, nil},
		{"the middle does not count", func(r *Result) { r.Samples = seconds(4, 4, 4, 999, 999, 999, 4, 4, 4, 4) }, nil},
		{"too short", func(r *Result) { r.Samples = seconds(4, 4) }, []string{"level latency"}},
		{"seconds without a delivery", func(r *Result) { r.Samples[0].Deliveries, r.Samples = 0, r.Samples[:3] }, []string{"level latency"}},
		{"other phases", func(r *Result) {
			for i := range r.Samples[6:] {
				r.Samples[6+i].Phase, r.Samples[6+i].MeanMillis = "storm", 5000
			}
		}, nil},
	} {
		r := passing()
		test.change(r)
		pass := Check(r)
		if again := Check(r); again != pass {
			t.Errorf("%s: %v, then %v", test.name, pass, again)
		}
		var fails []string
		for _, c := range r.Criteria {
			if c.Name == "" || c.Wanted == "" || c.Got == "" {
				t.Errorf("%s: an incomplete criterion %+v", test.name, c)
			}
			if !c.Pass {
				fails = append(fails, c.Name)
			}
		}
		if !slices.Equal(fails, test.fails) || pass != (len(test.fails) == 0) {
			t.Errorf("%s: pass is %v and %q fail, want %q\n%+v", test.name, pass, fails, test.fails, r.Criteria)
		}
	}
}

func TestCriteriaSayWhatTheySaw(t *testing.T) {
	r := passing()
	r.Streams[0].Delivered, r.Streams[0].Lost = 29_998, 2
	r.Samples = seconds(4, 4, 4, 9, 9, 9, 50, 50, 50)
	Check(r)
	got := map[string]Criterion{}
	for _, c := range r.Criteria {
		got[c.Name] = c
	}
	for _, test := range []struct{ name, wanted, got string }{
		{"connections", "1,000 open", "1,000"},
		{"subscriptions", "1,000", "1,000"},
		{"connect latency", "below 100 ms", "3 ms"},
		{"level latency", "1.5 times", "median 4 ms, then 50 ms"},
		{"mean latency", "below 500 ms", "4 ms"},
		{"received", "30 messages x 1,000 = 30,000", "29,998, 2 lost"},
	} {
		c, ok := got[test.name]
		if !ok || !strings.Contains(c.Wanted, test.wanted) || !strings.Contains(c.Got, test.got) {
			t.Errorf("%s: %+v, want %q and %q", test.name, c, test.wanted, test.got)
		}
	}
	r.Streams[0].Expected = 29_998 // as when some came later
	Check(r)
	if c := r.Criteria[len(r.Criteria)-1]; !strings.HasPrefix(c.Wanted, "29,998 deliveries") {
		t.Errorf("wanted %q, though it is no product", c.Wanted)
	}
}
