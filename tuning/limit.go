package tuning

import (
	"fmt"
	"slices"
	"sort"
)

// bound is one thing that limits the number of connections.
type bound struct {
	reason string
	holds  func(load) bool
}

// DefaultMaxConnections is the default of --max-connections: what memory and
// limits allow on this host as it is now, and which of them is the first to
// say no. want.Connections is not looked at. The nofile limit binds with one
// shared table only; with private ones, loops are added.
//
// It is memory that is free now, so a server that starts beside an old one
// which still drains should be told its limit and not left to find it.
func DefaultMaxConnections(host Host, want Want) (int, string) {
	return host.most(want, append([]bound{host.memoryBound()}, host.otherBounds()...)...)
}

// most returns the largest number of connections that all bounds hold for, and
// the reason of the one that the next would break.
func (h Host) most(want Want, bounds ...bound) (int, string) {
	h.Cores = max(h.Cores, 1)
	want = normal(want)
	// refuses returns why so many do not fit, empty if they do.
	refuses := func(n int) string {
		w := want
		w.Connections = n
		request := h.fdRequest(w)
		plan, err := FDTables(request)
		if err != nil {
			return fdReason(request)
		}
		if i := slices.IndexFunc(bounds, func(b bound) bool { return !b.holds(loadOf(h, w, plan)) }); i >= 0 {
			return bounds[i].reason
		}
		return ""
	}
	// All bounds are monotone: loops are only ever added as n grows.
	n := sort.Search(ConnectionsMax, func(n int) bool { return refuses(n+1) != "" })
	if n == ConnectionsMax {
		return n, "nothing on this host"
	}
	// One connection is allowed on the poorest host: it is for the operator
	// to see why there are no more, and 0 would read like "no limit".
	return max(n, 1), refuses(n + 1)
}

// fdReason says what of the fd tables is in the way of more connections.
func fdReason(r FDRequest) string {
	r.Connections = 0
	if _, err := FDTables(r); err != nil {
		return err.Error() // not even one fits
	}
	if r.Mode == FDShared {
		return fmt.Sprintf("the nofile limit: one shared fd table holds %s", count(r.Nofile))
	}
	if r.Loops > 0 {
		return fmt.Sprintf("the nofile limit: the tables of --loops %d hold %s each", r.Loops, count(r.Nofile))
	}
	return fmt.Sprintf("the nofile limit: an fd table holds %s, and more loops would only fill each other's", count(r.Nofile))
}

func (h Host) memoryBound() bound {
	free, reason, ok := h.freeMemory()
	if !ok {
		return bound{"unknown memory, as nothing of the host can be read", func(l load) bool { return l.connections <= connectionsUnknownHost }}
	}
	return bound{reason, func(l load) bool { return l.estimate().Total <= free }}
}

// otherBounds reads the limits that are numbers of connections, more or less.
func (h Host) otherBounds() (bounds []bound) {
	add := func(name string, need func(load) int64) {
		if v, ok := h.sysctl(name); ok {
			bounds = append(bounds, bound{fmt.Sprintf("%s (%s)", name, count(v)), func(l load) bool { return need(l) <= v }})
		}
	}
	add("fs.epoll.max_user_watches", load.needWatches)
	if !h.aboveFileMax() {
		add("fs.file-max", load.needFiles)
	}
	if tracked, ok := h.sysctl("net.netfilter.nf_conntrack_count"); ok && tracked > 0 {
		add("net.netfilter.nf_conntrack_max", load.needConntrack)
	}
	levels, _ := h.cgroupPids()
	if l, limited := least(levels, cgroupLevel.limit); limited {
		reason := fmt.Sprintf("the cgroup pids limit (%s), as each loop is a thread", count(l.Limit))
		bounds = append(bounds, bound{reason, func(at load) bool { return at.needThreads() <= l.Limit }})
	}
	return bounds
}

// Warnings is for the server's start: one line for each setting of the host
// that is too low for so many connections, with what mends it. What only a
// load client or a rare moment would feel is left to the doctor.
func Warnings(host Host, want Want) []string {
	report := Examine(host, want)
	var lines []string
	for _, c := range report.Checks {
		if c.Verdict == Low || c.Verdict == Advice && c.warn {
			lines = append(lines, fmt.Sprintf("%s is %s and %s connections need %s (%s): %s",
				c.Setting, c.Now, count(report.Connections), c.Need, c.Why, c.Fix))
		}
	}
	return lines
}
