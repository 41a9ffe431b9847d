package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"c10m/bench/proc"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// Medians are of each field, and ratios of each round before their median is
// taken.
func TestComparison(t *testing.T) {
	rates := map[string][]float64{sideBare: {100, 200, 100}, sideServer: {80, 200, 50}}
	for _, asJSON := range []bool{false, true} {
		c := &comparison{Kind: connectsKind, Connections: 1000, Cores: 2, sides: []string{sideBare, sideServer}, json: asJSON}
		var out bytes.Buffer
		for i := range 3 {
			err := c.addRound(&out, func(side string) (outcome, error) {
				rate := rates[side][i]
				return outcome{PerSecond: rate, Seconds: 1000 / rate, ClientLoops: 2, AcceptorCores: 0.8, ClientCores: 1.1,
					HostBytesPerPair: map[string]float64{sideBare: 8000, sideServer: 8000 + 40*float64(i)}[side]}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := c.finish(&out); err != nil {
			t.Fatal(err)
		}
		r := c.Ratios[sideBare]
		if !near(r.Rate, 0.8) || !near(r.Time, 1.25) || !near(r.Memory, 1.005) {
			t.Errorf("ratios %+v", r)
		}
		if m := c.Medians; m[sideBare].PerSecond != 100 || m[sideServer].PerSecond != 80 || m[sideServer].Seconds != 12.5 ||
			m[sideServer].HostBytesPerPair != 8040 || m[sideServer].ClientLoops != 2 {
			t.Errorf("medians %+v", m)
		}
		if asJSON {
			var back comparison
			if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Ratios[sideBare] != r || len(back.Rounds) != 3 {
				t.Errorf("JSON: %v\n%s", err, out.String())
			}
			continue
		}
		for _, wanted := range []string{"1000 connections", "3       bare", "the host", "server/bare      rate 0.800  time 1.250  memory 1.0050"} {
			if !strings.Contains(out.String(), wanted) {
				t.Errorf("%q is not in\n%s", wanted, out.String())
			}
		}
	}
	c := &comparison{sides: []string{sideBare}}
	broken := errors.New("broken")
	if err := c.addRound(&bytes.Buffer{}, func(string) (outcome, error) { return outcome{}, broken }); err != broken {
		t.Errorf("the error is %v", err)
	}
}

func TestOutcomeSaturated(t *testing.T) {
	for _, tc := range []struct {
		o      outcome
		wanted string
	}{
		{outcome{AcceptorCores: 0.9, ClientCores: 1.0, ClientLoops: 2}, "the host"},
		{outcome{AcceptorCores: 0.3, ClientCores: 0.95, ClientLoops: 1}, "the client's threads"},
		{outcome{AcceptorCores: 0.3, ClientCores: 0.95, ClientLoops: 11}, "nobody"},
		{outcome{AcceptorCores: 0.9, ClientCores: 0.9, OtherCores: 0.2, ClientLoops: 2}, "by others"},
		{outcome{ListenDrops: 3, ClientLoops: 2}, "; 3 were dropped"},
	} {
		if text := tc.o.saturated(2); !strings.Contains(text, tc.wanted) {
			t.Errorf("%+v: %q", tc.o, text)
		}
	}
}

// What may be left ends the wait at once; what does not become less ends it
// before its time is over. Only the limits of time tell these apart.
func TestAwaitFreed(t *testing.T) {
	now, err := proc.HostMemory()
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []uint64{2 * now.Slab, 0} {
		full := proc.Memory{Slab: now.Slab / 2} // never undercut, so nothing is freed
		ctx, cancel := context.WithTimeout(t.Context(), freedTimeout/2)
		if err := awaitFreed(ctx, proc.Memory{Slab: before}, full); err != nil {
			t.Errorf("with %d bytes allowed: %v", before, err)
		}
		cancel()
	}
}

// The answer is the one of RFC 6455 section 1.3, in 129 bytes.
func TestAnswer(t *testing.T) {
	var a answerBuffer
	a.fill()
	answer := a.to([]byte("GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	if text := string(answer[:]); len(text) != 129 || !strings.HasSuffix(text, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n") {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}
