package poller

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Config says what loops to make.
type Config struct {
	// Loops is their number, each a thread.
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
	// Listen are the addresses. None is right for a client, whose loops Adopt
	// what they open.
	Listen []Address
	// Lanes is how many loops accept at a time, where loops have descriptor
	// tables of their own; 0 is all. When the table of one is full, another of
	// its lane goes on. Loops that share a table all accept.
	Lanes int
	// CPUs are the processors to bind the loops to, in turns; the kernel then
	// also brings each loop the connections that arrive at its processor, unless
	// it shares its lane. None leaves both to the kernel, which is right where
	// loops are to share processors with other programs.
	CPUs []int
	// TakeTurns lets only so many loops work at a time as there are processors,
	// where there are more loops that are not bound, while the handler has
	// something urgent (Loop.Urgent). A handler that never has needs none.
	TakeTurns bool
	// AcceptRate is how many connections a second all loops accept together;
	// 0 is no limit. Who comes faster waits in the kernel's queue.
	AcceptRate int
	// Options are set on every listener.
	Options ListenOptions
	// NewHandler makes the handler of a loop, on the loop's own thread. The
	// first call is done before the second begins.
	NewHandler func(*Loop) Handler
	// Kernel is Linux{} unless a test says otherwise.
	Kernel Kernel
}

// A Poller is a set of running loops.
type Poller struct {
	// Fixed after construction.
	loops   []*Loop
	lanes   []*lane
	wakefds []int
	running sync.WaitGroup
}

// Start makes the loops and returns when all of them listen. On an error none
// is left.
//
// With private tables, every descriptor that the process has open now stays
// open in each loop's table: start the loops before anything that is meant to
// be closed one day.
func Start(config Config) (*Poller, error) {
	if config.Kernel == nil {
		config.Kernel = Linux{}
	}
	if err := startNetpoller(); err != nil {
		return nil, err
	}
	p := &Poller{}
	// All eventfds before the first unshare: every table then holds every
	// loop's eventfd under one number, and anyone may post to anyone.
	for range config.Loops {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			p.Stop()
			return nil, fmt.Errorf("cannot make a wake-up descriptor for each of %d loops: %w", config.Loops, err)
		}
		p.wakefds = append(p.wakefds, fd)
	}
	shared := newTable(config.DescriptorsMax, config.TableConnectionsMax)
	turns := config.turnstile(runtime.NumCPU())
	crew := &crew{loops: int64(config.Loops), lanes: config.laneCount()}
	rate := newAcceptRate(config.AcceptRate, crew.lanes)
	var loops []*Loop
	for i, wakefd := range p.wakefds {
		l := newLoop(i, config.Kernel, wakefd, shared)
		l.turns, l.crew, l.rate = turns, crew, rate
		if len(config.CPUs) > 0 {
			l.cpu = config.CPUs[i%len(config.CPUs)]
		}
		if config.PrivateFDTables {
			l.table = newTable(config.DescriptorsMax, config.TableConnectionsMax)
		}
		loops = append(loops, l)
	}
	p.lanes = config.lanes(loops)
	for _, ln := range p.lanes {
		if err := p.startLane(config, ln); err != nil {
			p.Stop()
			return nil, err
		}
	}
	return p, nil
}

// startLane starts the loops of a lane. With private tables its listeners are
// opened in the main one, so that each of its loops, and no other, inherits them.
func (p *Poller) startLane(config Config, ln *lane) error {
	if config.PrivateFDTables {
		defer ln.close(config.Kernel)
		if err := ln.open(config.Kernel, config.Listen, config.Options); err != nil {
			return err
		}
	}
	for _, l := range ln.loops {
		started := make(chan error)
		p.running.Add(1)
		go l.main(config, started, &p.running)
		if err := <-started; err != nil {
			return err
		}
		p.loops = append(p.loops, l)
	}
	return nil
}

