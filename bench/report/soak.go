package report

import (
	"maps"
	"slices"
)

// Soak says what a soak did to the server, beside its connections and messages.
type Soak struct {
	Seed   uint64  `json:"seed"` // repeats the faults at the same times
	Faults []Fault `json:"faults"`
	// Gaps are interruptions of its subscription that the server counted.
	Gaps uint64 `json:"gaps"`
	// Published are messages, each once however many got it; Lost are those
	// that the server never got.
	Published uint64 `json:"published"`
	Lost      uint64 `json:"lost"`
	// AtRisk are those that a fault may have cost, and Certain those of which
	// the bus itself said that nobody was there: Lost is between.
	AtRisk  uint64 `json:"at_risk"`
	Certain uint64 `json:"certainly_lost"`

	SlowReaders uint64            `json:"slow_readers"` // connections of those that never read
	SlowClosed  uint64            `json:"slow_closed"`  // those of them that the server ended
	Garbage     map[string]uint64 `json:"garbage"`      // connections that no client makes, by kind
}

// A Fault that was inflicted on the bus.
type Fault struct {
	Name            string  `json:"name"`
	AtSeconds       float64 `json:"at"`               // since the start
	LastedSeconds   float64 `json:"lasted_seconds"`   // the cause
	RecoverySeconds float64 `json:"recovery_seconds"` // from its end until messages came again
	Published       uint64  `json:"published"`        // messages from its begin until then
}

// garbageSent is over all kinds.
func (s *Soak) garbageSent() (sum uint64) {
	for _, n := range s.Garbage {
		sum += n
	}
	return sum
}

func soakFigures(s *Soak) group {
	g := group{Name: "Soak"}
	g.add(true, "seed", "%d", s.Seed)
	g.add(true, "faults", "%s", Count(len(s.Faults)))
	g.add(true, "gaps counted by the server", "%s", Count(s.Gaps))
	g.add(true, "messages published", "%s", Count(s.Published))
	g.add(true, "messages that the server never got", "%s", Count(s.Lost))
	g.add(true, "published during faults that may lose", "%s", Count(s.AtRisk))
	g.add(true, "certainly lost, by the bus's answers", "%s", Count(s.Certain))
	g.add(true, "slow readers", "%s", Count(s.SlowReaders))
	g.add(true, "slow readers that the server ended", "%s", Count(s.SlowClosed))
	g.add(true, "garbage connections", "%s", Count(s.garbageSent()))
	return g
}

func garbageFigures(s *Soak) group {
	g := group{Name: "Garbage connections"}
	for _, kind := range slices.Sorted(maps.Keys(s.Garbage)) {
		g.add(true, kind, "%s", Count(s.Garbage[kind]))
	}
	return g
}

// soak writes figures and faults.
func (t *texter) soak(s *Soak) {
	if s == nil {
		return
	}
	t.group("soak", soakFigures(s))
	for _, f := range s.Faults {
		t.line("fault", "%s at %s s, for %s s; messages again %s s after it; %s published meanwhile", f.Name,
			Number(f.AtSeconds), Number(f.LastedSeconds), Number(f.RecoverySeconds), Count(f.Published))
	}
}
