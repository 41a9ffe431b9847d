package conn

import (
	"testing"

	"c10m/conn/reasons"
)

// Readers that stop in the middle of large frames and say a ping each: their
// frames leave the logs, and are bounded all the same.
func TestFramesHeldOutsideTheLogsAreBounded(t *testing.T) {
	config := testConfig()
	config.Channel.LogBytes, config.Channel.LogBytesTotal = 1<<20, 4<<20
	s := startServer(t, 1, config, smallSendBuffer)
	const clients = 12
	payload := string(make([]byte, 1_000_000))
	for i := range clients {
		name := string(rune('a' + i))
		c := s.upgradeSlow(t, "/"+name)
		s.publish(t, name, payload)
		c.Write(clientFrame(0x89, nil))
	}
	waitFor(t, "frames beyond the limit are let go with their readers", func() bool {
		return s.closes(reasons.SlowTotal) > 0 && s.servers[0].Stats().Pinned.Load() <= 4<<20
	})
}
