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
	usage    usage
	snapshot load.Snapshot

	// Guarded by mu.
	mu      sync.Mutex
	phase   string
	samples []report.Sample
}

func startSampler(clients parties, pid int, started time.Time, progress func(*report.Sample, *load.Snapshot)) *sampler {
	s := &sampler{clients: clients, pid: pid, started: started, progress: progress,
		ends: make(chan struct{}), phase: "connecting", usage: readUsage(pid), snapshot: clients.moment()}
	s.ended.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.sample()
			case <-s.ends:
				// Rates over less are made of clock ticks.
				if len(s.samples) == 0 || time.Since(s.usage.at) >= shortestSample {
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
	usage, snapshot := readUsage(s.pid), s.clients.moment()
	seconds := max(usage.at.Sub(s.usage.at).Seconds(), 1e-9)
	messages := snapshot.Stamped - s.snapshot.Stamped
	sample := report.Sample{
		Seconds:        usage.at.Sub(s.started).Seconds(),
		Open:           snapshot.Open,
		Connects:       float64(snapshot.Opened-s.snapshot.Opened) / seconds,
		Deliveries:     float64(messages) / seconds,
		ServerResident: usage.serverBytes,
		ClientResident: usage.clientBytes,
		HostUsed:       usage.hostBytes,
		ClientCores:    (usage.client - s.usage.client) / seconds,
		ServerCores:    max(0, usage.server-s.usage.server) / seconds,
		HostCores:      (usage.host - s.usage.host) / seconds,
	}
	if messages > 0 {
		sample.MeanMillis = float64(snapshot.LatencySum-s.snapshot.LatencySum) / float64(messages) / 1e6
		sample.MaxMillis = float64(snapshot.LatencyMax) / 1e6
	}
	s.usage, s.snapshot = usage, snapshot
	s.mu.Lock()
	sample.Phase = s.phase
	s.samples = append(s.samples, sample)
	s.mu.Unlock()
	if s.progress != nil {
		s.progress(&sample, &snapshot)
	}
}
