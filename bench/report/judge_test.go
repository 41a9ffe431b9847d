package report

import (
	"strings"
	"testing"
)

// calm is a result in which nothing but the server was the limit.
func calm() *Result {
	return &Result{
		Host:  Host{Cores: 4, Loops: 4},
		Usage: Usage{ClientCores: 1, ServerCores: 1, HostCores: 2, ReadDelayP99Mill: 0.1},
		Streams: []Stream{{Name: "fanout", Published: 1000, Late: 10, Latency: Quantiles{Count: 1, P99Millis: 5}},
			{Name: "unicast", Published: 1000, Latency: Quantiles{Count: 1, P99Millis: 5}}},
		Connections: Connections{Failures: map[string]uint64{"refused": 3, "timed out": 2}},
	}
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Result)
		want   [][]string // words of each sentence
	}{
		{"calm", func(r *Result) {}, nil},
		{"nothing measured", func(r *Result) { *r = Result{} }, nil},
		{"client below 90 %", func(r *Result) { r.Usage.ClientCores = 3.59 }, nil},
		{"client at 90 %", func(r *Result) { r.Usage.ClientCores = 3.6 }, [][]string{{"client itself was the limit", "3.6 of the 4 cores"}}},
		{"fewer loops than cores", func(r *Result) { r.Host.Loops, r.Usage.ClientCores = 1, 0.9 }, [][]string{{"client itself", "0.9 of the 1 cores"}}},
		{"more loops than cores", func(r *Result) { r.Host.Loops, r.Usage.ClientCores = 54, 3.6 }, [][]string{{"client itself", "of the 4 cores"}}},
		{"loops not known", func(r *Result) { r.Host.Loops, r.Usage.ClientCores = 0, 3.6 }, [][]string{{"client itself", "of the 4 cores"}}},
		{"host below 95 %", func(r *Result) { r.Usage.HostCores = 3.79 }, nil},
		{"host at 95 %", func(r *Result) { r.Usage.HostCores = 3.8 }, [][]string{{"host was full", "3.8 of 4", "1 by the client", "1 by the server", "1.8 by everything else", "of the pair on one host, not of the server"}}},
		{"host full, rounding", func(r *Result) { r.Usage.HostCores, r.Usage.ServerCores = 3.9, 3.1 }, [][]string{{"0 by everything else"}}},
		{"host full, server not known", func(r *Result) { r.Usage.HostCores, r.Usage.ServerCores = 4, 0 }, [][]string{{"host was full", "--server-pid", "1 of them by the client"}}},
		{"one percent late", func(r *Result) { r.Streams[1].Late = 10 }, nil},
		{"more than that late", func(r *Result) { r.Streams[1].Late = 11 }, [][]string{{"publisher was late for 11 of 1,000 messages of unicast", "1.1 %"}}},
		{"delay below 20 %", func(r *Result) { r.Usage.ReadDelayP99Mill = 0.99 }, nil},
		{"delay at 20 % of one", func(r *Result) { r.Usage.ReadDelayP99Mill, r.Streams[0].Latency.P99Millis = 1, 5.1 }, [][]string{{"1 ms of the 5 ms", "p99 of unicast", "client's own"}}},
		{"delay without messages", func(r *Result) { r.Usage.ReadDelayP99Mill, r.Streams = 1, nil }, nil},
		{"no port", func(r *Result) { r.Connections.Failures["no free source port"] = 1 }, [][]string{{"no free source port for 1 connect:", "--source"}}},
		{"no descriptor", func(r *Result) { r.Connections.Failures["no descriptor or memory"] = 2000 }, [][]string{{"no descriptor or memory for 2,000 connects", "limits"}}},
		{"all at once", func(r *Result) {
			r.Usage.ClientCores, r.Usage.HostCores = 3.7, 4
			r.Streams[0].Late = 500
		}, [][]string{{"client itself"}, {"host was full"}, {"late for 500 of 1,000 messages of fanout"}}},
	} {
		r := calm()
		test.change(r)
		Judge(r)
		Judge(r) // must not say everything twice
		if len(r.Bottlenecks) != len(test.want) {
			t.Errorf("%s: %d sentences, want %d: %q", test.name, len(r.Bottlenecks), len(test.want), r.Bottlenecks)
			continue
		}
		for i, words := range test.want {
			for _, word := range words {
				if !strings.Contains(r.Bottlenecks[i], word) {
					t.Errorf("%s: %q lacks %q", test.name, r.Bottlenecks[i], word)
				}
			}
			if !strings.HasSuffix(r.Bottlenecks[i], ".") {
				t.Errorf("%s: %q is no sentence", test.name, r.Bottlenecks[i])
			}
		}
	}
}
