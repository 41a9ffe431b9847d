package scenario

import (
	"os"
	"sync"
	"time"

	"c10m/bench/load"
	"c10m/bench/proc"
	"c10m/bench/report"
)

// A usage is what client, server and host have used up to a moment.
type usage struct {
	at                     time.Time
	client, server, host   float64 // seconds of processor time
	clientBytes            uint64
	serverBytes            uint64
	hostBytes, kernelBytes uint64
}

// readUsage leaves at 0 what cannot be read: a server that has ended is no
// reason to lose the rest.
func readUsage(serverPID int) usage {
	u := usage{at: time.Now(), client: proc.OwnCPU(), host: proc.BusyCPU()}
	u.clientBytes, _ = proc.Resident(os.Getpid())
	if serverPID > 0 {
		u.server, _ = proc.CPU(serverPID)
		u.serverBytes, _ = proc.Resident(serverPID)
	}
	if memory, err := proc.HostMemory(); err == nil {
		u.hostBytes, u.kernelBytes = memory.Used, memory.Slab
	}
	return u
}

// A Moment is a usage, and what clients had seen by then.
type Moment struct {
	usage
	Seen load.Snapshot
}

// Look notes what is used now; the client's process is this one.
func Look(serverPID int, seen load.Snapshot) Moment { return Moment{readUsage(serverPID), seen} }

// Since is what happened after an earlier moment, Seconds after the start and in no phase
// yet.
func (m *Moment) Since(before *Moment, start time.Time) report.Sample {
	seconds := max(m.at.Sub(before.at).Seconds(), 1e-9)
	messages := m.Seen.Stamped - before.Seen.Stamped
	sample := report.Sample{
		Seconds:        m.at.Sub(start).Seconds(),
		Open:           m.Seen.Open,
		Connects:       float64(m.Seen.Opened-before.Seen.Opened) / seconds,
		Deliveries:     float64(messages) / seconds,
		ServerResident: m.serverBytes,
		ClientResident: m.clientBytes,
		HostUsed:       m.hostBytes,
		ClientCores:    (m.client - before.client) / seconds,
		ServerCores:    max(0, m.server-before.server) / seconds,
		HostCores:      (m.host - before.host) / seconds,
	}
	if messages > 0 {
		sample.MeanMillis = float64(m.Seen.LatencySum-before.Seen.LatencySum) / float64(messages) / 1e6
		sample.MaxMillis = float64(m.Seen.LatencyMax) / 1e6
	}
	return sample
}

// A sampler makes a report.Sample every second.
type sampler struct {
	// Fixed after construction.
	clients  parties
	pid      int
	started  time.Time
	progress func(*report.Sample, *load.Snapshot)
	ends     chan struct{}
	ended    sync.WaitGroup

	// Owned by the sampler's goroutine until it has ended.
	last Moment

	// Guarded by mu.
	mu      sync.Mutex
	phase   string
	samples []report.Sample
}

func startSampler(clients parties, pid int, started time.Time, progress func(*report.Sample, *load.Snapshot)) *sampler {
	s := &sampler{clients: clients, pid: pid, started: started, progress: progress,
		ends: make(chan struct{}), phase: "connecting", last: Look(pid, clients.moment())}
	s.ended.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.sample()
			case <-s.ends:
				// Rates over less are made of clock ticks.
				if len(s.samples) == 0 || time.Since(s.last.at) >= shortestSample {
					s.sample()
				}
				return
			}
		}
	})
	return s
}

// enter names the phase of the samples to come.
func (s *sampler) enter(phase string) {
	s.mu.Lock()
	s.phase = phase
	s.mu.Unlock()
}

// stop takes a last sample and returns all.
func (s *sampler) stop() []report.Sample {
	close(s.ends)
	s.ended.Wait()
	return s.samples
}

func (s *sampler) sample() {
	before := s.last
	s.last = Look(s.pid, s.clients.moment())
	sample := s.last.Since(&before, s.started)
	s.mu.Lock()
	sample.Phase = s.phase
	s.samples = append(s.samples, sample)
	s.mu.Unlock()
	if s.progress != nil {
		s.progress(&sample, &s.last.Seen)
	}
}
