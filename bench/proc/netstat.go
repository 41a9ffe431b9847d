package proc

import "os"

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

func parseListenDrops(text string) int64 { return int64(parseColumn(text, "TcpExt:", "ListenDrops")) }
