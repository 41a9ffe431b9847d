package poller

import (
	"syscall"
	"testing"
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
	var loops [2]*Loop
	for i := range loops {
		l := newLoop(i, kernel, 0, nil)
		l.cpu, l.crew, l.accept.listeners = i, crew, []int{10 * i, 10*i + 1}
		l.accept.steer(l, l.cpu)
		loops[i] = l
	}
	balance := func(counts ...int) {
		for i, l := range loops {
			l.own.count = counts[i]
			l.now += tickNanosMax
			l.balance()
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
	if loops[0].stats.SteeringsEnded.Load() != 0 || loops[1].stats.SteeringsEnded.Load() != 1 {
		t.Error("the counters do not say which loop")
	}
	balance(10_000, 60_000)
	if n := loops[1].stats.SteeringsEnded.Load(); n != 1 {
		t.Errorf("steering ended %d times", n)
	}
	if all := crew.connections.Load(); all != 70_000 {
		t.Errorf("the crew counts %d connections", all)
	}
}
