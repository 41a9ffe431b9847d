package tuning

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// MemoryConfig is what a MemoryGuard is to keep.
type MemoryConfig struct {
	// MaxBytes is the server's own limit; 0 is none but the host's and the
	// cgroup's.
	MaxBytes int64
	// SendBufferBytes is SO_SNDBUF of the connections; 0 is the kernel's choice.
	SendBufferBytes int64
	// Connections and Blocked are how many connections there are, and how many
	// of them have a full socket. They are called from the guard's goroutine.
	Connections, Blocked func() int64
	// Relieve gives back what the process does not need: it is called when memory
	// becomes short and every memoryRelieveLooks looks while it is, from the
	// guard's goroutine. Nil is nothing.
	Relieve func()
	// Activity grows while the loops do anything, Await sleeps until it is no longer that,
	// but no longer than a time, and Interrupt ends that. nil: the guard never rests.
	Activity  func() uint64
	Await     func(activity uint64, most time.Duration)
	Interrupt func()
}

// A MemoryGuard says when memory is so short that newcomers are to be refused.
// Against each limit it has a high-water mark, above which memory is short, and a
// low-water mark, below which it is not any more: in between it stays what it
// was, so that a server at its limit does not change its mind every second.
//
//	limit           what is used                          short       well again
//	MaxBytes        resident memory of the process, and   from it on  below 15/16
//	                of the kernel's for its sockets: 4,029             of it
//	                bytes for each, and what the full
//	                ones may hold
//	each cgroup's   memory.current without inactive_file  R/2 left    3/4 R left
//	the host's      MemTotal - MemAvailable               R/2 left    3/4 R left
//
// R is what [DefaultMaxConnections] keeps back, of what was free when the guard
// first looked: 1/16, at least 256 MiB, but not more than a quarter. A server that
// is filled to its default number of connections is so below both marks.
//
// What full sockets hold is an estimate, and there are two which are both at
// least the truth: SO_SNDBUF for each, and all memory of TCP on this host
// (/proc/net/sockstat). The smaller one counts.
type MemoryGuard struct {
	// Fixed after construction.
	host      Host
	config    MemoryConfig
	perSocket int64 // bytes that a full socket may hold

	// Owned by whoever calls Look.
	reserves map[string]int64 // R, by the name of the limit
	network  networkCounts

	state atomic.Pointer[memoryState] // shared
}

// A memoryState is what a look found: what is used of the limit that is nearest, and why
// newcomers are refused, empty if they are not.
type memoryState struct {
	used, limit int64
	reason      string
}

// NewMemoryGuard makes a guard and has its first look.
func NewMemoryGuard(host Host, config MemoryConfig) *MemoryGuard {
	g := &MemoryGuard{host: host, config: config, network: newNetworkCounts(host), reserves: make(map[string]int64)}
	g.perSocket = g.fullSocketBytes()
	g.state.Store(&memoryState{})
	g.Look()
	return g
}

// Short reports whether newcomers are to be refused. Any goroutine may call it.
func (g *MemoryGuard) Short() bool { return g.Reason() != "" }

// Reason says in one sentence which limit is near, as of the last change; empty if
// memory is not short. Any goroutine may call it.
func (g *MemoryGuard) Reason() string { return g.state.Load().reason }

// Usage is what is used of the limit that is nearest, in bytes, at the last look;
// 0 and 0 if nothing is known. Any goroutine may call it.
func (g *MemoryGuard) Usage() (used, limit int64) {
	state := g.state.Load()
	return state.used, state.limit
}

// SoftLimit is the lowest of the low-water marks, the host's aside: what the Go
// runtime should stay below (runtime/debug.SetMemoryLimit), so that garbage alone
// neither keeps newcomers out nor has the kernel kill the server. 0 is none. Call
// it before Watch.
func (g *MemoryGuard) SoftLimit() (bytes int64) {
	for _, b := range g.budgets() {
		if b.name != hostMemory && (bytes == 0 || b.low < bytes) {
			bytes = b.low
		}
	}
	return bytes
}

