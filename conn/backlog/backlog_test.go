package backlog

import (
	"sync/atomic"
	"testing"
)

func TestPinsCountAFrameOnce(t *testing.T) {
	var gauge atomic.Int64
	p := Pins{Gauge: &gauge}
	one, two := make([]byte, 1000), make([]byte, 500)
	p.Add(one[300:])
	p.Add(one[100:])
	p.Add(two)
	if p.Bytes() != 900+500 {
		t.Fatalf("%d bytes are held", p.Bytes())
	}
	p.Remove(one[999:]) // all but a byte was written meanwhile
	if p.Bytes() != 1400 {
		t.Fatalf("%d bytes are held with one holder less", p.Bytes())
	}
	p.Remove(two)
	p.Remove(one[100:])
	if p.Bytes() != 0 || gauge.Load() != 0 || len(p.frames) != 0 {
		t.Fatalf("%d bytes of %d frames are left", p.Bytes(), len(p.frames))
	}
}
