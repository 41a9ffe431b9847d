package proc

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// ListenDrops is how many SYNs and handshakes the host's listeners have thrown
// away, mostly because an accept queue was full: each costs its client a
// second. 0 if the kernel does not say.
func ListenDrops() int64 {
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
