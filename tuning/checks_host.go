package tuning

import (
	"fmt"
	"math"
)

func (x *examination) memory() {
	total := x.load.estimate().Total
	x.ram(total)
	x.cgroup(total)
	x.tcpMem()
}

// grade holds what is needed against all memory there is and against what of
// it is free now. Only the first is a verdict on the host; the second may be
// the server itself, running.
func (c *Check) grade(need, all, free int64) {
	switch {
	case need > all-reserve(all):
		c.Verdict = Low
	case need > free:
		c.Verdict = Advice
		c.Remark = fmt.Sprintf("only %s of it are free now", size(max(free, 0)))
	default:
		c.Verdict = OK
	}
}

func (x *examination) lessConnections() string {
	n, _ := x.host.most(x.want, x.host.memoryBound())
	return fmt.Sprintf("or --max-connections %d", n)
}

func (x *examination) ram(need int64) {
	c := Check{
		Setting: "memory", Need: size(need), Verdict: Unknown, Now: "?",
		Why:  "the kernel kills the server, or another process, when no memory is left",
		warn: true,
		Fix:  "more memory, " + x.lessConnections(),
	}
	if all, ok := x.host.meminfo("MemTotal"); ok {
		free, known := x.host.meminfo("MemAvailable")
		if !known {
			free = all
		}
		c.Now = size(all)
		c.grade(need, all, free)
	}
	x.add(c)
}

func (x *examination) cgroup(need int64) {
	c := Check{
		Setting: "cgroup memory limit", Need: size(need), Verdict: Unknown, Now: "?",
		Why:  "the kernel kills the server at this limit, to which its sockets count as well",
		warn: true,
	}
	levels, ok := x.host.cgroupMemory()
	smallest, limited := least(levels, cgroupLevel.limit)
	switch {
	case limited:
		left, _ := least(levels, cgroupLevel.left)
		c.Now = size(smallest.Limit)
		c.grade(need, smallest.Limit, left.left())
		c.Why += ", cgroup " + smallest.Path
		c.Fix = fmt.Sprintf("a limit of %s (MemoryMax= and MemoryHigh= in the systemd unit, --memory of the container), %s",
			size(withReserve(need)), x.lessConnections())
	case ok:
		c.Now, c.Need, c.Verdict = "none", "-", OK
	}
	x.add(c)
}

// withReserve is the memory of which need is left when the reserve is kept.
func withReserve(need int64) int64 {
	return max(need+memoryReserveBytesMin, need/(memoryReserveFraction-1)*memoryReserveFraction)
}

// tcpMem: "low, pressure, high" in pages (tcp(7)). The kernel's own ratio of
// the three is 3/4 : 1 : 3/2 (tcp_init_mem), and what is larger already stays.
func (x *examination) tcpMem() {
	need := x.load.needTCPPages()
	c := Check{
		Setting: "net.ipv4.tcp_mem", Now: "?", Need: count(need) + " pages", Verdict: Unknown,
		Why: "under pressure the kernel shrinks windows, and above the third value sends fail and what arrives is dropped",
	}
	now, ok := x.host.sysctls(c.Setting)
	values := []int64{need / 4 * 3, need, need / 2 * 3}
	if ok && len(now) == 3 {
		c.Now, c.Verdict = count(now[1])+" pages", OK
		c.Above = now[1] > need
		switch {
		case now[2] < need:
			c.Verdict = Low
		case now[1] < need:
			c.Verdict = Advice
		}
		for i := range values {
			values[i] = max(values[i], now[i])
		}
	}
	x.sysctl(c, values...)
}

// system: what rarely binds, but stops everything when it does.
func (x *examination) system() {
	x.portRange()
	x.localPorts()
	x.enough("vm.max_map_count", x.load.needMaps(), Low, "mmap fails with ENOMEM")
	x.overcommit()
	x.threads()
	x.kernelVersion()
}

// portRange never binds a server. It is here for who tests from one host: a
// client address reaches each listening port once per local port.
func (x *examination) portRange() {
	c := Check{Setting: "net.ipv4.ip_local_port_range"}
	v, ok := x.host.sysctls(c.Setting)
	if !ok || len(v) != 2 || v[1] < v[0] {
		x.notNeeded(c, "?", "")
		return
	}
	reach := (v[1] - v[0] + 1) * x.load.ports
	remark := fmt.Sprintf("for a load client only: one address of its own reaches %s connections to %s ports",
		count(reach), count(x.load.ports))
	if reach < x.load.connections {
		remark += "; on the client, sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\" or more addresses"
	}
	x.notNeeded(c, fmt.Sprintf("%d-%d", v[0], v[1]), remark)
}

