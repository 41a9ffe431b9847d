package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hostMemory is what the whole host uses, in bytes.
type hostMemory struct {
	Used int64 // everything but files and what is free
	Slab int64 // the kernel's objects, sockets above all
}

// readHostMemory takes MemTotal - MemFree - Buffers - Cached, less the pages
// that processors keep for themselves: those are free, but MemFree does not
// say so. They were 310 MB on a host of two processors, twice what 18,000
// pairs take, and connecting uses them up first.
func readHostMemory() (hostMemory, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return hostMemory{}, err
	}
	zones, err := os.ReadFile("/proc/zoneinfo")
	if err != nil {
		return hostMemory{}, err
	}
	m, err := parseMeminfo(string(text))
	m.Used -= parsePagesets(string(zones)) * int64(os.Getpagesize())
	return m, err
}

func parseMeminfo(text string) (m hostMemory, err error) {
	fields, err := kibibyteFields(text, "MemTotal", "MemFree", "Buffers", "Cached", "Slab")
	if err != nil {
		return m, fmt.Errorf("/proc/meminfo: %w", err)
	}
	return hostMemory{Used: fields[0] - fields[1] - fields[2] - fields[3], Slab: fields[4]}, nil
}

// parsePagesets adds the "count: N" of every processor in every zone.
func parsePagesets(text string) (pages int64) {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(strings.TrimSpace(line), "count:"); found {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			pages += n
		}
	}
	return pages
}

// kibibyteFields finds lines "name: 123 kB" and returns bytes.
func kibibyteFields(text string, names ...string) ([]int64, error) {
	values := make([]int64, len(names))
	found := 0
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		index := slices.Index(names, name)
		if index < 0 {
			continue
		}
		number, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return nil, err
		}
		values[index] = number << 10
		found++
	}
	if found < len(names) {
		return nil, fmt.Errorf("not all of %v are there", names)
	}
	return values, nil
}

// settledMemory waits until what was only needed for a moment is free.
func settledMemory(ctx context.Context) (hostMemory, error) {
	if err := pause(ctx, memorySettle); err != nil {
		return hostMemory{}, err
	}
	var used, slab []int64
	for range memorySamples {
		m, err := readHostMemory()
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
	return hostMemory{Used: used[memorySamples/2], Slab: slab[memorySamples/2]}, nil
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
func awaitFreed(ctx context.Context, before, full hostMemory) error {
	allowed := before.Slab + max(freedBytesMin, int64(freedShare*float64(full.Slab-before.Slab)))
	lowest, lowestAt := full.Slab, time.Now()
	for end := time.Now().Add(freedTimeout); time.Now().Before(end) && time.Since(lowestAt) < freedStill; {
		m, err := readHostMemory()
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

// residentBytes is VmRSS of a child.
func (c *child) residentBytes() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.Pid))
	if err != nil {
		return 0, err
	}
	fields, err := kibibyteFields(string(text), "VmRSS")
	if err != nil {
		return 0, fmt.Errorf("/proc/PID/status: %w", err)
	}
	return fields[0], nil
}

// listenDrops is how many SYNs and handshakes the host's listeners have thrown
// away, mostly because an accept queue was full: each costs its client a
// second. 0 if the kernel does not say.
func listenDrops() int64 {
	text, err := os.ReadFile("/proc/net/netstat")
	if err != nil {
		return 0
	}
	return parseListenDrops(string(text))
}

// parseListenDrops finds a column of a pair of lines, names above values.
func parseListenDrops(text string) int64 {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TcpExt:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if i := slices.Index(names, "ListenDrops"); i > 0 && i < len(fields) {
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			return n
		}
	}
	return 0
}
