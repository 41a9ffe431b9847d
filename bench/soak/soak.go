package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
	"c10m/internal/child"
)

// ports are where everything listens.
type ports struct{ clients, redis, admin int }

// A soak is one run. Its goroutine is that of run, which starts the others and
// waits for them.
type soak struct {
	// Fixed after construction, or before the goroutines start that read them.
	settings  settings
	out       io.Writer
	ports     ports
	dir       string // of Redis
	redis     *redisServer
	server    *child.Child
	admin     *admin
	groups    []group
	publisher *publisher
	fanout    *witness
	marks     *witness
	garbage   *garbage
	slow      *slowReaders
	sampler   *sampler
	begun     time.Time // of the soak, when all are connected
	start     state     // before the first connection

	// Guarded by mu.
	mu     sync.Mutex
	faults []fault
}

// phaseSoaking is the phase of the samples.
const phaseSoaking = "soaking"

// say prints a line of progress. Any goroutine may call it.
func (r *soak) say(format string, args ...any) {
	fmt.Fprintf(r.out, "soak: "+format+"\n", args...)
}

// run soaks and judges. An error is one of the surroundings, or says that the
// server died or was interrupted; what the checks found is in the result.
func run(ctx context.Context, s settings, out io.Writer) (result *report.Result, err error) {
	r := &soak{settings: s, out: &lockedWriter{w: out}}
	started := time.Now()
	defer r.cleanUp()
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if err := r.listen(ctx); err != nil {
		return nil, err
	}
	r.say("%d connections are open; soaking for %v; SOAK_SEED=%d repeats the faults", r.open(), s.Duration, s.Seed)
	if err := r.soak(ctx); err != nil {
		return nil, r.words(err)
	}
	e, err := r.end(ctx)
	if err != nil {
		return nil, r.words(err)
	}
	return r.result(e, started), nil
}

// words adds the server's to an error, if it died.
func (r *soak) words(err error) error {
	if died := r.server.Died(); died != nil {
		return fmt.Errorf("%w; 10m-server: %w", err, died)
	}
	return err
}

// begin starts Redis and the server, and looks at it before anybody comes.
func (r *soak) begin(ctx context.Context) error {
	s := &r.settings
	total := s.Steady + s.Own + s.Bulk + s.Churners + s.Slow + s.GarbageWorkers
	if !load.FitOneTable(total) {
		return fmt.Errorf("%d connections do not fit the limit of open files; ask for fewer, or raise it (ulimit -Hn)", total)
	}
	if err := r.choosePorts(); err != nil {
		return err
	}
	var err error
	if r.dir, err = os.MkdirTemp("", "soak"); err != nil {
		return err
	}
	r.redis = &redisServer{program: s.Redis, dir: r.dir, port: r.ports.redis}
	if err := r.redis.start(ctx); err != nil {
		return err
	}
	address := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	// Slow readers are to be ended often, so what the server and the kernel
	// keep for them is little and short. Gaps end nobody, so that each
	// connection's sequence shows what the gap cost (doc.go).
	args := append([]string{"--listen", address(r.ports.clients), "--bus", "redis://" + r.redis.address(),
		"--admin", address(r.ports.admin), "--drain", "1s", "--ping-interval", "20s", "--send-buffer", "32KiB",
		"--log-bytes", "256KiB", "--message-bytes", "64KiB", "--write-deadline", "10s", "--gap", "ignore"}, s.ServerArgs...)
	if r.server, err = child.Start(exec.Command(s.Server, args...), child.Ask); err != nil {
		return err
	}
	guard, cancel := context.WithTimeout(ctx, hangGuard)
	defer cancel()
	if err := r.server.AwaitListener(guard, address(r.ports.admin)); err != nil {
		return err
	}
	r.admin = newAdmin(address(r.ports.admin))
	for !r.admin.healthy(guard) {
		if err := errors.Join(guard.Err(), r.server.Died()); err != nil {
			return fmt.Errorf("the server does not become healthy: %w", err)
		}
		sleep(guard, pollPause)
	}
	return r.firstLook(ctx)
}

func (r *soak) choosePorts() error {
	first := r.settings.FirstPort
	r.ports = ports{first, first + 1, first + 2}
	if first != 0 {
		return nil
	}
	free, err := child.FreePorts(3)
	if err == nil {
		r.ports = ports{free[0], free[1], free[2]}
	}
	return err
}

// firstLook notes what the server holds without clients.
func (r *soak) firstLook(ctx context.Context) (err error) {
	objects, err := r.admin.heapObjects(ctx)
	if err != nil {
		return err
	}
	r.start, err = r.settle(ctx, func(s *state) bool { return len(left(s.metrics)) == 0 })
	if err == nil {
		r.start.metrics[heapObjectsMetric] = objects
	}
	return err
}

// listen connects the witnesses and makes all that will send.
func (r *soak) listen(ctx context.Context) (err error) {
	address := fmt.Sprintf("127.0.0.1:%d", r.ports.clients)
	if r.fanout, err = witnessChannel(ctx, address, fanoutChannel, stampNumber); err != nil {
		return err
	}
	if r.marks, err = witnessChannel(ctx, address, markChannel, markNumber); err != nil {
		return err
	}
	r.publisher = r.newPublisher()
	r.garbage = newGarbage(address)
	r.slow = &slowReaders{address: address}
	r.sampler = &sampler{every: max(time.Second, r.settings.Duration/samplesMax), progress: r.settings.Progress}
	return nil
}

