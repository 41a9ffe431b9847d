package faults

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"c10m/bench/load"
	"c10m/internal/patience"
	"c10m/internal/servertest"
)

// crowdPatience ends what hangs; it is no expectation of speed.
const crowdPatience = 5 * time.Minute

// A crowd is a load client that ends with the test, or before.
type crowd struct {
	*load.Client
	stop func()
}

// Stop closes all connections, once.
func (c *crowd) Stop() { c.stop() }

// connectCrowd opens clients that read and check every message.
func connectCrowd(t *testing.T, s *servertest.Server, config load.Config, connections int) *crowd {
	t.Helper()
	config.Spread.Host, config.Spread.FirstPort, config.Spread.PerPort = netip.MustParseAddr("127.0.0.1"), s.Port, 1<<30
	config.Spread.Connections = connections
	config.Publishes, config.Retries, config.HandshakeTimeout = true, 3, time.Minute
	client, err := load.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{client, sync.OnceFunc(client.Stop)}
	t.Cleanup(c.Stop)
	ctx, cancel := context.WithTimeout(context.Background(), crowdPatience)
	defer cancel()
	if _, err := client.AwaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func crowdBus(t *testing.T, s *servertest.Server) *load.Bus {
	t.Helper()
	bus, err := load.DialBus(fmt.Sprintf("127.0.0.1:%d", s.Bus), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	return bus
}

// driveCrowd sends messages, so many at a time, each as soon as one of them has
// reached every reader.
func driveCrowd(t *testing.T, client *crowd, bus *load.Bus, messages, inFlight, bytes int) load.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), crowdPatience)
	defer cancel()
	run, err := client.Drive(ctx, load.Drive{
		Messages: messages, InFlight: inFlight, StallTimeout: time.Minute, Send: client.Publisher(bus, bytes),
	})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// crowdLostNothing waits until a client has every message that was published while it
// was connected, and fails if one is lost, doubled, out of order or broken. It
// returns what it saw.
func crowdLostNothing(t *testing.T, name string, client *crowd) load.Snapshot {
	t.Helper()
	for end := patience.Deadline(); client.Missing() > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	seen := client.Snapshot()
	if missing := client.Missing(); missing > 0 || seen.Fault() != "" {
		t.Fatalf("%s: %d messages missing; %s", name, missing, seen.Fault())
	}
	return seen
}

// sumOfSeries adds up a metric with labels.
func sumOfSeries(s *servertest.Server, name, label string, values ...string) (sum float64) {
	for _, value := range values {
		sum += s.Metric(fmt.Sprintf(`%s{%s="%s"}`, name, label, value))
	}
	return sum
}
