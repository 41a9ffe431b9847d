package main

import (
	"context"
	"slices"
	"time"

	"c10m/bench/proc"
)

// settledMemory waits until what was only needed for a moment is free.
func settledMemory(ctx context.Context) (proc.Memory, error) {
	if err := pause(ctx, memorySettle); err != nil {
		return proc.Memory{}, err
	}
	var used, slab []uint64
	for range memorySamples {
		m, err := proc.HostMemory()
		if err != nil {
			return m, err
		}
		used, slab = append(used, m.Used), append(slab, m.Slab)
		if err := pause(ctx, memoryPause); err != nil {
			return m, err
		}
	}
	slices.Sort(used)
	slices.Sort(slab)
	return proc.Memory{Used: used[memorySamples/2], Slab: slab[memorySamples/2]}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// awaitFreed waits until the kernel has freed the sockets of a side that is
// gone, which it does long after close(2) has returned, or frees no more.
func awaitFreed(ctx context.Context, before, full proc.Memory) error {
	taken := float64(full.Slab) - float64(before.Slab)
	allowed := before.Slab + max(freedBytesMin, uint64(max(0, freedShare*taken)))
	lowest, lowestAt := full.Slab, time.Now()
	for end := time.Now().Add(freedTimeout); time.Now().Before(end) && time.Since(lowestAt) < freedStill; {
		m, err := proc.HostMemory()
		if err != nil || m.Slab <= allowed {
			return err
		}
		if m.Slab < lowest {
			lowest, lowestAt = m.Slab, time.Now()
		}
		if err := pause(ctx, memoryPause); err != nil {
			return err
		}
	}
	return nil
}
