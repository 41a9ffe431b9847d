package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"c10m/admin"
	"c10m/conn"
	"c10m/tuning"

	"go.uber.org/zap"
)

// memoryMin is the least --max-memory: a server without a connection has about
// 30 MB, and one that refuses everybody from the start helps nobody.
const memoryMin = 64 << 20

// maxMemory reads --max-memory: whether to look at all, and the server's own
// limit in bytes, 0 for none.
func (f *serveFlags) maxMemory() (watch bool, bytes int64, err error) {
	switch f.MaxMemory {
	case "off":
		return false, 0, nil
	case "auto":
		return true, 0, nil
	}
	var size byteSize
	if err := size.UnmarshalText([]byte(f.MaxMemory)); err != nil || size < memoryMin {
		return false, 0, fmt.Errorf("--max-memory is %q and must be auto, off, or a size of 64MiB or more, like 4GiB", f.MaxMemory)
	}
	return true, int64(size), nil
}

// watchMemory has newcomers refused while memory is short, and logs when that
// begins and ends, until stop is called. The admin pages show it.
func watchMemory(f *serveFlags, shared *conn.Shared, sources *admin.Sources, log *zap.Logger) (stop func()) {
	watch, bytes, _ := f.maxMemory() // Validate has seen the error
	if !watch {
		return func() {}
	}
	sum := func(of func(admin.Loop) int64) func() int64 {
		return func() (all int64) {
			for _, l := range sources.Loops {
				all += of(l)
			}
			return all
		}
	}
	guard := tuning.NewMemoryGuard(tuning.ThisHost(), tuning.MemoryConfig{
		MaxBytes: bytes, SendBufferBytes: int64(f.SendBuffer),
		Connections: sum(func(l admin.Loop) int64 { return l.Poller.Connections.Load() }),
		Blocked:     sum(func(l admin.Loop) int64 { return l.Channel.Blocked.Load() }),
		Relieve:     debug.FreeOSMemory,
		Activity:    shared.Activity.Count,
		Await:       func(activity uint64, most time.Duration) { shared.Activity.Await(activity, int64(most)) },
		Interrupt:   shared.Activity.Interrupt,
	})
	if soft := guard.SoftLimit(); soft > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(soft)
	}
	changed := func() {
		shared.MemoryShort.Store(guard.Short())
		if guard.Short() {
			log.Warn(guard.Reason())
			return
		}
		used, limit := guard.Usage()
		log.Info("there is memory again: newcomers are admitted", zap.Int64("used_bytes", used), zap.Int64("limit_bytes", limit))
	}
	if guard.Short() {
		changed()
	}
	sources.Memory = guard
	return guard.Watch(changed)
}
