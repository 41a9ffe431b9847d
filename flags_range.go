package main

import (
	"fmt"
	"strings"

	"c10m/tuning"
)

// What a number may be that goes on in fewer bits than a flag has. Beyond these it
// would be cut to another number without a word.
const (
	// messageBytesMost is the longest string that Redis carries
	// (proto-max-bulk-len). Lengths of frames are 32 bits, base64 of an event included.
	messageBytesMost = 512 << 20
	// logBytesMost is 2^28 messages at 256 bytes each: sequence numbers are compared in
	// 31 bits.
	logBytesMost = 64 << 30
	// sendBufferMost is far below the 31 bits in which the kernel keeps twice the number
	// (socket(7)); net.core.wmem_max is lower on any host.
	sendBufferMost = 512 << 20
	// sweepRateMost is a write a nanosecond; a hundred times more would be no pace.
	sweepRateMost = 1_000_000_000
)

// checkRanges refuses numbers that nothing behind the flags could hold, and names that
// no request could have.
func (f *serveFlags) checkRanges() error {
	for _, size := range []struct {
		name        string
		value, most byteSize
	}{
		{"--message-bytes", f.MessageBytes, messageBytesMost},
		{"--log-bytes", f.LogBytes, logBytesMost},
		{"--send-buffer", f.SendBuffer, sendBufferMost},
	} {
		if size.value > size.most {
			return fmt.Errorf("%s is %v and must be at most %v", size.name, size.value, size.most)
		}
	}
	for _, name := range f.AdminHost {
		if strings.ContainsAny(name, ":/ ") {
			return fmt.Errorf("--admin-host is %q and must be a name alone, without a scheme and a port", name)
		}
	}
	if f.MaxConnections < 0 || f.MaxConnections > tuning.ConnectionsMax {
		return fmt.Errorf("--max-connections is %d and must be between 0, for what the host allows, and %d", f.MaxConnections, tuning.ConnectionsMax)
	}
	return nil
}
