package conn

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"c10m/conn/reasons"
	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/poller/epoll/epolltest"
	"c10m/poller/pollertest"
)

// What the simulations have in common: requests, WebSockets and connections of many
// channels, each on the real loop over a network in memory.

// A network is such a one: half of the seeds have the epoll engine over a kernel in memory,
// the others have an engine in memory.
type network struct {
	*pollertest.World
	Dial func() *pollertest.Peer
	Open func() int // connections and descriptors
	open func(newHandler func(*poller.Loop) poller.Handler) (*poller.Loop, error)
}

func newNetwork(seed uint64) *network {
	if seed&2 == 0 {
		engine, loop := pollertest.NewEngine(seed)
		return &network{
			World: engine.World,
			Dial:  func() *pollertest.Peer { return engine.Dial(TagHTTP) },
			Open:  engine.Connections,
			open: func(newHandler func(*poller.Loop) poller.Handler) (*poller.Loop, error) {
				return loop, loop.Open(newHandler)
			},
		}
	}
	kernel := epolltest.New(seed)
	return &network{
		World: kernel.World, Dial: kernel.Dial, Open: kernel.Open,
		open: func(newHandler func(*poller.Loop) poller.Handler) (*poller.Loop, error) {
			return newKernelLoop(kernel, kernel, 2, newHandler)
		},
	}
}

// newKernelLoop is a loop over a kernel in memory, which another may stand before.
func newKernelLoop(kernel *epolltest.Kernel, front epoll.Kernel, listeners int, newHandler func(*poller.Loop) poller.Handler) (*poller.Loop, error) {
	return epoll.NewLoop(epoll.Config{
		DescriptorsMax: 1 << 12, Listen: epoll.Listeners(TagHTTP, make([]poller.Address, listeners)...), Kernel: front,
	}, kernel.Eventfd(), newHandler)
}

// newSimulatedLoop is a loop and its server over such a network.
func newSimulatedLoop(t testing.TB, network *network, shared *Shared) (*poller.Loop, *Server) {
	t.Helper()
	var server *Server
	loop, err := network.open(func(l *poller.Loop) poller.Handler {
		server = NewServer(shared, l)
		return server
	})
	if err != nil {
		t.Fatal(err)
	}
	return loop, server
}

// openNaps has the loop open what naps need, which it keeps.
func openNaps(loop *poller.Loop) {
	loop.Nap(1)
	for range 3 { // the first does not sleep
		loop.Turn()
	}
}

// simulationSeeds are those from 1 to count and one of the clock, or the one that
// SIMULATION_SEED asks for.
func simulationSeeds(t *testing.T, count uint64) (seeds []uint64) {
	t.Helper()
	if text := os.Getenv("SIMULATION_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	for seed := range count {
		seeds = append(seeds, seed+1)
	}
	return append(seeds, uint64(time.Now().UnixNano()))
}

// fuzzChoices makes a fuzzer's bytes the choices of a simulation, as long as there
// are more.
func fuzzChoices(f *testing.F, play func(t *testing.T, seed uint64, choices *rand.Rand, more func() bool)) {
	random := rand.New(rand.NewPCG(1, 2))
	for seed := range byte(4) {
		ops := make([]byte, 2000)
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		f.Add(seed, ops)
	}
	f.Fuzz(func(t *testing.T, seed byte, ops []byte) {
		source := &opSource{ops: ops[:min(len(ops), 20_000)]}
		play(t, uint64(seed), rand.New(source), func() bool { return len(source.ops) > 0 })
	})
}

// An opSource makes a fuzzer's bytes the choices of a simulation.
type opSource struct {
	ops  []byte
	used uint64
}

// Uint64 implements rand.Source: a byte, spread over all bits, so that IntN of
// anything depends on it. Behind the end the numbers go on, as IntN may ask for
// more than one.
func (o *opSource) Uint64() uint64 {
	o.used++
	if len(o.ops) == 0 {
		return o.used * 0x9e3779b97f4a7c15
	}
	op := o.ops[0]
	o.ops = o.ops[1:]
	return uint64(op) * 0x0101010101010101
}

// checkNoneLeft fails with what is left of these when everybody has gone.
func checkNoneLeft(failf func(format string, a ...any), left map[string]int64) {
	for name, n := range left {
		if n != 0 {
			failf("%s: %d left over", name, n)
		}
	}
}

// checkReasons fails unless each connection that was accepted has one for its end.
func checkReasons(failf func(format string, a ...any), loop *poller.Loop, server *Server) {
	closes := uint64(0)
	for _, reason := range reasons.All() {
		closes += server.Stats().Closes[reason].Load()
	}
	if accepted := loop.Stats().Accepted.Load(); closes != accepted {
		failf("%d connections were accepted and %d have a reason for their end", accepted, closes)
	}
	if n := server.Stats().Closes[reasons.Stopped].Load(); n != 0 {
		failf("%d connections were closed because the loop stopped, and it did not", n)
	}
}
