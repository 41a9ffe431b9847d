package redisbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"c10m/bus"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// A probe is a message on its way from this server to itself.
type probe struct {
	text string
	sent time.Time
	back chan struct{} // closed by the receiver
}

// prober sends a probe at each interval, the first at once, and turns health red
// when one fails or is late. It ends the session only for what its member is: if the
// path is dead, nothing arrives, and the receiver finds that out.
func (s *session) prober(ctx context.Context, end context.CancelCauseFunc) {
	ticker := time.NewTicker(s.cfg.ProbeInterval)
	defer ticker.Stop()
	for seq := uint64(1); ; seq++ {
		err := s.probeOnce(ctx, seq)
		if ctx.Err() != nil {
			return
		}
		var bad *roleError
		switch isRole := errors.As(err, &bad); {
		case isRole && (bad.isDeaf || s.proved.Load()):
			end(err) // messages may be missing: this is a gap
			return
		case isRole:
			s.trouble(err)
		case err != nil:
			s.count.probesLost.Add(1)
			s.trouble(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// probeOnce asks a Redis what it is, publishes at it, and waits until that comes
// back by the subscription. It takes a new connection each time, so that green says
// that a server could begin now: with this password, at the member that the address
// leads to now. Connections outlive passwords, roles, and what a name meant.
func (s *session) probeOnce(ctx context.Context, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ProbeTimeout)
	defer cancel()
	options := s.options
	client := redis.NewClient(&options)
	// The end of the session must not wait for the answer of a dead Redis.
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer func() {
		if stop() {
			_ = client.Close()
		}
	}()
	now := time.Now()
	p := &probe{
		// The time makes it differ from those of earlier sessions.
		text: strconv.FormatInt(now.UnixNano(), 36) + "-" + strconv.FormatUint(seq, 10),
		sent: now,
		back: make(chan struct{}),
	}
	bad := s.inspect(ctx, client, now)
	if bad == nil {
		s.probe.Store(p)
		defer s.probe.CompareAndSwap(p, nil)
	} else if !errors.As(bad, new(*roleError)) {
		return s.notTaken(ctx, bad)
	}
	// It is published in any case, lest the subscription be taken for dead.
	if err := client.Publish(ctx, s.channel, p.text).Err(); err != nil && bad == nil {
		return s.notTaken(ctx, err)
	}
	if bad != nil {
		return bad
	}
	select {
	case <-p.back:
		return nil
	case <-ctx.Done():
		if !s.probe.CompareAndSwap(p, nil) {
			return nil // it came back in this very moment
		}
		return fmt.Errorf("a probe did not come back within %v", s.cfg.ProbeTimeout)
	}
}

// inspect returns a roleError if the member is not what it should be, and any other
// if it does not answer.
func (s *session) inspect(ctx context.Context, client *redis.Client, now time.Time) error {
	m, err := s.ask(ctx, client)
	if err == nil {
		err = s.judge(m, s.first)
	}
	if err != nil {
		return err
	}
	if s.wasReplica.Swap(false) && s.proved.Load() {
		// No probe saw it, but who published did: what came to the master meanwhile is lost.
		return newRoleError(false, "it was a replica between two probes")
	}
	s.accept(m, now)
	if s.first == nil {
		s.first = &m
	}
	return nil
}

func (s *session) notTaken(ctx context.Context, err error) error {
	if ctx.Err() != nil || isTimeout(err) {
		return fmt.Errorf("it did not take a probe within %v", s.cfg.ProbeTimeout)
	}
	return fmt.Errorf("it did not take a probe: %w", err)
}

// probeReturned is where health turns green, and nowhere else.
func (s *session) probeReturned(text string) {
	p := s.probe.Load()
	if p == nil || p.text != text || !s.probe.CompareAndSwap(p, nil) {
		return // of an earlier session, or late and given up
	}
	s.count.roundTrip.Store(math.Float64bits(time.Since(p.sent).Seconds()))
	s.proved.Store(true)
	close(p.back)
	s.green()
}

// tellGap tells OnGap of a gap of which it was not told yet: before the first
// message behind it, and if none comes, when the light turns green.
func (s *session) tellGap() {
	if s.gapTold {
		return
	}
	s.gapTold = true
	s.mu.Lock()
	gap := s.gap
	s.gap = bus.Gap{}
	s.mu.Unlock()
	if !gap.From.IsZero() && s.cfg.OnGap != nil {
		s.cfg.OnGap(gap)
	}
}

// green turns health green. OnGap comes first: who connects after it saw the
// green light is not taken for one who was there in the gap.
func (s *session) green() {
	s.tellGap()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.health.Up {
		return
	}
	s.health.Set(true, "")
	if s.news.good() {
		s.log.Info("the subscription at Redis works", zap.Uint64("gaps", s.health.Gaps))
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// trouble turns health red while the session goes on. Any goroutine may call it.
func (r *Redis) trouble(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.health
	r.health.Set(false, reasonOf(r.options.Addr, err))
	isNew := was.Up || was.Reason != r.health.Reason && !strings.HasPrefix(was.Reason, "Redis at ")
	if r.news.bad(&r.news.doubt, isNew, time.Now()) {
		r.log.Warn("the subscription at Redis is in doubt", zap.String("reason", r.health.Reason))
	}
}
