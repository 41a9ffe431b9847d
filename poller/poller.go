package poller

import (
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Config says what is the same for all loops.
type Config struct {
	// Loops is how many there will be, each a thread.
	Loops int
	// TakeTurns lets only so many loops work at a time as there are processors,
	// where there are more loops, while the handler has something urgent (Loop.Urgent).
	// It is not for loops that are bound to processors. A handler that never has
	// anything urgent needs none.
	TakeTurns bool
	// NewHandler makes the handler of a loop, on the loop's own thread. The
	// first call is done before the second begins.
	NewHandler func(*Loop) Handler
}

// A Poller is a set of loops.
type Poller struct {
	config Config
	turns  *turnstile
	loops  []*Loop
	atEnd  []func()
	isOver bool // Stop was called

	running sync.WaitGroup
}

// New makes a poller without loops. Whoever has engines adds them: epoll.Listen.
func New(config Config) *Poller {
	return &Poller{config: config, turns: config.turnstile(runtime.NumCPU())}
}

// turnstile returns the one for the loops, nil if there are no more loops than
// processors.
func (config *Config) turnstile(processors int) *turnstile {
	if config.Loops <= processors || !config.TakeTurns {
		return nil
	}
	return newTurnstile(processors)
}

// Add makes the loop of an engine. It does not run yet, but can be posted to.
func (p *Poller) Add(engine Engine) *Loop {
	l := &Loop{id: len(p.loops), engine: engine, turns: p.turns, guests: make(map[uint32]Guest)}
	p.loops = append(p.loops, l)
	return l
}

// Run starts a loop of Add on a thread of its own, and returns when it is open. If it
// cannot be opened, it has ended.
func (p *Poller) Run(l *Loop) error {
	opened := make(chan error)
	p.running.Add(1)
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() != syscall.Getpid() {
			p.run(l, opened)
			return
		}
		// It must not be the process's first thread, if the engine takes a descriptor
		// table of its own: /proc/PID/fd is that thread's, and an operator expects the
		// process's descriptors there. While this goroutine holds it, the next gets another.
		elsewhere := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(elsewhere)
			p.run(l, opened)
		}()
		<-elsewhere
		runtime.UnlockOSThread()
	}()
	return <-opened
}

// run is the loop's life on its locked thread. It ends locked: the Go runtime
// then ends the thread, and with it a private descriptor table.
func (p *Poller) run(l *Loop, opened chan<- error) {
	defer p.running.Done()
	if err := l.Open(p.config.NewHandler); err != nil {
		opened <- err
		return
	}
	opened <- nil
	for !l.stop.Load() {
		l.turn()
	}
	l.Shut()
	l.giveBack()
}

// Open opens a loop that has no thread: the caller calls Turn, and Shut at the end. It
// is how tests run the real loop over an engine of their own.
func (l *Loop) Open(newHandler func(*Loop) Handler) error {
	if err := l.engine.Open(); err != nil {
		l.engine.Shut()
		return err
	}
	l.now = l.engine.Now()
	l.handler = newHandler(l)
	return nil
}

// Turn runs one turn of a loop that has no thread.
func (l *Loop) Turn() { l.turn() }

// Shut closes everything that the loop owns.
func (l *Loop) Shut() {
	l.stop.Store(true)
	l.returnAll()
	next := l.Walk(0, closesPerSliceMax, l.Close)
	for l.reap(); next != 0; l.reap() {
		next = l.Walk(next, closesPerSliceMax, l.Close)
	}
	l.engine.Shut()
}

// Loops returns the loops, in the order of their IDs.
func (p *Poller) Loops() []*Loop { return p.loops }

// AtEnd has f called when no loop runs any more.
func (p *Poller) AtEnd(f func()) { p.atEnd = append(p.atEnd, f) }

// Stop ends all loops and closes their connections and listeners. A second call does
// nothing: the descriptors that would be written to may be somebody else's by then.
func (p *Poller) Stop() {
	if p.isOver {
		return
	}
	p.isOver = true
	for _, l := range p.loops {
		l.stop.Store(true)
		l.engine.Wake()
	}
	p.running.Wait()
	for _, f := range p.atEnd {
		f()
	}
}

// processStart is the origin of Now, so that a small number of nanoseconds
// fits where a record has few bits for a time.
var processStart = time.Now()

// Now is the clock of every engine that is no test's: nanoseconds since the process
// started.
func Now() int64 { return int64(time.Since(processStart)) }
