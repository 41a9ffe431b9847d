package poller

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// The collector stops the world twice in a cycle, and waits each time until
// every thread in the middle of a turn has been on a processor once more. With
// 54 loops on two of them that was 134 ms. So where loops share processors, a
// cycle begins a little before the runtime would begin it, and with the
// turnstile closed: then only as many loops as there are processors are in the
// middle of a turn, and the others wait where the collector needs nothing of
// them.

// heapSamples are what the runtime tells of its heap.
func heapSamples() []metrics.Sample {
	return []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/goal:bytes"}}
}

// collectionIsDue reports whether the runtime would begin a cycle soon.
func collectionIsDue(samples []metrics.Sample) bool {
	metrics.Read(samples)
	objects, goal := samples[0].Value.Uint64(), samples[1].Value.Uint64()
	return objects >= goal/100*collectPercentOfGoal
}

// collect begins the cycles until ended is closed.
func (t *turnstile) collect(ended <-chan struct{}) {
	samples := heapSamples()
	tick := time.NewTicker(collectLookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if collectionIsDue(samples) {
			t.held.Add(1)
			for range collectSettleMillisMax {
				if t.without.Load() == 0 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			runtime.GC()
			t.held.Add(-1)
		}
	}
}
