package epoll

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"c10m/poller"

	"golang.org/x/sys/unix"
)

// Config says what sockets the loops hold.
type Config struct {
	// Loops is how many loops of the poller hold them.
	Loops int
	// PrivateFDTables gives each loop a descriptor table of its own, so that
	// RLIMIT_NOFILE holds per loop instead of for all of them.
	PrivateFDTables bool
	// DescriptorsMax is RLIMIT_NOFILE: numbers at or above it cannot occur.
	DescriptorsMax int
	// TableConnectionsMax is how many connections one descriptor table may
	// hold, so that those who send no request cannot use up what the bus and
	// the admin pages need: newcomers then wait in the kernel's queue. 0 is
	// no limit.
	TableConnectionsMax int
	// Listen is where newcomers come in. None is right for a client, whose engines
	// Adopt what they open.
	Listen []Listener
	// Lanes is how many loops accept at a time, where loops have descriptor
	// tables of their own; 0 is all. When the table of one is full, another of
	// its lane goes on. Loops that share a table all accept.
	Lanes int
	// CPUs are the processors to bind the loops to, in turns; the kernel then
	// also brings each loop the connections that arrive at its processor, unless
	// it shares its lane. None leaves both to the kernel, which is right where
	// loops are to share processors with other programs.
	CPUs []int
	// AcceptRate is how many connections a second all loops accept together;
	// 0 is no limit. Who comes faster waits in the kernel's queue.
	AcceptRate int
	// Options are set on every listener.
	Options ListenOptions
	// Kernel is Linux{} unless a test says otherwise.
	Kernel Kernel
}

// A Listener is an address and what those who come by it are told apart by.
type Listener struct {
	Address poller.Address
	Tag     poller.Tag
}

// Listeners are addresses of one tag.
func Listeners(tag poller.Tag, addresses ...poller.Address) (all []Listener) {
	for _, address := range addresses {
		all = append(all, Listener{address, tag})
	}
	return all
}

// Sockets are the engines of a process and what they have in common.
type Sockets struct {
	config  Config
	engines []*Engine
	lanes   []*lane
	wakefds []int
}

// Start adds the loops to p, and returns when all of them run and listen. On an error,
// p is to be stopped.
//
// With private tables, every descriptor that the process has open now stays
// open in each loop's table: start the loops before anything that is meant to
// be closed one day.
func Start(p *poller.Poller, config Config) (*Sockets, error) {
	if config.Kernel == nil {
		// With fewer, loops that sleep would keep goroutines from running.
		config.Kernel = Linux{KeepsP: runtime.GOMAXPROCS(0) >= config.Loops+2}
	}
	if err := startNetpoller(); err != nil {
		return nil, err
	}
	s := &Sockets{config: config}
	p.AtEnd(s.closeWakefds)
	// All eventfds before the first unshare: every table then holds every
	// loop's eventfd under one number, and anyone may post to anyone.
	for range config.Loops {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			return nil, fmt.Errorf("cannot make a wake-up descriptor for each of %d loops: %w", config.Loops, err)
		}
		s.wakefds = append(s.wakefds, fd)
	}
	s.makeEngines()
	for _, e := range s.engines {
		e.loop = p.Add(e)
	}
	for _, ln := range s.lanes {
		if err := s.startLane(p, ln); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// startLane starts the loops of a lane. With private tables its listeners are
// opened in the main one, so that each of its loops, and no other, inherits them.
func (s *Sockets) startLane(p *poller.Poller, ln *lane) error {
	if s.config.PrivateFDTables {
		defer ln.close()
		if err := ln.open(); err != nil {
			return err
		}
	}
	for _, e := range ln.engines {
		if err := p.Run(e.loop); err != nil {
			return err
		}
	}
	return nil
}

// makeEngines makes one for each eventfd, and the lanes: each engine's own if they share
// a table, else config.Lanes, with consecutive engines on each.
func (s *Sockets) makeEngines() {
	config := &s.config
	lanes := config.Loops
	if config.PrivateFDTables && config.Lanes > 0 {
		lanes = min(config.Lanes, config.Loops)
	}
	shared := newTable(config.DescriptorsMax, config.TableConnectionsMax)
	crew := &crew{loops: int64(config.Loops), lanes: lanes}
	rate := newAcceptRate(config.AcceptRate, lanes)
	for i, wakefd := range s.wakefds {
		e := newEngine(config.Kernel, wakefd, shared)
		e.crew, e.rate, e.private = crew, rate, config.PrivateFDTables
		if len(config.CPUs) > 0 {
			e.cpu = config.CPUs[i%len(config.CPUs)]
		}
		if config.PrivateFDTables {
			e.table = newTable(config.DescriptorsMax, config.TableConnectionsMax)
		}
		s.engines = append(s.engines, e)
	}
	for i := range lanes {
		ln := &lane{kernel: config.Kernel, config: config, epfd: -1, engines: s.engines[i*len(s.engines)/lanes : (i+1)*len(s.engines)/lanes]}
		ln.holder.Store(ln.engines[0])
		for _, e := range ln.engines {
			e.accept.lane = ln
		}
		s.lanes = append(s.lanes, ln)
	}
}

func newEngine(kernel Kernel, wakefd int, t *table) *Engine {
	e := &Engine{kernel: kernel, wakefd: wakefd, table: t, cpu: -1, epfd: -1, wakeEpfd: -1, crew: &crew{loops: 1, lanes: 1}}
	e.accept.epfd = -1
	return e
}

// Engine returns the engine of a loop, by its place among them.
func (s *Sockets) Engine(i int) *Engine { return s.engines[i] }

// NewLoop opens a loop that has no thread: the caller calls Turn, and Shut at the end.
// It is how tests run the real loop over a kernel of their own.
func NewLoop(config Config, wakefd int, newHandler func(*poller.Loop) poller.Handler) (*poller.Loop, error) {
	config.PrivateFDTables, config.Loops = false, 1
	s := &Sockets{config: config, wakefds: []int{wakefd}}
	s.makeEngines()
	e := s.engines[0]
	e.loop = poller.New(poller.Config{Loops: 1}).Add(e)
	return e.loop, e.loop.Open(newHandler)
}

// startNetpoller makes the Go runtime open its epoll and eventfd, which it
// does with the first pollable file: a loop's private table must inherit
// both, since the runtime uses them by number from any thread.
func startNetpoller() error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot start the runtime's poller: %w", err)
	}
	return errors.Join(r.Close(), w.Close())
}

// closeWakefds is for when nobody writes to them any more.
func (s *Sockets) closeWakefds() {
	for _, fd := range s.wakefds {
		unix.Close(fd)
	}
	s.wakefds = nil
}
