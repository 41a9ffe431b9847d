package access

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"c10m/internal/rate"
)

// AddressLimits are limits per client address (per Key). The zero value limits
// nothing.
type AddressLimits struct {
	// Connections is how many an address may have at once; 0 is any number.
	Connections int
	// RatePerSecond is how many an address may begin per second in the long
	// run; 0 is any number. Burst is how many at once after a pause, 1 at least.
	RatePerSecond float64
	Burst         int
}

// A Verdict says whether a connection of an address may go on.
type Verdict uint8

const (
	Admitted Verdict = iota
	TooMany          // the address has as many connections as it may
	TooFast          // it began too many of late
)

const (
	// addressShards is over how many locks the addresses are spread: some for
	// each loop, so that two seldom meet.
	addressShards = 256
	// pausedAddressesMax is how many addresses without a connection are kept for
	// their rate alone, all shards together: 1<<20 take 50 MB.
	pausedAddressesMax = 1 << 20
	// looksPerNewcomer is how many addresses a new one has looked at, to forget
	// those that have nothing to be remembered for: more than one, so that there
	// are fewer and fewer of them. looksPerNewcomerFull is the same when a shard
	// is full: one of them is forgotten then in any case.
	looksPerNewcomer     = 4
	looksPerNewcomerFull = 64
)

// Addresses counts connections per client address, over all loops.
//
// Admit and Release may be called from any goroutine. They take a lock that
// nothing else takes, for half a microsecond (BenchmarkAdmitAndRelease); a loop calls
// each once per connection, and never on the way of a message.
//
// An address is in memory for as long as it has a connection, and that count is never
// forgotten; and for as long as its rate is to be remembered. The latter are bounded
// (pausedAddressesMax): when there are more, somebody with very many addresses is calling,
// and the one that is nearest to being forgotten goes. Who makes the server forget so gains
// nothing: an address never seen would have its burst as well.
type Addresses struct {
	// Fixed after construction.
	connectionsMax int // 0 is any number
	rate           rate.Limit
	seed           maphash.Seed

	pausedPerShardMax int // of limits above, or a test's own

	shards [addressShards]addressShard
	// Shared: atomic.
	count atomic.Int64
}

type addressShard struct {
	mu    sync.Mutex
	known map[Key]addressState
	// paused is the number of those without a connection.
	paused int
	_      [40]byte // a cache line each
}

type addressState struct {
	rest        int64 // when its rate is at rest
	connections int32
}

// forgettable reports whether the address is as good as one never seen.
func (a addressState) forgettable(now int64) bool { return a.connections == 0 && a.rest <= now }

// NewAddresses makes the table. It returns nil, which admits everybody and costs
// nothing, if there is no limit.
func NewAddresses(limits AddressLimits) *Addresses {
	if limits.Connections <= 0 && limits.RatePerSecond <= 0 {
		return nil
	}
	a := &Addresses{
		connectionsMax: limits.Connections, rate: rate.New(limits.RatePerSecond, limits.Burst),
		seed: maphash.MakeSeed(), pausedPerShardMax: pausedAddressesMax / addressShards,
	}
	for i := range a.shards {
		a.shards[i].known = make(map[Key]addressState)
	}
	return a
}

// Admit counts a connection of key that begins now (nanoseconds of any clock
// that all callers share), if it may. Whoever is Admitted must be Released once.
func (a *Addresses) Admit(key Key, now int64) Verdict {
	s := a.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	state, isKnown := s.known[key]
	if a.connectionsMax > 0 && int(state.connections) >= a.connectionsMax {
		return TooMany
	}
	if a.rate.Interval > 0 {
		from, after := a.rate.Reserve(state.rest, now, 1)
		if from > now {
			return TooFast
		}
		state.rest = after
	}
	switch {
	case !isKnown:
		a.makeRoom(s, now)
		a.count.Add(1)
	case state.connections == 0:
		s.paused--
	}
	state.connections++
	s.known[key] = state
	return Admitted
}

// Release counts a connection of key off.
func (a *Addresses) Release(key Key, now int64) {
	s := a.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	state, isKnown := s.known[key]
	if !isKnown || state.connections <= 0 {
		panic("BUG: a connection of an address that has none is released")
	}
	if state.connections--; state.forgettable(now) {
		delete(s.known, key)
		a.count.Add(-1)
		return
	}
	s.known[key] = state
	if state.connections == 0 {
		s.paused++
	}
}

// makeRoom forgets addresses of a shard that is about to have one more. The
// runtime begins each walk over a map at a random place.
func (a *Addresses) makeRoom(s *addressShard, now int64) {
	if s.paused == 0 {
		return
	}
	full := s.paused >= a.pausedPerShardMax
	looks := looksPerNewcomer
	if full {
		looks = looksPerNewcomerFull
	}
	forgotten, first := 0, Key(0)
	firstRest := int64(math.MaxInt64)
	for key, state := range s.known {
		if looks--; looks < 0 {
			break
		}
		if state.forgettable(now) {
			delete(s.known, key)
			forgotten++
		} else if state.connections == 0 && state.rest < firstRest {
			first, firstRest = key, state.rest
		}
	}
	if full && forgotten == 0 && firstRest != math.MaxInt64 {
		delete(s.known, first)
		forgotten++
	}
	s.paused -= forgotten
	a.count.Add(int64(-forgotten))
}

func (a *Addresses) shard(key Key) *addressShard {
	return &a.shards[maphash.Comparable(a.seed, key)%addressShards]
}

// RetryAfter is how long an address that was TooFast waits at most until it may
// begin a connection.
func (a *Addresses) RetryAfter() time.Duration { return time.Duration(a.rate.Interval) }

// Count is the number of addresses in memory. Any goroutine may call it, also
// with a nil receiver.
func (a *Addresses) Count() int64 {
	if a == nil {
		return 0
	}
	return a.count.Load()
}
