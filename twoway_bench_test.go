package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// BenchmarkTwoWaySignal is the time from a client's PUB to the delivery at another
// client, which answers in the same way, as two peers do that agree on a connection
// of their own: half of a round trip, on loopback and the embedded bus.
func BenchmarkTwoWaySignal(b *testing.B) {
	s := servertest.StartServer(b, 0, "--publish", "own")
	peers := [2]*servertest.Client{s.Dial(b, "0", "c10m.v1"), s.Dial(b, "1", "c10m.v1")}
	for _, c := range peers {
		c.Next(b) // OK SUB
	}
	offer := strings.Repeat("v=0 ", 50)
	pass := func(from, to int) {
		frame := "PUB " + string(rune('0'+to)) + "\n" + offer
		if err := wsutil.WriteClientMessage(peers[from], ws.OpText, []byte(frame)); err != nil {
			b.Fatal(err)
		}
		if got := peers[to].Next(b); !strings.HasSuffix(got, offer) {
			b.Fatalf("got %q", got)
		}
	}
	var times []time.Duration
	for b.Loop() {
		started := time.Now()
		pass(0, 1)
		pass(1, 0)
		times = append(times, time.Since(started)/2)
	}
	slices.Sort(times)
	for name, part := range map[string]float64{"p50-us": 0.5, "p99-us": 0.99} {
		b.ReportMetric(float64(times[int(part*float64(len(times)-1))])/1e3, name)
	}
}