// overcommit: only mode 2 refuses memory that is free (overcommit-accounting.rst).
func (x *examination) overcommit() {
	c := Check{
		Setting: "vm.overcommit_memory", Need: "0 or 1", Verdict: OK,
		Why: "in mode 2 the kernel refuses memory beyond CommitLimit, although it is free",
	}
	mode, ok := x.host.sysctl(c.Setting)
	c.Now = told(mode, ok)
	if !ok {
		c.Verdict = Unknown
	}
	c.Above = mode == 1 // redis and others ask for that; leave it
	if mode == 2 {
		limit, ok1 := x.host.meminfo("CommitLimit")
		used, ok2 := x.host.meminfo("Committed_AS")
		need := x.load.estimate().ProcessChannels
		switch left := limit - used; {
		case !ok1 || !ok2:
			c.Verdict = Unknown
		case left < need:
			c.Verdict = Low
		default:
			c.Remark = fmt.Sprintf("mode 2 leaves %s, and the server commits %s", size(left), size(need))
		}
	}
	x.sysctl(c, 0)
}

// threads: every loop is a thread, and containers often allow few.
func (x *examination) threads() {
	need := x.load.needThreads()
	c := Check{
		Setting: "cgroup pids limit", Now: "?", Need: count(need), Verdict: Unknown,
		Why: "the runtime ends the process when it gets no thread for a loop",
		Fix: fmt.Sprintf("TasksMax=%d in the systemd unit, --pids-limit of the container", need),
	}
	levels, ok := x.host.cgroupPids()
	l, limited := least(levels, cgroupLevel.limit)
	switch {
	case limited:
		c.Now, c.Verdict = count(l.Limit), OK
		if l.Limit < need {
			c.Verdict = Low
		}
	case ok:
		c.Now, c.Need, c.Verdict = "none", "-", OK
	}
	x.add(c)
}

// The kernels that matter: from 4.4 on listeners are found without a lock and
// half-open connections live in the established hash; from 6.0 on a socket
// gives back the pages it once used (commit 4890b686f408), where before it
// could keep up to 2 MiB, which is the end of "idle sockets hold no pages".
const (
	kernelMajorMin, kernelMinorMin = 4, 4
	kernelMajorGood                = 6
)

func (x *examination) kernelVersion() {
	c := Check{
		Setting: "kernel", Need: fmt.Sprintf("%d.0", kernelMajorGood), Verdict: OK,
		Why: "before 6.0 a socket that was busy once keeps buffer pages, so memory per connection grows with traffic",
		Fix: "a newer kernel",
	}
	release, major, minor, ok := x.host.kernel()
	c.Now = release
	switch {
	case !ok:
		c.Now, c.Verdict = "?", Unknown
	case major < kernelMajorMin || major == kernelMajorMin && minor < kernelMinorMin:
		c.Verdict = Low
		c.Why = "before 4.4 all connection requests of a listener share one lock and one queue"
	case major < kernelMajorGood:
		c.Verdict = Advice
	}
	c.Now = c.Now[:min(len(c.Now), kernelNameBytesMax)]
	x.add(c)
}

// kernelNameBytesMax keeps the column of values narrow.
const kernelNameBytesMax = 20

// freeMemory is what connections may take now: the smaller of the host's free
// memory and what is left in the cgroups, each without its reserve. The text
// says which one it is.
func (h Host) freeMemory() (bytes int64, reason string, ok bool) {
	bytes = math.MaxInt64
	if free, known := h.meminfo("MemAvailable"); known {
		bytes, ok = free-reserve(free), true
		reason = fmt.Sprintf("free memory (%s, of which %s are kept back)", size(free), size(reserve(free)))
	}
	levels, _ := h.cgroupMemory()
	if l, limited := least(levels, cgroupLevel.left); limited {
		if left := l.left() - reserve(l.left()); left < bytes {
			bytes, ok = left, true
			reason = fmt.Sprintf("the memory limit of cgroup %s (%s left of %s, of which %s are kept back)",
				l.Path, size(max(l.left(), 0)), size(l.Limit), size(reserve(l.left())))
		}
	}
	return bytes, reason, ok
}
