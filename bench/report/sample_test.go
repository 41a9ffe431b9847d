package report

import (
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pages is for people who change the page: go test ./bench/report -pages DIR
var pages = flag.String("pages", "", "a directory for sample pages and plots, to look at")

// sampleResult is a run as it could have been: a mixed one of 1,000,000
// connections, with a host that is full.
func sampleResult() *Result {
	random := rand.New(rand.NewPCG(3, 7))
	const conns = 1_000_000
	r := &Result{
		Scenario: "mixed",
		Command:  []string{"bin/10m-client", "mixed", "127.0.0.1", "1000000", "--channel", "own/%d", "--seconds", "60", "--criteria", "--html", "run of today.html"},
		Started:  time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC),
		Seconds:  152.3,
		Host: Host{Kernel: "6.18.5", Processor: "AMD EPYC 9R14", Cores: 2, MemoryBytes: 24 << 30, Go: "go1.26.0",
			NofileHard: 20_000, Loops: 54, PrivateFDs: true},
		Connections: Connections{Wanted: conns, Opened: conns, Open: conns, Retries: 12, Seconds: 85.4, PerSecond: 11_709,
			Latency:  Quantiles{conns, 9.31, 4.21, 21.7, 88.2, 204.5, 1043},
			Failures: map[string]uint64{"timed out": 12}, Pings: 2_000, Pongs: 2_000},
		Usage: Usage{ClientCores: 0.92, ServerCores: 1.02, HostCores: 1.97, ClientCoresMax: 1.1, HostCoresMax: 2,
			ClientResident: 58 << 20, ServerResident: 70 << 20, ServerBefore: 9 << 20, ServerPerConn: 64, HostPerConn: 8270,
			KernelPerConn: 8009, ClientTurnP99Mill: 1.31, ReadDelayP99Mill: 0.82},
	}
	fanout := Stream{Name: "fanout", PayloadBytes: 256, Rate: 0.05, Subscribers: conns, Published: 3, Expected: 3 * conns, Delivered: 3 * conns,
		Seconds: 47.6, PerSecond: 63_025, Latency: Quantiles{3 * conns, 7810, 7903, 14_200, 15_700, 15_850, 15_870}, Corrected: true}
	unicast := Stream{Name: "unicast", PayloadBytes: 128, Rate: 500, Subscribers: 1, Published: 30_000, Expected: 30_000, Delivered: 30_000,
		Seconds: 60, PerSecond: 500, Latency: Quantiles{30_000, 0.61, 0.43, 1.12, 2.71, 6.4, 14.2}, Corrected: true, Late: 402}
	for n := 0.0; n <= 4.5; n += 0.05 {
		p := 100 * (1 - math.Pow(10, -n))
		fanout.Curve = append(fanout.Curve, Point{p, 15_870 * p / 100 * (0.98 + 0.02*n/4.5)})
		unicast.Curve = append(unicast.Curve, Point{p, min(0.16+0.3*math.Pow(n, 2.2)*(1+0.1*n), 14.2)})
	}
	fanout.Curve = append(fanout.Curve, Point{100, 15_870})
	unicast.Curve = append(unicast.Curve, Point{100, 14.2})
	r.Streams = []Stream{fanout, unicast}
	open := 0.0
	for t := 1.0; t <= 152; t++ {
		s := Sample{Seconds: t, Phase: "connecting", ClientCores: 0.9 + random.Float64()/10, ServerCores: 1 + random.Float64()/10}
		rate := 0.0
		if t <= 86 {
			rate = min((13_800-28*t)*(0.93+0.14*random.Float64()), conns-open)
		}
		switch {
		case t > 148:
			s.Phase, s.ClientCores, s.ServerCores = "holding", 0.02, 0.03
		case t > 86:
			s.Phase = "measuring"
			s.Deliveries = 500
			s.MeanMillis, s.MaxMillis = 0.4+random.Float64()/5, 2+4*random.Float64()
			if phase := math.Mod(t-86, 20); phase < 16 {
				s.Deliveries += 62_000 + 4000*random.Float64()
				s.MeanMillis, s.MaxMillis = 1000*phase, 1000*phase+500
			}
		}
		open += rate
		s.Open, s.Connects = int(open), rate
		s.ServerResident, s.ClientResident = 9<<20+uint64(64*open), 12<<20+uint64(46*open)
		s.HostUsed, s.HostCores = 2<<30+uint64(8270*open), min(s.ClientCores+s.ServerCores+0.04, 2)
		r.Samples = append(r.Samples, s)
	}
	Judge(r)
	Check(r)
	return r
}

// TestWritePages writes what people should look at, and nothing without -pages.
func TestWritePages(t *testing.T) {
	if *pages == "" {
		t.Skip("only with -pages DIR")
	}
	write := func(name string, form func(f *os.File) error) {
		f, err := os.Create(filepath.Join(*pages, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := form(f); err != nil {
			t.Error(err)
		}
	}
	r := sampleResult()
	write("page.html", func(f *os.File) error { return HTML(f, r) })
	write("empty.html", func(f *os.File) error { return HTML(f, &Result{}) })
	write("page.txt", func(f *os.File) error { Text(f, r); return nil })
	write("page.json", func(f *os.File) error { return JSON(f, r) })
	names := []string{"c10m", "gorilla, go-redis", "gobwas/ws, epoll", "evio 1.0.8", "centrifuge", "nchan", "nats-server"}
	write("bars.svg", func(f *os.File) error {
		return Bars(f, "Server memory per connection", "bytes", names, []float64{64, 21_400, 1_210, 1_480, 34_200, 5_100, 0})
	})
	write("linear.svg", func(f *os.File) error {
		return Bars(f, "Deliveries a second, peak", "a second", names, []float64{1_310_000, 101_000, 118_000, 96_300, 123_000, 88_000, 109_000})
	})
	write("curves.svg", func(f *os.File) error {
		var curves [][]Point
		for i := range names {
			scaled := []Point(nil)
			for _, p := range r.Streams[1].Curve {
				scaled = append(scaled, Point{p.Percentile, p.Millis * (1 + float64(i*i)*2)})
			}
			curves = append(curves, scaled)
		}
		return Curves(f, "Latency of a message to one, during sweeps over everybody", names, curves)
	})
}
