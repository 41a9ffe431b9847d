package access

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
	"unsafe"
)

const second = int64(time.Second)

func TestConnectionsPerAddress(t *testing.T) {
	a := NewAddresses(AddressLimits{Connections: 3})
	for i, want := range []Verdict{Admitted, Admitted, Admitted, TooMany, TooMany} {
		if got := a.Admit(7, 0); got != want {
			t.Fatalf("connection %d: %v", i, got)
		}
	}
	if a.Admit(8, 0) != Admitted {
		t.Error("another address is refused")
	}
	a.Release(7, 0)
	if a.Admit(7, 0) != Admitted || a.Admit(7, 0) != TooMany {
		t.Error("one has left, and not exactly one may come")
	}
	for range 3 {
		a.Release(7, 0)
	}
	a.Release(8, 0)
	if n := a.Count(); n != 0 || len(a.shard(7).known) != 0 {
		t.Errorf("%d addresses are left", n)
	}
}

func TestRatePerAddress(t *testing.T) {
	a := NewAddresses(AddressLimits{RatePerSecond: 2, Burst: 4})
	now := 100 * second
	admit := func(want ...Verdict) {
		t.Helper()
		for i, w := range want {
			if got := a.Admit(7, now); got != w {
				t.Fatalf("%d: %v", i, got)
			}
			if w == Admitted {
				a.Release(7, now)
			}
		}
	}
	admit(Admitted, Admitted, Admitted, Admitted, TooFast, TooFast)
	now += second / 2
	admit(Admitted, TooFast)
	now += second - 1
	admit(Admitted, TooFast)
	now++
	admit(Admitted, TooFast)
	now += a.RetryAfter().Nanoseconds()
	admit(Admitted, TooFast)
	now += 1000 * second
	admit(Admitted, Admitted, Admitted, Admitted, TooFast)
	if a.Admit(8, now) != Admitted {
		t.Error("another address is refused")
	}
}

// What is refused costs nothing: an address that is over one limit does not
// lose of the other.
func TestRefusalsAreNotCounted(t *testing.T) {
	a := NewAddresses(AddressLimits{Connections: 1, RatePerSecond: 1, Burst: 3})
	if a.Admit(7, 0) != Admitted {
		t.Fatal("the first is refused")
	}
	for range 10 {
		if got := a.Admit(7, 0); got != TooMany {
			t.Fatalf("%v", got)
		}
	}
	a.Release(7, 0)
	for range 2 {
		if a.Admit(7, 0) != Admitted {
			t.Error("refusals were counted")
		}
		a.Release(7, 0)
	}
	if a.Admit(7, 0) != TooFast {
		t.Error("the rate is not counted")
	}
	if a.Admit(7, second) != Admitted {
		t.Error("being too fast was counted as a connection")
	}
}

// More addresses than are kept: those with a connection stay, the others are
// bounded, and the caller never gains more than a new address has.
func TestAddressesAreBounded(t *testing.T) {
	const pausedMax, held, visitors = 16, 3000, 200_000
	a := NewAddresses(AddressLimits{Connections: 1, RatePerSecond: 1. / 3600, Burst: 1})
	a.pausedPerShardMax = pausedMax
	for key := range Key(held) {
		a.Admit(key+1, 0)
	}
	for i := range Key(visitors) {
		key := held + 1 + i
		if got := a.Admit(key, int64(i)); got != Admitted {
			t.Fatalf("visitor %d: %v", i, got)
		}
		a.Release(key, int64(i))
	}
	paused := 0
	for i := range a.shards {
		paused += a.shards[i].paused
	}
	if most := addressShards * (pausedMax + 1); paused > most || a.Count() != int64(paused+held) {
		t.Errorf("%d addresses without a connection, %d in all; at most %d", paused, a.Count(), most)
	}
	for key := range Key(held) {
		if got := a.Admit(key+1, visitors); got != TooMany {
			t.Fatalf("the connection of address %d was forgotten: %v", key+1, got)
		}
	}
}

// Addresses whose rate is at rest again go as new ones come.
func TestAddressesAreForgotten(t *testing.T) {
	a := NewAddresses(AddressLimits{RatePerSecond: 10, Burst: 1})
	const visitors = 100_000
	for i := range Key(visitors) {
		now := int64(i) * second / 1000 // 100 of them are not at rest at a time
		a.Admit(i+1, now)
		a.Release(i+1, now)
	}
	if n := a.Count(); n > 20*addressShards {
		t.Errorf("%d addresses are in memory of %d, 100 of which are not at rest", n, visitors)
	}
}

// Against a naive model, by many goroutines: every count is exact in the end.
func TestAddressesConcurrently(t *testing.T) {
	const limit, loops, keys, steps = 5, 8, 40, 20_000
	a := NewAddresses(AddressLimits{Connections: limit})
	var held [loops][keys + 1]int
	var wait sync.WaitGroup
	for loop := range loops {
		random := rand.New(rand.NewPCG(uint64(loop), 1))
		wait.Go(func() {
			for range steps {
				key := 1 + random.IntN(keys)
				if held[loop][key] > 0 && random.IntN(2) == 0 {
					a.Release(Key(key), 0)
					held[loop][key]--
				} else if a.Admit(Key(key), 0) == Admitted {
					held[loop][key]++
				}
			}
		})
	}
	wait.Wait()
	for key := 1; key <= keys; key++ {
		sum := 0
		for loop := range loops {
			sum += held[loop][key]
		}
		if got := int(a.shard(Key(key)).known[Key(key)].connections); got != sum || sum > limit {
			t.Errorf("address %d: %d connections are counted, and there are %d; at most %d", key, got, sum, limit)
		}
		for range sum {
			a.Release(Key(key), 0)
		}
	}
	if a.Count() != 0 {
		t.Errorf("%d addresses are left", a.Count())
	}
}

func TestNoLimitIsNoTable(t *testing.T) {
	if a := NewAddresses(AddressLimits{Burst: 5}); a != nil || a.Count() != 0 {
		t.Error("a table without a limit")
	}
	if size := unsafe.Sizeof(addressShard{}); size%64 != 0 {
		t.Errorf("a shard of %d bytes shares cache lines", size)
	}
}

func TestReleasingNobodyPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("nothing happened")
		}
	}()
	NewAddresses(AddressLimits{Connections: 1}).Release(7, 0)
}

func BenchmarkAdmitAndRelease(b *testing.B) {
	for name, limits := range map[string]AddressLimits{
		"connections": {Connections: 1000},
		"rate":        {Connections: 1000, RatePerSecond: 1e6, Burst: 1000},
	} {
		b.Run(name, func(b *testing.B) {
			a := NewAddresses(limits)
			for key := range Key(1_000_000) {
				a.Admit(key+1, 0)
			}
			b.ReportAllocs()
			now := int64(0)
			for b.Loop() {
				now += 10_000
				key := Key(now%1_000_003) + 1
				if a.Admit(key, now) == Admitted {
					a.Release(key, now)
				}
			}
		})
	}
}
