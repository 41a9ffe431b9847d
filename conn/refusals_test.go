package conn

import (
	"testing"

	"c10m/conn/reasons"
)

func TestRefusalsAreNoted(t *testing.T) {
	config := testConfig()
	config.Refusals = &reasons.Refusals{}
	s := startServer(t, 1, config)
	s.connectAndAsk(t, "GET /%zz?token=s3cret HTTP/1.1\r\nHost: x\r\n\r\n")
	shown := 0
	config.Refusals.Take(func(r *reasons.Refusal) {
		if shown++; r.Line() != "GET /%zz" || r.Reason != reasons.RequestChannel || !r.Peer.Addr().IsLoopback() {
			t.Errorf("%q, %v, %v", r.Line(), r.Reason, r.Peer)
		}
	})
	if shown != 1 {
		t.Errorf("%d were shown", shown)
	}
}
