package conn

import (
	"testing"

	"c10m/conn/reasons"
)

func TestPinsCountAFrameOnce(t *testing.T) {
	var p pins
	one, two := make([]byte, 1000), make([]byte, 500)
	p.add(one[300:])
	p.add(one[100:])
	p.add(two)
	if p.bytes != 900+500 {
		t.Fatalf("%d bytes are held", p.bytes)
	}
	p.remove(one[999:]) // all but a byte was written meanwhile
	if p.bytes != 1400 {
		t.Fatalf("%d bytes are held with one holder less", p.bytes)
	}
	p.remove(two)
	p.remove(one[100:])
	if p.bytes != 0 || len(p.frames) != 0 {
		t.Fatalf("%d bytes of %d frames are left", p.bytes, len(p.frames))
	}
}

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
