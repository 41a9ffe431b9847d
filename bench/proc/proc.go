package proc

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ClockTicksPerSecond is USER_HZ, which Linux fixes at 100 for /proc/PID/stat
// on every architecture that Go runs on.
const ClockTicksPerSecond = 100

// CPU is the processor time that a process has had, in seconds.
func CPU(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(stat))
}

// parseStat adds utime and stime, fields 14 and 15 of proc_pid_stat(5). The
// second field is a name that may hold anything, so counting begins behind it.
func parseStat(stat string) (float64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("unexpected /proc/PID/stat: %q", stat)
	}
	user, err := strconv.ParseUint(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseUint(fields[12], 10, 64)
	return float64(user+system) / ClockTicksPerSecond, err
}

// OwnCPU is the processor time of this process, in seconds.
func OwnCPU() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// BusyCPU is the processor time that the whole host has used, in seconds.
func BusyCPU() float64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	return parseBusy(string(stat))
}

// parseBusy adds the first line of proc_stat(5) without idle and iowait; guest
// time is in user time already.
func parseBusy(stat string) float64 {
	line, _, _ := strings.Cut(stat, "\n")
	ticks := uint64(0)
	for i, field := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return float64(ticks) / ClockTicksPerSecond
}

// Resident is a process's resident memory in bytes: VmRSS of
// proc_pid_status(5).
func Resident(pid int) (uint64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	bytes, found := parseKilobytes(string(status))["VmRSS"]
	if !found {
		return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
	}
	return bytes, nil
}

// Memory is the host's, in bytes.
type Memory struct {
	Total uint64
	// Used is what is neither free nor could be at once: without buffers and
	// the page cache, with all slab.
	Used uint64
	Slab uint64 // the kernel's objects, sockets above all
}

// HostMemory reads proc_meminfo(5), and takes from what is used the pages that
// processors keep for themselves: those are free, but MemFree does not say so.
// They were 310 MB on a host of two processors, twice what 18,000 pairs of
// sockets take, and connecting uses them up first. A kernel that hides them
// gives the sum of both.
func HostMemory() (Memory, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Memory{}, err
	}
	m, err := parseMemory(string(text))
	if zones, hidden := os.ReadFile("/proc/zoneinfo"); hidden == nil {
		m.Used -= min(m.Used, parsePagesets(string(zones))*uint64(os.Getpagesize()))
	}
	return m, err
}

// parsePagesets adds the "count: N" of every processor in every zone of
// /proc/zoneinfo (proc(5)).
func parsePagesets(text string) (pages uint64) {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(strings.TrimSpace(line), "count:"); found {
			n, _ := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			pages += n
		}
	}
	return pages
}

func parseMemory(text string) (Memory, error) {
	m := parseKilobytes(text)
	for _, name := range []string{"MemTotal", "MemFree", "Buffers", "Cached", "Slab"} {
		if _, found := m[name]; !found {
			return Memory{}, fmt.Errorf("/proc/meminfo has no %s", name)
		}
	}
	return Memory{Total: m["MemTotal"], Slab: m["Slab"],
		Used: m["MemTotal"] - m["MemFree"] - m["Buffers"] - m["Cached"]}, nil
}

// parseKilobytes reads lines of "Name: 123 kB", as bytes.
func parseKilobytes(text string) map[string]uint64 {
	values := map[string]uint64{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(rest)
		if len(fields) != 2 || fields[1] != "kB" {
			continue
		}
		if n, err := strconv.ParseUint(fields[0], 10, 64); err == nil {
			values[name] = n * 1024
		}
	}
	return values
}
