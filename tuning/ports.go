package tuning

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// parseList reads a list like "0-3,8,10-11" (cpuset(7), Formats). What is no such range is
// left out, and then the list is not ok.
func parseList(list string) (numbers []int, ok bool) {
	ok = true
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errFirst := strconv.Atoi(first)
		b, errLast := strconv.Atoi(last)
		if errFirst != nil || errLast != nil || b < a || b > portMax {
			ok = false
			continue
		}
		for ; a <= b; a++ {
			numbers = append(numbers, a)
		}
	}
	return numbers, ok
}

// formatList writes numbers in any order as such a list.
func formatList(numbers []int) string {
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	var parts []string
	for i := 0; i < len(numbers); i++ {
		first := i
		for i+1 < len(numbers) && numbers[i+1] == numbers[i]+1 {
			i++
		}
		part := strconv.Itoa(numbers[first])
		if i > first {
			part += "-" + strconv.Itoa(numbers[i])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
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
	list, ok := text(x.host.Proc, sysctlFile(c.Setting)) // like "8080,9000-9010"
	reserved, _ := parseList(list)
	if !known || len(local) != 2 || !ok {
		x.add(c)
		return
	}
	c.Verdict, c.Now = OK, "none"
	if len(reserved) > 0 {
		c.Now = formatList(reserved)
	}
	var exposed []int
	for _, port := range x.want.Listen {
		if int64(port) >= local[0] && int64(port) <= local[1] && !slices.Contains(reserved, port) {
			exposed = append(exposed, port)
		}
	}
	if len(exposed) > 0 {
		c.Verdict, c.Need = Advice, formatList(exposed)
		c.Value = formatList(append(reserved, exposed...))
		c.Fix = fmt.Sprintf("sysctl -w %s=%s, or listen below %d", c.Setting, c.Value, local[0])
	}
	x.add(c)
}
