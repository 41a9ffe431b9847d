package main

import (
	"context"
	"time"

	"c10m/bench/report"
	"c10m/bench/scenario"
)

// A sampler looks at everything once in an interval, and says where the soak is
// now and then. Its fields are owned by its goroutine until that has ended.
type sampler struct {
	every, progress time.Duration

	last            scenario.Moment
	said            time.Time
	samples         []report.Sample
	scrapes, failed int // of /metrics
}

// run samples until ctx ends.
func (s *sampler) run(ctx context.Context, r *soak) {
	s.last, s.said = r.look(), time.Now()
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.sample(ctx, r)
		}
	}
}

func (r *soak) look() scenario.Moment { return scenario.Look(r.server.PID, r.moment()) }

func (s *sampler) sample(ctx context.Context, r *soak) {
	before := s.last
	s.last = r.look()
	sample := s.last.Since(&before, r.begun)
	sample.Phase = phaseSoaking
	for _, n := range descriptorsOf(r.server.PID) {
		sample.ServerDescriptors += n
	}
	s.scrapes++
	m, err := r.admin.scrape(ctx)
	if err != nil && ctx.Err() == nil {
		s.failed++
	}
	r.admin.get(ctx, "/readyz")
	s.samples = append(s.samples, sample)
	if time.Since(s.said) >= s.progress {
		s.said = time.Now()
		r.say("%8s  open %d, delivered %d, lost %d, churned %d, gaps %.0f; server %.1f MiB, %d descriptors, %.2f cores; host %.2f cores",
			time.Since(r.begun).Truncate(time.Second), s.last.Seen.Open, s.last.Seen.Delivered(), s.last.Seen.Lost, s.last.Seen.Left,
			m["c10m_bus_gaps_total"], float64(sample.ServerResident)/(1<<20), sample.ServerDescriptors, sample.ServerCores, sample.HostCores)
	}
}