// Watch looks once a second from a goroutine of its own until stop is called, and
// calls changed after each change. While the loops do nothing, and memory is not short, it
// rests and looks every memoryRestSeconds.
func (g *MemoryGuard) Watch(changed func()) (stop func()) {
	ticker, done, ended := time.NewTicker(memoryLookSeconds*time.Second), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer ticker.Stop()
		seen, hasActivity := uint64(0), g.config.Activity != nil
		for looks := 0; ; looks++ {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			if g.Look() {
				changed()
				looks = 0
			}
			if g.Short() && looks%memoryRelieveLooks == 0 && g.config.Relieve != nil {
				g.config.Relieve()
			}
			if !hasActivity {
				continue
			}
			if now := g.config.Activity(); now != seen || g.Short() {
				seen = now
				continue
			}
			ticker.Stop()
			g.config.Await(seen, memoryRestSeconds*time.Second)
			ticker.Reset(memoryLookSeconds * time.Second)
		}
	}()
	return func() {
		close(done)
		for {
			if g.config.Interrupt != nil {
				g.config.Interrupt() // it may be about to rest
			}
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// Look reads what is used now and reports whether the verdict has changed. One
// goroutine at a time may call it; Watch does.
func (g *MemoryGuard) Look() (changed bool) {
	budgets := g.budgets()
	var nearest *memoryBudget
	full, well := false, true
	for i := range budgets {
		b := &budgets[i]
		full = full || b.used >= b.high
		well = well && b.used < b.low
		if nearest == nil || b.high-b.used < nearest.high-nearest.used {
			nearest = b
		}
	}
	if nearest == nil {
		nearest = &memoryBudget{}
	}
	before := g.Reason()
	now := memoryState{used: nearest.used, limit: nearest.limit, reason: before}
	switch {
	case before == "" && full:
		now.reason = fmt.Sprintf("memory is short: %s of %s are used (%s); newcomers are refused until it is less than %s",
			size(nearest.used), size(nearest.limit), nearest.name, size(nearest.low))
	case well:
		now.reason = ""
	}
	g.state.Store(&now)
	return now.reason != before
}

const hostMemory = "the memory of this host"

// A memoryBudget is one limit: short from used >= high on, well from used < low.
type memoryBudget struct {
	name                   string
	used, limit, high, low int64
}

// budgets reads all limits that are known, and what is used of them.
func (g *MemoryGuard) budgets() (all []memoryBudget) {
	if limit := g.config.MaxBytes; limit > 0 {
		all = append(all, memoryBudget{"--max-memory", g.ownBytes(), limit, limit, limit - limit/16})
	}
	levels, _ := g.host.cgroupMemory()
	for _, l := range levels {
		if l.Used > 0 {
			all = append(all, g.kept("the memory limit of cgroup "+l.Path, l.Used, l.Limit))
		}
	}
	total, ok1 := g.host.meminfo("MemTotal")
	available, ok2 := g.host.meminfo("MemAvailable")
	if ok1 && ok2 {
		all = append(all, g.kept(hostMemory, total-available, total))
	}
	return all
}

// kept is a limit that others put, of which something is kept back.
func (g *MemoryGuard) kept(name string, used, limit int64) memoryBudget {
	r, known := g.reserves[name]
	if !known {
		left := max(limit-used, 0)
		r = min(reserve(left), left/4)
		g.reserves[name] = r
	}
	return memoryBudget{name, used, limit, limit - r/2, limit - r/4*3}
}

// ownBytes is what the process takes, the kernel's part included.
func (g *MemoryGuard) ownBytes() int64 {
	bytes := g.config.Connections() * kernelBytesPerConnection
	if pages, ok := numbers(g.host.Proc, "self/statm"); ok && len(pages) > 1 {
		bytes += pages[1] * int64(os.Getpagesize())
	}
	buffers := g.config.Blocked() * g.perSocket
	if all, ok := g.network.tcpBytes(); ok {
		buffers = min(buffers, all)
	}
	return bytes + buffers
}

// fullSocketBytes is SO_SNDBUF as the kernel counts it: at most
// net.core.wmem_max, and doubled for its own bookkeeping (socket(7)). What it grows
// by itself ends at tcp_wmem[2] (tcp(7)).
func (g *MemoryGuard) fullSocketBytes() int64 {
	bytes := g.config.SendBufferBytes
	if bytes == 0 {
		if wmem, ok := g.host.sysctls("net.ipv4.tcp_wmem"); ok && len(wmem) == 3 {
			return wmem[2]
		}
		return tcpWmemMaxDefault
	}
	if most, ok := g.host.sysctl("net.core.wmem_max"); ok {
		bytes = min(bytes, most)
	}
	return 2 * bytes
}
