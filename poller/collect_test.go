package poller

import (
	"runtime"
	"testing"
	"time"
)

var garbage []byte

// Where loops share processors, garbage is collected by us, with the turnstile
// closed, and the turnstile opens again.
func TestCollectionsCloseTheTurnstile(t *testing.T) {
	turns := newTurnstile(1)
	ended, done := make(chan struct{}), make(chan struct{})
	go func() { turns.collect(ended); close(done) }()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	closed := false
	for i, end := 0, time.Now().Add(time.Minute); !closed || now.NumForcedGC == before.NumForcedGC; i++ {
		garbage = make([]byte, 16<<10)
		closed = closed || !turns.open(0)
		if i%64 == 0 { // to read them stops the world
			runtime.ReadMemStats(&now)
		}
		if time.Now().After(end) {
			t.Fatalf("no collection of ours: %d; closed %v", now.NumForcedGC-before.NumForcedGC, closed)
		}
	}
	close(ended)
	<-done
	if !turns.open(0) {
		t.Error("the turnstile stays closed")
	}
}

func TestCollectionIsDue(t *testing.T) {
	samples := heapSamples()
	runtime.GC()
	if collectionIsDue(samples) {
		t.Errorf("due right after a collection: %d of %d bytes", samples[0].Value.Uint64(), samples[1].Value.Uint64())
	}
	// A collection is due before the goal is reached, at which the runtime
	// begins one: so that much garbage is always enough.
	for range int(samples[1].Value.Uint64()) / (16 << 10) {
		if garbage = make([]byte, 16<<10); collectionIsDue(samples) {
			return
		}
	}
	t.Error("never due")
}
