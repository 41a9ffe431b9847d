package main

import (
	"time"

	"c10m/bench/proc"
)

// A reading is what a server had used at a time.
type reading struct {
	at     time.Time
	cpu    float64 // seconds
	memory uint64  // bytes; 0: not looked at
}

// A watch looks at the processes of a server until it is stopped.
type watch struct {
	// Fixed after construction.
	pid  int
	quit chan struct{}
	done chan []reading
}

// startWatch takes the first reading before it returns, so that it is of a
// server that nobody has connected to.
func startWatch(pid int) *watch {
	w := &watch{pid: pid, quit: make(chan struct{}), done: make(chan []reading, 1)}
	first := read(pid, true)
	go func() {
		readings := []reading{first}
		ticker := time.NewTicker(sampleInterval)
		defer ticker.Stop()
		for i := 1; ; i++ {
			select {
			case <-w.quit:
				w.done <- readings
				return
			case <-ticker.C:
				readings = append(readings, read(pid, i%memoryEvery == 0))
			}
		}
	}()
	return w
}

// stop returns all readings.
func (w *watch) stop() []reading {
	close(w.quit)
	return <-w.done
}

// read adds up a process and its descendants; one that ends meanwhile counts
// as nothing.
func read(pid int, memory bool) reading {
	r := reading{at: time.Now()}
	for _, pid := range proc.Tree(pid) {
		seconds, _ := proc.CPU(pid)
		r.cpu += seconds
		if memory {
			bytes, _ := proc.Proportional(pid)
			r.memory += bytes
		}
	}
	return r
}

// cores is the mean over the readings between two times; ok is false if there
// are not two of them.
func cores(readings []reading, from, to time.Time) (mean float64, ok bool) {
	// Processor time is cumulative, so the readings in between do not matter.
	var first, last *reading
	for i := range readings {
		r := &readings[i]
		if r.at.Before(from) || r.at.After(to) {
			continue
		}
		if first == nil {
			first = r
		}
		last = r
	}
	if first == last {
		return 0, false
	}
	return max(0, last.cpu-first.cpu) / last.at.Sub(first.at).Seconds(), true
}

// memoryAt is the last look at the memory up to a time.
func memoryAt(readings []reading, at time.Time) (bytes uint64) {
	for _, r := range readings {
		if r.memory > 0 && !r.at.After(at) {
			bytes = r.memory
		}
	}
	return bytes
}
