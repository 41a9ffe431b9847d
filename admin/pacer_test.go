package admin

import (
	"testing"

	"c10m/tuning"
)

// The pace of sweeps is exported, and is zero where nothing adapts it.
func TestPacerMetrics(t *testing.T) {
	sources, _ := newSources(1)
	want := map[string]float64{"c10m_sweep_rate_writes": 1, "c10m_sweep_window_pages": 2, "c10m_sweep_under_way_pages": 3}
	pace := &tuning.PacerStats{}
	pace.Rate.Store(1)
	pace.Window.Store(2)
	pace.UnderWay.Store(3)
	pace.Cuts.Store(4)
	for _, pacer := range []*tuning.PacerStats{nil, pace} {
		sources.Pacer = pacer
		families, factor := gather(t, sources), 0.0
		if pacer != nil {
			factor = 1
		}
		for name, v := range want {
			if got := series(t, families, name, "").Gauge.GetValue(); got != v*factor {
				t.Errorf("%s is %g", name, got)
			}
		}
		if got := series(t, families, "c10m_sweep_window_cuts_total", "").Counter.GetValue(); got != 4*factor {
			t.Errorf("%g cuts", got)
		}
	}
}