func (r *soak) open() (sum int) {
	for _, g := range r.groups {
		sum += g.client.Connections()
	}
	return sum
}

// soak has everything run together for the time.
func (r *soak) soak(ctx context.Context) error {
	s := &r.settings
	r.begun = time.Now()
	quiet := r.begun.Add(time.Duration(float64(s.Duration) * (1 - quietShare)))
	// A fault that has begun ends and is recovered from, if need be after the time.
	whole, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, timeOver := context.WithDeadline(whole, r.begun.Add(s.Duration))
	defer timeOver()
	failed := make(chan error, 2)
	var group, publishing sync.WaitGroup
	publish, stopPublishing := context.WithCancel(context.WithoutCancel(ctx))
	publishing.Go(func() { r.publisher.run(publish) })
	// Samples go on while faults are over and the rest ends.
	group.Go(func() { r.sampler.run(ctx, r) })
	group.Go(func() { r.garbage.run(ctx, whole, s.GarbageWorkers, s.Seed, s.GarbageRest) })
	group.Go(func() { r.slow.run(ctx, s.Slow, s.Seed, s.SlowLife) })
	group.Go(func() {
		if err := r.churn(ctx); err != nil {
			failed <- err
			cancel()
		}
	})
	group.Go(func() {
		if err := r.inflictFaults(whole, quiet); err != nil {
			failed <- err
			cancel()
		}
	})
	select {
	case <-ctx.Done():
	case <-r.server.Ended():
		failed <- errors.New("the server ended")
		cancel()
	}
	group.Wait()
	stopPublishing()
	publishing.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	return interrupted(whole, whole.Err())
}

// errInterrupted says that the operator ended the soak.
var errInterrupted = errors.New("interrupted, so nothing is judged")

// end publishes the last words, waits until they are where they belong, lets
// all clients leave, and looks at the server once more.
func (r *soak) end(ctx context.Context) (*evidence, error) {
	if _, err := r.passMark(ctx); err != nil {
		return nil, interrupted(ctx, err)
	}
	r.publisher.lastWords()
	if _, err := r.passMark(ctx); err != nil {
		return nil, interrupted(ctx, err)
	}
	// Those marks that were sent while the first was on its way come, too.
	all := r.publisher.handedOut()
	for guard := time.Now().Add(hangGuard); r.marks.told().last < all.marks && time.Now().Before(guard) && ctx.Err() == nil; {
		sleep(ctx, pollPause)
	}
	e := &evidence{over: r.settings.Duration, faults: r.faults, samples: r.sampler.samples, start: r.start,
		garbage: r.garbage.counts(), slowLives: r.slow.lives.Load(), slowFailed: r.slow.failed.Load(), slowWhy: r.slow.problem(),
		scrapes: r.sampler.scrapes, unscraped: r.sampler.failed}
	for guard := time.Now().Add(hangGuard); r.missing() > 0 && time.Now().Before(guard) && ctx.Err() == nil; {
		sleep(ctx, pollPause)
	}
	for guard := time.Now().Add(hangGuard); !e.healthy && time.Now().Before(guard) && ctx.Err() == nil; {
		sleep(ctx, pollPause)
		e.healthy = r.admin.healthy(ctx)
	}
	for _, g := range r.groups {
		e.groups = append(e.groups, groupEvidence{g.name, g.steady, g.client.Snapshot(), g.client.Missing()})
	}
	e.fanout, e.marks = r.fanout.told(), r.marks.told()
	r.publisher.close()
	e.published, e.nobody = all, r.publisher.nobody
	r.leave()
	var err error
	e.end, err = r.settle(ctx, func(s *state) bool {
		now := evidence{start: r.start, end: *s}
		for _, c := range []report.Criterion{now.checkNothingLeft(), now.checkDescriptors(), now.checkCloses(),
			now.checkNoMore("", "go_goroutines", goroutinesMargin)} {
			if !c.Pass {
				return false
			}
		}
		return true
	})
	if err != nil {
		return nil, interrupted(ctx, err)
	}
	e.end.metrics[heapObjectsMetric], err = r.admin.heapObjects(ctx)
	return e, interrupted(ctx, err)
}

// interrupted is the error, unless the operator is behind it.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

func (r *soak) missing() (sum uint64) {
	for _, g := range r.groups {
		sum += g.client.Missing()
	}
	return sum
}

// leave ends all connections.
func (r *soak) leave() {
	for _, g := range r.groups {
		g.client.Stop()
	}
	r.groups = nil
	for _, w := range []*witness{r.fanout, r.marks} {
		if w != nil {
			w.close()
		}
	}
	r.fanout, r.marks = nil, nil
}

// cleanUp ends all that is left, whatever happened.
func (r *soak) cleanUp() {
	r.thaw()
	r.leave()
	if r.server != nil {
		r.server.Stop()
	}
	if r.redis != nil {
		r.redis.kill()
	}
	if r.dir != "" {
		os.RemoveAll(r.dir)
	}
}

// A lockedWriter takes lines of several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
