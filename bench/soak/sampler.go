package main

import (
	"context"
	"os"
	"time"

	"c10m/bench/load"
	"c10m/bench/proc"
	"c10m/bench/report"
)

// A sampler looks at everything once in an interval, and says where the soak is
// now and then. Its fields are owned by its goroutine until that has ended.
type sampler struct {
	every, progress time.Duration

	at                   time.Time
	client, server, host float64 // seconds of processor time
	snapshot             load.Snapshot
	said                 time.Time
	samples              []report.Sample
	scrapes, failed      int // of /metrics
}

// run samples until ctx ends.
func (s *sampler) run(ctx context.Context, r *soak) {
	s.look(r)
	s.said = s.at
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

// look reads the cumulative figures, and returns those before.
func (s *sampler) look(r *soak) (before sampler) {
	before = *s
	s.at = time.Now()
	s.client, s.host = proc.OwnCPU(), proc.BusyCPU()
	s.server, _ = proc.CPU(r.server.PID)
	s.snapshot = r.moment()
	return before
}

func (s *sampler) sample(ctx context.Context, r *soak) {
	before := s.look(r)
	seconds := max(s.at.Sub(before.at).Seconds(), 1e-9)
	messages := s.snapshot.Stamped - before.snapshot.Stamped
	sample := report.Sample{
		Seconds:     s.at.Sub(r.begun).Seconds(),
		Phase:       phaseSoaking,
		Open:        s.snapshot.Open,
		Connects:    float64(s.snapshot.Opened-before.snapshot.Opened) / seconds,
		Deliveries:  float64(messages) / seconds,
		ClientCores: (s.client - before.client) / seconds,
		ServerCores: (s.server - before.server) / seconds,
		HostCores:   (s.host - before.host) / seconds,
	}
	if messages > 0 {
		sample.MeanMillis = float64(s.snapshot.LatencySum-before.snapshot.LatencySum) / float64(messages) / 1e6
		sample.MaxMillis = float64(s.snapshot.LatencyMax) / 1e6
	}
	sample.ClientResident, _ = proc.Resident(os.Getpid())
	sample.ServerResident, _ = proc.Resident(r.server.PID)
	if memory, err := proc.HostMemory(); err == nil {
		sample.HostUsed = memory.Used
	}
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
	if s.at.Sub(s.said) >= s.progress {
		s.said = s.at
		r.say("%8s  open %d, delivered %d, lost %d, churned %d, gaps %.0f; server %.1f MiB, %d descriptors, %.2f cores; host %.2f cores",
			time.Since(r.begun).Truncate(time.Second), s.snapshot.Open, s.snapshot.Delivered(), s.snapshot.Lost, s.snapshot.Left,
			m["c10m_bus_gaps_total"], float64(sample.ServerResident)/(1<<20), sample.ServerDescriptors, sample.ServerCores, sample.HostCores)
	}
}
