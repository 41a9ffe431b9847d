package tuning

import (
	"cmp"
	"math"
	"path"
	"slices"
	"strings"
)

// A cgroup's limit holds for all below it, so what binds this process is the
// tightest of its own cgroup and all parents that it can see. The kernel
// charges sockets, files, dentries and epoll entries to the cgroup as well as
// the process's own pages (memory.stat's slab, cgroup-v2.rst), so ten million
// idle connections are nearly all kernel memory and count all the same.

// cgroupLevel is one cgroup on the way up that has a limit.
type cgroupLevel struct {
	Path  string // below the cgroup mount
	Limit int64
	Used  int64 // what cannot be given back; 0 if unknown
}

// cgroupMount is a mounted hierarchy and the place of this process in it.
type cgroupMount struct {
	dir  string // below /sys
	own  string // this process's cgroup below dir
	isV2 bool
}

// unlimitedV1 is from where on a v1 limit means none: the kernel writes the
// largest multiple of a page that fits.
const unlimitedV1 = math.MaxInt64 &^ (1<<16 - 1)

// cgroupMemory returns the cgroups from the own one upwards that limit memory.
// False means that it could not be found out.
func (h Host) cgroupMemory() ([]cgroupLevel, bool) { return h.walk("memory", h.memoryLevel) }

// cgroupPids is the same for the number of threads.
func (h Host) cgroupPids() ([]cgroupLevel, bool) { return h.walk("pids", h.pidsLevel) }

func (h Host) walk(controller string, level func(m cgroupMount, dir string) cgroupLevel) (levels []cgroupLevel, ok bool) {
	mounts, ok := h.cgroupMounts(controller)
	for _, m := range mounts {
		for at, isTop := m.own, false; !isTop; at = path.Dir(at) {
			if l := level(m, path.Join(m.dir, at)); l.Limit < unlimitedV1 {
				l.Path = at
				levels = append(levels, l)
			}
			isTop = at == "/"
		}
	}
	return levels, ok
}

// limitIn reads a limit, which is none if it cannot be read.
func (h Host) limitIn(dir, name string) int64 {
	if limit, ok := first(h.Sys, path.Join(dir, name)); ok {
		return limit
	}
	return math.MaxInt64
}

// memoryLevel reads the limit and the use of one cgroup. In v2, memory.high
// counts like memory.max: above it the kernel stalls the process to death. Inactive file
// pages are given back before anything is killed, so they are not in use for our purpose.
func (h Host) memoryLevel(m cgroupMount, dir string) (l cgroupLevel) {
	usage, inactive := "memory.current", "inactive_file "
	if m.isV2 {
		l.Limit = min(h.limitIn(dir, "memory.max"), h.limitIn(dir, "memory.high"))
	} else {
		usage, inactive = "memory.usage_in_bytes", "total_inactive_file "
		l.Limit = h.limitIn(dir, "memory.limit_in_bytes")
	}
	if used, known := first(h.Sys, path.Join(dir, usage)); known {
		if fields := line(h.Sys, path.Join(dir, "memory.stat"), inactive); len(fields) == 1 {
			idle, _ := number(fields[0])
			used -= idle
		}
		l.Used = max(0, used)
	}
	return l
}

func (h Host) pidsLevel(_ cgroupMount, dir string) cgroupLevel {
	used, _ := first(h.Sys, path.Join(dir, "pids.current"))
	return cgroupLevel{Limit: h.limitIn(dir, "pids.max"), Used: used}
}

// cgroupMounts finds where the controller's hierarchy is mounted (proc(5),
// mountinfo) and where this process is in it (cgroups(7), /proc/pid/cgroup).
// On a hybrid host both a v1 mount and the v2 one are returned, of which only
// one has the controller's files.
func (h Host) cgroupMounts(controller string) ([]cgroupMount, bool) {
	mountinfo, ok1 := text(h.Proc, "self/mountinfo")
	cgroups, ok2 := text(h.Proc, "self/cgroup")
	if !ok1 || !ok2 {
		return nil, false
	}
	ownV1, ownV2 := ownCgroups(cgroups, controller)
	var mounts []cgroupMount
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		fields, fsFields := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(fsFields) < 3 {
			continue
		}
		root, at := unescape(fields[3]), unescape(fields[4])
		dir, below := strings.CutPrefix(at, "/sys/")
		own := ""
		switch kind := fsFields[0]; {
		case kind == "cgroup2":
			own = ownV2
		case kind == "cgroup" && hasWord(fsFields[2], controller):
			own = ownV1
		}
		if own == "" || !below {
			continue
		}
		mounts = append(mounts, cgroupMount{
			dir: dir, own: belowRoot(own, root), isV2: fsFields[0] == "cgroup2",
		})
	}
	return mounts, true
}

// ownCgroups reads /proc/self/cgroup: "hierarchy:controllers:path", where v2
// has no controllers.
func ownCgroups(s, controller string) (v1, v2 string) {
	for line := range strings.Lines(s) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[1] == "":
			v2 = parts[2]
		case hasWord(parts[1], controller):
			v1 = parts[2]
		}
	}
	return v1, v2
}

// belowRoot turns a cgroup's path into one below a mount that shows only the
// part of the hierarchy from root on. A container without a cgroup namespace
// sees its full path in one file and has only its own part mounted.
func belowRoot(own, root string) string {
	if root != "/" {
		rest, inside := strings.CutPrefix(own, root)
		switch {
		case inside && (rest == "" || rest[0] == '/'):
			own = rest
		default:
			own = "/"
		}
	}
	return path.Clean("/" + own)
}

func hasWord(list, word string) bool { return slices.Contains(strings.Split(list, ","), word) }

// unescape undoes the octal escapes of mountinfo (proc(5)).
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// least returns the level with the smallest figure, false if there is none.
func least(levels []cgroupLevel, figure func(cgroupLevel) int64) (cgroupLevel, bool) {
	if len(levels) == 0 {
		return cgroupLevel{}, false
	}
	return slices.MinFunc(levels, func(a, b cgroupLevel) int {
		return cmp.Compare(figure(a), figure(b))
	}), true
}

func (l cgroupLevel) limit() int64 { return l.Limit }
func (l cgroupLevel) left() int64  { return l.Limit - l.Used }
