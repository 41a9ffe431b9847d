package proc

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// Segments is how many TCP segments this network namespace has sent (those that
// were sent again left out), and how many it has sent again. 0 if the kernel
// does not say.
func Segments() (sent, again uint64) {
	text, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, 0
	}
	return parseColumn(string(text), "Tcp:", "OutSegs"), parseColumn(string(text), "Tcp:", "RetransSegs")
}

// parseColumn finds a column of a pair of lines, names above values.
func parseColumn(text, protocol, name string) uint64 {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != protocol {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if i := slices.Index(names, name); i > 0 && i < len(fields) {
			n, _ := strconv.ParseUint(fields[i], 10, 64)
			return n
		}
	}
	return 0
}

// DeviceDrops is how many packets a network device had no room for on their way
// out. 0 if there is no such device.
func DeviceDrops(name string) uint64 {
	text, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return 0
	}
	return parseDeviceDrops(string(text), name)
}

// parseDeviceDrops reads the fourth column of what was sent.
func parseDeviceDrops(text, name string) uint64 {
	for line := range strings.Lines(text) {
		device, rest, found := strings.Cut(line, ":")
		if fields := strings.Fields(rest); found && strings.TrimSpace(device) == name && len(fields) >= 12 {
			n, _ := strconv.ParseUint(fields[11], 10, 64)
			return n
		}
	}
	return 0
}
