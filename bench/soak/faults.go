package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// A faultKind is a way to break the bus.
type faultKind struct {
	name string
	// gap says that it ends the server's subscription, which the server has to
	// count: once, neither more nor less.
	gap bool
	// loses says that messages on their way may be lost. Of the others, none
	// may.
	loses bool
	// inflict returns when the cause is over, and before all is well again.
	inflict func(ctx context.Context, r *soak, random *rand.Rand) error
}

// between is a random duration.
func between(random *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(random.Int64N(int64(high-low)+1))
}

// faultKinds are all there are.
var faultKinds = []faultKind{
	{name: "redis-killed", gap: true, loses: true, inflict: func(ctx context.Context, r *soak, random *rand.Rand) error {
		r.redis.kill()
		sleep(ctx, between(random, 500*time.Millisecond, 4*time.Second))
		return r.redis.start(ctx)
	}},
	{name: "redis-restarted", gap: true, loses: true, inflict: func(ctx context.Context, r *soak, _ *rand.Rand) error {
		r.redis.shutdown()
		return r.redis.start(ctx)
	}},
	{name: "subscriber-cut", gap: true, loses: true, inflict: func(_ context.Context, r *soak, _ *rand.Rand) error {
		return r.cutOff("pubsub")
	}},
	{name: "publishers-cut", loses: true, inflict: func(_ context.Context, r *soak, _ *rand.Rand) error {
		return r.cutOff("normal")
	}},
	// Shorter than the ten seconds after which the server gives its
	// subscription up, with a reserve for a busy host.
	{name: "redis-frozen", inflict: func(ctx context.Context, r *soak, random *rand.Rand) error {
		return pause(ctx, r.redis.child.PID, between(random, time.Second, 5*time.Second))
	}},
	// Longer than that.
	{name: "redis-frozen-long", gap: true, loses: true, inflict: func(ctx context.Context, r *soak, random *rand.Rand) error {
		return pause(ctx, r.redis.child.PID, between(random, 13*time.Second, 18*time.Second))
	}},
	{name: "server-frozen", inflict: func(ctx context.Context, r *soak, random *rand.Rand) error {
		return pause(ctx, r.server.PID, between(random, time.Second, 3*time.Second))
	}},
}

// cutOff has Redis close connections of a type, of which there has to be one.
func (r *soak) cutOff(kind string) error {
	n, err := r.redis.cut(kind)
	if err == nil && n == 0 {
		err = fmt.Errorf("no %s client of Redis to cut off", kind)
	}
	return err
}

// faultNames are the names of faultKinds.
func faultNames() (names []string) {
	for _, k := range faultKinds {
		names = append(names, k.name)
	}
	return names
}

// A fault that was inflicted. What was handed out up to begin was taken by the
// server before the fault, since a mark behind it came back; so was what
// followed end, after it. What is between is at risk, if the kind loses
// messages, or the publisher lost its own connection.
type fault struct {
	faultKind
	begin, end position
	at         time.Duration // since the soak began
	lasted     time.Duration
	recovered  time.Duration // from its end until a mark came back
	drops      int           // times that the publisher lost its connection meanwhile
}

func (f *fault) mayLose() bool { return f.loses || f.drops > 0 }

// inflictFaults has a fault every now and then until quiet, each kind as often
// as the others, in a random order. An error is one of the surroundings (Redis
// does not start) or a server that does not recover.
func (r *soak) inflictFaults(ctx context.Context, quiet time.Time) error {
	random := rand.New(rand.NewPCG(r.settings.Seed, 1))
	kinds := r.settings.kinds()
	for n := 0; r.settings.FaultsMax == 0 || n < r.settings.FaultsMax; n++ {
		if n%len(kinds) == 0 {
			random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		}
		wait := between(random, r.settings.FaultEvery/2, r.settings.FaultEvery*3/2)
		if time.Now().Add(wait).After(quiet) {
			return nil
		}
		if sleep(ctx, wait); ctx.Err() != nil {
			return nil
		}
		if err := r.inflict(ctx, kinds[n%len(kinds)], random); err != nil {
			return err
		}
	}
	return nil
}

func (r *soak) inflict(ctx context.Context, kind faultKind, random *rand.Rand) error {
	f := fault{faultKind: kind}
	var err error
	if f.begin, err = r.passMark(ctx); err != nil {
		return err
	}
	begun, drops := time.Now(), r.publisher.lost()
	f.at = begun.Sub(r.begun)
	if err := kind.inflict(ctx, r, random); err != nil {
		return fmt.Errorf("fault %s: %w", kind.name, err)
	}
	f.lasted = time.Since(begun)
	ended := time.Now()
	if f.end, err = r.passMark(ctx); err != nil {
		return fmt.Errorf("after fault %s: %w", kind.name, err)
	}
	f.recovered, f.drops = time.Since(ended), r.publisher.lost()-drops
	r.mu.Lock()
	r.faults = append(r.faults, f)
	r.mu.Unlock()
	r.say("fault %-18s lasted %5.1f s, messages came again %4.1f s after it; published meanwhile: %d",
		f.name, f.lasted.Seconds(), f.recovered.Seconds(), f.end.minus(f.begin).total())
	return nil
}

// passMark publishes marks until one comes back, and returns what was handed
// out up to that one. The server has taken all of it that reached Redis, as
// Redis and the server keep the order, and all that follows will reach it, too.
func (r *soak) passMark(ctx context.Context) (position, error) {
	sent := map[uint64]position{}
	first := uint64(0)
	for end := time.Now().Add(hangGuard); time.Now().Before(end) && ctx.Err() == nil; {
		at := r.publisher.mark()
		if first == 0 {
			first = at.marks
		}
		sent[at.marks] = at
		for look := time.Now().Add(markPause); time.Now().Before(look); time.Sleep(time.Millisecond) {
			told := r.marks.told()
			if told.last >= first {
				return sent[told.last], nil
			}
			if told.err != nil {
				return position{}, fmt.Errorf("the connection of the marks ended: %w", told.err)
			}
		}
		if err := r.server.Died(); err != nil {
			return position{}, fmt.Errorf("10m-server: %w", err)
		}
	}
	if ctx.Err() != nil {
		return position{}, ctx.Err()
	}
	return position{}, fmt.Errorf("no message came through the bus for %v", hangGuard)
}

// lost is how often the publisher lost its bus. Any goroutine may call it.
func (p *publisher) lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drops
}

// thaw lets everything go on that a fault has frozen, also when the fault was
// interrupted.
func (r *soak) thaw() {
	if r.server != nil {
		syscall.Kill(r.server.PID, syscall.SIGCONT)
	}
}
