package redisbus

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The time of these tests is that of a bubble (testing/synctest): it goes on when all
// wait, so a bound on it is exact, and the same on any host. The Redis is an embedded
// bus at the other end of pipes, which a fault holds up or cuts.

// A pipeNet is the network between one client and one Redis.
type pipeNet struct {
	redis *Embedded

	mu    sync.Mutex
	ends  []net.Conn
	fault fault
}

type fault int

const (
	faultNone   fault = iota
	faultFrozen       // what is written arrives nowhere, and dials hang
	faultCut          // connections end, and dials fail
)

// A pipeEnd is the client's end, and may be frozen.
type pipeEnd struct {
	net.Conn
	net *pipeNet
}

func (e *pipeEnd) Write(p []byte) (int, error) {
	e.net.mu.Lock()
	frozen := e.net.fault == faultFrozen
	e.net.mu.Unlock()
	if frozen {
		return len(p), nil // into the send buffer, and no further
	}
	return e.Conn.Write(p)
}

func (n *pipeNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault == faultCut {
		return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
	}
	ours, theirs := net.Pipe()
	n.ends = append(n.ends, ours)
	n.redis.admit(theirs)
	return &pipeEnd{ours, n}, nil
}

func (n *pipeNet) set(f fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = f
	if f == faultCut {
		for _, end := range n.ends {
			_ = end.Close()
		}
		n.ends = nil
	}
}

// Health is red within twice --bus-probe after the Redis, or the way to it, is dead,
// wherever between two probes that happens.
func TestRedWithinTwoProbes(t *testing.T) {
	const interval = 5 * time.Second
	for _, fault := range []fault{faultFrozen, faultCut} {
		for step := range 50 {
			synctest.Test(t, func(t *testing.T) {
				n := &pipeNet{redis: newEmbedded(EmbeddedConfig{}, newDoor(nil), nopLog)}
				r, err := ConnectRedis(RedisConfig{URL: "redis://far:6379", ProbeInterval: interval, ProbeTimeout: interval, dial: n.dial}, newDoor(nil), nopLog)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if !r.Health().Up {
					t.Fatalf("not green at the start: %+v", r.Health())
				}
				time.Sleep(time.Duration(step) * interval / 50)
				n.set(fault)
				time.Sleep(2 * interval)
				synctest.Wait()
				if h := r.Health(); h.Up {
					t.Errorf("fault %d at %d of 50 between two probes: green after twice the interval: %+v", fault, step, h)
				}
				// And green again one probe after it is over, a gap later.
				n.set(faultNone)
				time.Sleep(2*interval + reconnectBackoffMaxDefault)
				synctest.Wait()
				if h := r.Health(); !h.Up || h.Gaps > 1 {
					t.Errorf("fault %d at %d of 50: afterwards %+v", fault, step, h)
				}
				n.set(faultCut)
				_ = r.Close(context.Background())
			})
		}
	}
}

// A healthy bus is green at every moment, and each interval has one probe.
func TestProbesArePaced(t *testing.T) {
	const interval = 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		n := &pipeNet{redis: newEmbedded(EmbeddedConfig{}, newDoor(nil), nopLog)}
		r, err := ConnectRedis(RedisConfig{URL: "redis://far:6379", ProbeInterval: interval, ProbeTimeout: interval, dial: n.dial}, newDoor(nil), nopLog)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		since := r.Health().Since
		for i := range uint64(100) {
			synctest.Wait()
			if got := r.Stats().ReservedIn; got != i+1 {
				t.Fatalf("%d probes after %d intervals", got, i)
			}
			time.Sleep(interval)
		}
		if h := r.Health(); !h.Up || h.Since != since || h.Gaps != 0 {
			t.Errorf("health %+v", h)
		}
		n.set(faultCut)
		_ = r.Close(context.Background())
	})
}
