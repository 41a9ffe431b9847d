package tuning

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Range is numbers from First to Last.
type Range struct{ First, Last int }

// parseRanges reads a list like "0-3,8,10-11" (cpuset(7), Formats). What is no such
// range is left out, and then the list is not ok.
func parseRanges(list string) (ranges []Range, ok bool) {
	ok = true
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errFirst := strconv.Atoi(first)
		b, errLast := strconv.Atoi(last)
		if errFirst != nil || errLast != nil || b < a {
			ok = false
			continue
		}
		ranges = append(ranges, Range{a, b})
	}
	return ranges, ok
}

// Ports makes ranges of ports in any order.
func Ports(ports []int) (ranges []Range) {
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	for _, port := range ports {
		if n := len(ranges); n > 0 && ranges[n-1].Last == port-1 {
			ranges[n-1].Last = port
		} else {
			ranges = append(ranges, Range{port, port})
		}
	}
	return ranges
}

func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// ports are all of a range.
func (r Range) ports() (all []int) {
	for port := r.First; port <= r.Last; port++ {
		all = append(all, port)
	}
	return all
}

func join(ranges []Range) string {
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}

// reservedPorts reads net.ipv4.ip_local_reserved_ports, a list like "8080,9000-9010".
func (h Host) reservedPorts(setting string) (ports []int, ok bool) {
	list, ok := text(h.Proc, sysctlFile(setting))
	ranges, _ := parseRanges(list)
	for _, r := range ranges {
		if r.Last <= portMax {
			ports = append(ports, r.ports()...)
		}
	}
	return ports, ok
}

// localPorts looks whether the kernel may give one of our ports to somebody who
// connects from this host: the server then finds it taken.
func (x *examination) localPorts() {
	c := Check{
		Setting: "net.ipv4.ip_local_reserved_ports", Now: "?", Need: "-", Verdict: Unknown,
		Why:  "the kernel gives these ports to programs of this host that connect somewhere, and the server, when it starts, finds one taken",
		warn: true,
	}
	local, known := x.host.sysctls("net.ipv4.ip_local_port_range")
	reserved, ok := x.host.reservedPorts(c.Setting)
	if !known || len(local) != 2 || !ok {
		x.add(c)
		return
	}
	c.Verdict, c.Now = OK, "none"
	if len(reserved) > 0 {
		c.Now = join(Ports(reserved))
	}
	var exposed []int
	for _, r := range x.want.Listen {
		for _, port := range r.ports() {
			if int64(port) >= local[0] && int64(port) <= local[1] && !slices.Contains(reserved, port) {
				exposed = append(exposed, port)
			}
		}
	}
	if len(exposed) > 0 {
		c.Verdict, c.Need = Advice, join(Ports(exposed))
		c.Value = join(Ports(append(reserved, exposed...)))
		c.Fix = fmt.Sprintf("sysctl -w %s=%s, or listen below %d", c.Setting, c.Value, local[0])
	}
	x.add(c)
}
