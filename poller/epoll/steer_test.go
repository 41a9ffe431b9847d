package epoll

import (
	"syscall"
	"testing"

	"c10m/poller"
)

// steered is a kernel that only remembers where listeners were steered to.
type steered struct {
	Kernel
	cpus map[int]int
}

func (k *steered) Steer(listener, cpu int) syscall.Errno { k.cpus[listener] = cpu; return 0 }

// A loop to which all connections come because all packets arrive at its
// processor stops asking for them; one that has a little more does not.
func TestSteeringEndsWhereItUnbalances(t *testing.T) {
	kernel := &steered{cpus: map[int]int{}}
	crew := &crew{loops: 2}
	var engines [2]*Engine
	for i := range engines {
		e := newEngine(kernel, 0, nil)
		e.loop = poller.New(poller.Config{Loops: 1}).Add(e)
		e.cpu, e.crew, e.accept.listeners = i, crew, []listener{{10 * i, 0}, {10*i + 1, 0}}
		e.accept.steer(e, e.cpu)
		engines[i] = e
	}
	balance := func(counts ...int) {
		for i, e := range engines {
			e.balanceAt = 0
			e.balance(counts[i])
		}
	}
	balance(steerSlackConnections, 0)
	balance(30_000, 20_000)
	if kernel.cpus[0] != 0 || kernel.cpus[1] != 0 || kernel.cpus[10] != 1 {
		t.Fatalf("a small difference ended steering: %v", kernel.cpus)
	}
	balance(10_000, 50_000)
	balance(10_000, 51_000)
	balance(50_000, 51_000) // for a moment only
	for range steerLooks - 1 {
		balance(10_000, 52_000)
	}
	if kernel.cpus[10] != 1 {
		t.Fatal("steering ended too soon")
	}
	balance(10_000, 52_000)
	if kernel.cpus[0] != 0 || kernel.cpus[10] != -1 || kernel.cpus[11] != -1 {
		t.Fatalf("listeners are steered to %v", kernel.cpus)
	}
	if engines[0].loop.Stats().SteeringsEnded.Load() != 0 || engines[1].loop.Stats().SteeringsEnded.Load() != 1 {
		t.Error("the counters do not say which loop")
	}
	balance(10_000, 60_000)
	if n := engines[1].loop.Stats().SteeringsEnded.Load(); n != 1 {
		t.Errorf("steering ended %d times", n)
	}
	if all := crew.connections.Load(); all != 70_000 {
		t.Errorf("the crew counts %d connections", all)
	}
}
