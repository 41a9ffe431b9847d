package admin

import (
	"testing"

	"c10m/tuning"
)

// The pace of sweeps is exported.
func TestPacerMetrics(t *testing.T) {
	sources, _ := newSources(1)
	want := map[string]float64{"c10m_sweep_rate_writes": 1, "c10m_sweep_window_pages": 2, "c10m_sweep_under_way_pages": 3}
	pace := &tuning.PacerStats{}
	pace.Rate.Store(1)
	pace.Window.Store(2)
	pace.UnderWay.Store(3)
	pace.Cuts.Store(4)
	sources.Pacer = pace
	families := gather(t, sources)
	for name, v := range want {
		if got := series(t, families, name, "").Gauge.GetValue(); got != v {
			t.Errorf("%s is %g", name, got)
		}
	}
	if got := series(t, families, "c10m_sweep_window_cuts_total", "").Counter.GetValue(); got != 4 {
		t.Errorf("%g cuts", got)
	}
}