// turnstile returns the one for the loops, nil if there are no more loops than
// processors.
func (config *Config) turnstile(processors int) *turnstile {
	if config.Loops <= processors || !config.TakeTurns || len(config.CPUs) > 0 {
		return nil
	}
	return newTurnstile(processors)
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

func newLoop(id int, kernel Kernel, wakefd int, t *table) *Loop {
	return &Loop{id: id, kernel: kernel, wakefd: wakefd, table: t, cpu: -1, crew: &crew{loops: 1, lanes: 1}}
}

// NewLoop makes a loop that has no thread: the caller calls Turn, and Shut at
// the end. It is how tests run the real loop over a kernel of their own.
func NewLoop(config Config, wakefd int) (*Loop, error) {
	config.PrivateFDTables, config.Loops = false, 1
	l := newLoop(0, config.Kernel, wakefd, newTable(config.DescriptorsMax, config.TableConnectionsMax))
	l.rate = newAcceptRate(config.AcceptRate, 1)
	config.lanes([]*Loop{l})
	return l, l.open(config)
}

// Turn runs one turn of a loop of NewLoop.
func (l *Loop) Turn() { l.turn() }

// Shut closes everything that a loop of NewLoop owns, but for wakefd.
func (l *Loop) Shut() { l.shut() }

// main finds a thread for the loop. It must not be the process's first one if
// the loop takes a private descriptor table: /proc/PID/fd is that thread's, and
// an operator expects the process's descriptors there, not a loop's.
func (l *Loop) main(config Config, started chan<- error, running *sync.WaitGroup) {
	runtime.LockOSThread()
	if config.PrivateFDTables && unix.Gettid() == unix.Getpid() {
		// While this goroutine holds the first thread, the next gets another.
		elsewhere := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(elsewhere)
			l.run(config, started, running)
		}()
		<-elsewhere
		runtime.UnlockOSThread()
		return
	}
	l.run(config, started, running)
}

// run is the loop's life on its locked thread. It ends locked: the Go runtime
// then ends the thread, and with it a private descriptor table.
func (l *Loop) run(config Config, started chan<- error, running *sync.WaitGroup) {
	defer running.Done()
	if config.PrivateFDTables {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			started <- fmt.Errorf("cannot make a private descriptor table: %w; use --fd-tables shared", err)
			return
		}
	}
	if l.cpu >= 0 {
		if err := bind(l.cpu); err != nil {
			started <- err
			return
		}
	}
	if err := l.open(config); err != nil {
		l.shut()
		started <- err
		return
	}
	started <- nil
	for !l.stop.Load() {
		l.turn()
	}
	l.shut()
	l.giveBack()
}

// open makes the loop's descriptors and its handler.
func (l *Loop) open(config Config) error {
	l.accept.epfd, l.epfd, l.napfd = -1, -1, -1
	epfd, errno := l.kernel.EpollCreate()
	if errno != 0 {
		return fmt.Errorf("cannot make an epoll descriptor: %w", errno)
	}
	l.epfd = epfd
	if errno := l.watchWakefd(epfd); errno != 0 {
		return fmt.Errorf("cannot watch a wake-up descriptor: %w", errno)
	}
	l.now = l.kernel.Now()
	l.handler = config.NewHandler(l)
	if !config.PrivateFDTables {
		if err := l.accept.lane.open(l.kernel, config.Listen, config.Options); err != nil {
			l.accept.lane.close(l.kernel)
			return err
		}
	}
	l.accept.enter(l)
	return nil
}

// watchWakefd has an epoll tell when somebody posts. Edge-triggered: every
// wake-up is one event, and nobody has to read it.
func (l *Loop) watchWakefd(epfd int) syscall.Errno {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(l.wakefd)}
	return l.kernel.EpollCtl(epfd, unix.EPOLL_CTL_ADD, l.wakefd, &event)
}

// shut closes all that the loop owns.
func (l *Loop) shut() {
	l.stop.Store(true)
	l.Walk(0, math.MaxInt, l.Close)
	l.reap()
	l.accept.shut(l)
	for _, fd := range []int{l.epfd, l.napfd} {
		if fd >= 0 {
			l.kernel.Close(fd)
		}
	}
}

// Loops returns the loops, in the order of their IDs.
func (p *Poller) Loops() []*Loop { return p.loops }

// Stop ends all loops and closes their connections and listeners.
func (p *Poller) Stop() {
	for _, l := range p.loops {
		l.stop.Store(true)
		l.kernel.Wake(l.wakefd)
	}
	p.running.Wait()
	for _, fd := range p.wakefds {
		unix.Close(fd)
	}
	p.wakefds = nil
}
