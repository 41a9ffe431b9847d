package main

import (
	"cmp"
	"fmt"
	"time"

	"c10m/conn"
	"c10m/tuning"
)

// What a number may be at most. Beyond most of these it would be cut to another number
// without a word, as it goes on in fewer bits than a flag has.
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
	// historyMost bounds what one client that comes back may ask for at once.
	historyMost = 100_000
	// acceptRateMost is far over what a host accepts; beyond it the nanoseconds
	// between two accepts would be too coarse to keep the rate.
	acceptRateMost = 10_000_000
	// durationMost: the kernel takes milliseconds in 32 bits, and nobody means days.
	durationMost = 24 * time.Hour
)

// checkRanges refuses numbers that make no sense, or that nothing behind the flags could
// hold. Its error is for the operator.
func (f *serveFlags) checkRanges() error {
	pingMin := time.Duration(0)
	if f.PingInterval != 0 {
		pingMin = time.Second
	}
	return cmp.Or(
		between("--ping-interval (0 is never)", f.PingInterval, pingMin, durationMost),
		between("--write-deadline", f.WriteDeadline, time.Second, durationMost),
		between("--drain", f.Drain, 0, durationMost),
		between("--bus-probe", f.BusProbe, 100*time.Millisecond, durationMost),
		between("--history-age", f.HistoryAge, time.Second, durationMost),
		between("--history (messages of each channel, 0 is none)", f.History, 0, historyMost),
		between("--accept-rate (connections a second, 0 is no limit)", f.AcceptRate, 0, acceptRateMost),
		between("--max-connections (0 is what the host allows)", f.MaxConnections, 0, tuning.ConnectionsMax),
		between("--message-bytes", f.MessageBytes, 1, messageBytesMost),
		between("--log-bytes", f.LogBytes, 4<<10, logBytesMost),
		between("--send-buffer", f.SendBuffer, 0, sendBufferMost),
		between("--request-bytes", f.RequestBytes, conn.RequestBytesLeast, conn.RequestBytesMost),
		notOver("--log-bytes", f.LogBytes, "--log-bytes-total", f.LogBytesTotal),
		notOver("--message-bytes", f.MessageBytes, "--log-bytes", f.LogBytes),
		notOver("--message-bytes", f.MessageBytes, "--history-bytes", f.HistoryBytes),
	)
}

func between[T cmp.Ordered](flag string, value, least, most T) error {
	if value < least || value > most {
		return fmt.Errorf("%s is %v and must be between %v and %v", flag, value, least, most)
	}
	return nil
}

// notOver is about a message that has to fit a log, and a log that has to fit all of them.
func notOver(flag string, value byteSize, other string, most byteSize) error {
	if value > most {
		return fmt.Errorf("%s is %v and must not be more than %s (%v)", flag, value, other, most)
	}
	return nil
}
