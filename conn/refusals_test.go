package conn

import "testing"

// What finds the ring full is dropped and counted, and nothing that was kept changes.
func TestRefusalsThatComeTooFastAreCounted(t *testing.T) {
	config := testConfig()
	config.Refusals = &Refusals{}
	s := startServer(t, 1, config)
	const more = 5
	for range refusalsKept + more {
		if status := s.connectAndAsk(t, "GET /%zz?token=s3cret HTTP/1.1\r\nHost: x\r\n\r\n"); status < 400 {
			t.Fatalf("status %d", status)
		}
	}
	shown := 0
	config.Refusals.Take(func(r *Refusal) {
		if shown++; r.Line() != "GET /%zz" || r.Reason.String() == "" {
			t.Errorf("%q, %v", r.Line(), r.Reason)
		}
	})
	exported := s.servers[0].Stats().RefusalsDropped.Load()
	if dropped := config.Refusals.Dropped(); shown != refusalsKept || dropped != more || exported != more {
		t.Errorf("%d were shown and %d dropped, %d in the metrics", shown, dropped, exported)
	}
	config.Refusals.Take(func(*Refusal) { t.Error("shown twice") })
}
