package redisbus

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	randv2 "math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"c10m/bus"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"
)

// RedisConfig says which Redis to subscribe at. Zero durations take the
// defaults of limits.go.
type RedisConfig struct {
	// URL is redis://[user:password@]host:port, or rediss:// for TLS.
	URL string
	// ProbeInterval is the time between two messages to itself. ProbeTimeout
	// is how long one may take to come back, and bounds dialing and the
	// handshake as well. A subscription on which nothing at all arrives for
	// both together is given up.
	ProbeInterval, ProbeTimeout time.Duration
	// ReconnectBackoffMin is the first upper bound of the random wait before a
	// reconnect. It doubles with each failure, up to ReconnectBackoffMax.
	ReconnectBackoffMin, ReconnectBackoffMax time.Duration
	// OnGap, if it is not nil, is told when a probe or a message has come after a
	// time without a subscription: after each gap, and once after the start, as a
	// client that connected before the first subscription has missed messages
	// like any other. Gaps with nothing received between them are one. It is called
	// by the goroutine that receives, before the Door gets what came behind the gap.
	OnGap func(bus.Gap)

	// dial replaces the network in tests.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Redis is a subscription to all channels of a Redis. It implements bus.Bus.
type Redis struct {
	// Fixed after construction.
	options redis.Options // a template, copied for each client
	cfg     RedisConfig   // with its defaults, and without the URL
	door    bus.Door
	log     *zap.Logger
	channel string // on which this server hears its own probes
	cancel  context.CancelFunc
	ended   sync.WaitGroup
	// publishing is for PublishBatch; it dials when it is first needed.
	publishing *redis.Client

	mu sync.Mutex
	// Guarded by mu.
	health   bus.Health
	lastSign time.Time // when the subscription last proved to be alive
	gap      bus.Gap   // not yet told to OnGap; From is zero if there is none
	news     bulletin
	// What is known of the member's role: when it was last asked and good, that it
	// was a master, and whose replica it is, if it was one from the start.
	roleGood  time.Time
	wasMaster bool
	replicaOf string

	// Owned by the run goroutine.
	refusals   bus.LogLimit
	saidNoRole bool // by the prober or before there is one

	// Shared: atomic.
	wasReplica atomic.Bool // a batch found it to be one, and no probe has asked since
	count      redisCounters
	tellsRole  atomic.Bool // the user may send ROLE
	isClosing  atomic.Bool
}

type redisCounters struct {
	bus.Counters
	connects, probesLost atomic.Uint64
	roundTrip            atomic.Uint64 // math.Float64bits of seconds
}

var quietLibrary = sync.OnceFunc(logging.Disable)

// ConnectRedis begins to subscribe and returns at once: a Redis that can not be
// reached shows in Health and is tried until Close. The error is one sentence
// about a URL that can not be used, without the URL, which may hold a password.
func ConnectRedis(cfg RedisConfig, door bus.Door, log *zap.Logger) (*Redis, error) {
	options, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	// go-redis prints to stderr about what this package reports by itself.
	quietLibrary()
	cfg.ProbeInterval = cmp.Or(cfg.ProbeInterval, probeIntervalDefault)
	cfg.ProbeTimeout = cmp.Or(cfg.ProbeTimeout, probeTimeoutDefault)
	cfg.ReconnectBackoffMin = cmp.Or(cfg.ReconnectBackoffMin, reconnectBackoffMinDefault)
	cfg.ReconnectBackoffMax = cmp.Or(cfg.ReconnectBackoffMax, reconnectBackoffMaxDefault)
	cfg.URL = ""
	ctx, cancel := context.WithCancel(context.Background())
	now := time.Now()
	r := &Redis{
		options: clientOptions(options, cfg),
		cfg:     cfg,
		door:    door,
		log:     log.With(zap.String("redis", options.Addr)),
		channel: bus.ProbePrefix + rand.Text(),
		cancel:  cancel,
		health:  bus.Health{Since: now, Reason: "connecting to Redis at " + options.Addr},
		gap:     bus.Gap{From: now},
	}
	r.publishing = r.newPublishClient()
	r.ended.Go(func() { r.run(ctx) })
	return r, nil
}

// CheckRedis says what ConnectRedis would say of a URL.
func CheckRedis(url string) error {
	_, err := parseURL(url)
	return err
}

// parseURL keeps the URL out of its errors.
func parseURL(text string) (*redis.Options, error) {
	const want = "set --bus to redis://[user:password@]host:port, or to rediss:// for TLS"
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("the URL of the Redis can not be read (a password in it must be percent-encoded): " + want)
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, fmt.Errorf("the URL of the Redis begins with %q: %s", bus.Clip(u.Scheme+":"), want)
	case u.Host == "" || u.Hostname() == "":
		return nil, errors.New("the URL of the Redis names no host: " + want)
	}
	options, err := redis.ParseURL(text)
	if err != nil {
		return nil, errors.New("the URL of the Redis has a path or parameters that can not be used: " + want)
	}
	return options, nil
}

// clientOptions makes go-redis do one thing at a time: no retries, no waits and
// no connections other than those this package asks for.
func clientOptions(from *redis.Options, cfg RedisConfig) redis.Options {
	return redis.Options{
		Network:   from.Network,
		Addr:      from.Addr,
		Username:  from.Username,
		Password:  from.Password,
		TLSConfig: from.TLSConfig,
		Dialer:    cfg.dial,
		// RESP2, because a subscription needs nothing of RESP3, and an old
		// Redis or a proxy may not have it.
		Protocol:              2,
		DialTimeout:           cfg.ProbeTimeout,
		ReadTimeout:           cfg.ProbeTimeout,
		WriteTimeout:          cfg.ProbeTimeout,
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		DialerRetries:         1,
		PoolSize:              1,
		PipelinePoolSize:      -1,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
}

// run keeps a subscription until Close.
func (r *Redis) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		s := &session{Redis: r}
		err := s.run(ctx)
		if ctx.Err() != nil {
			break
		}
		if s.proved.Load() {
			failures = 0 // it worked, so this is a new trouble
		}
		r.interrupted(s.subscribed.Load(), err)
		wait := backoff(failures, r.cfg.ReconnectBackoffMin, r.cfg.ReconnectBackoffMax)
		failures++
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health.Set(false, "the bus is closed")
}

// backoff is exponential with full jitter: a random wait below a bound that
// doubles. Many servers that lost one Redis do not come back to it in step.
func backoff(failures int, low, high time.Duration) time.Duration {
	bound := high
	if failures < 32 && low<<failures > 0 {
		bound = min(high, low<<failures)
	}
	return randv2.N(bound + 1)
}

// interrupted notes the end of a session, which is a gap if it had subscribed:
// what is published from here on is lost, and nobody can say what it was.
func (r *Redis) interrupted(subscribed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.health
	r.health.Set(false, reasonOf(r.options.Addr, err))
	if subscribed {
		from := r.lastSign
		if errors.As(err, new(*roleError)) {
			from = r.roleGood // it was alive since, and not what it should be
		}
		r.health.Gaps++
		r.health.GapFrom, r.health.GapTo = from, time.Time{}
		if r.gap.From.IsZero() {
			r.gap.From = from
		}
	}
	if r.news.bad(&r.news.lost, subscribed || was.Reason != r.health.Reason, time.Now()) {
		fields := []zap.Field{zap.String("reason", r.health.Reason), zap.Uint64("gaps", r.health.Gaps)}
		if r.health.Gaps > 0 {
			fields = append(fields, zap.Time("since", r.gap.From))
		}
		r.log.Warn("no subscription at Redis: what is published is lost here until it is back", fields...)
	}
}

// reasonOf says for the operator what an error means.
func reasonOf(addr string, err error) string {
	text := bus.Clip(err.Error())
	switch {
	case redis.IsAuthError(err):
		return "Redis at " + addr + " refuses the user or the password, correct the --bus URL: " + text
	case redis.IsPermissionError(err):
		return "Redis at " + addr + " does not permit this user to subscribe to all channels and to publish to " + bus.ProbePrefix + "*: " + text
	}
	return "Redis at " + addr + ": " + text
}

// Health implements bus.Bus. It is up from the first probe that came back until the
// first sign of trouble.
func (r *Redis) Health() bus.Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health
}

// Stats implements bus.Bus.
func (r *Redis) Stats() bus.Stats {
	s := r.count.Stats()
	s.Gaps, s.ProbesLost = r.Health().Gaps, r.count.probesLost.Load()
	s.ProbeRoundTripSeconds = math.Float64frombits(r.count.roundTrip.Load())
	if n := r.count.connects.Load(); n > 1 {
		s.Reconnects = n - 1
	}
	s.PeersClosed = closed(func(closeReason) uint64 { return 0 })
	return s
}

// Close implements bus.Bus.
func (r *Redis) Close(ctx context.Context) error {
	r.isClosing.Store(true)
	r.cancel()
	_ = r.publishing.Close()
	return bus.WaitFor(ctx, &r.ended)
}

// A bulletin decides which changes of health are worth a line in the log, so that
// a Redis that comes and goes ten times a second does not fill the disk, and yet
// the last state is always said. Its owner keeps it to one goroutine at a time.
type bulletin struct {
	lost, doubt topic // the subscription is gone; it is there and does not work
	said        bool  // the last line was bad
	greeted     bool  // all was well once
}

// A topic is one kind of trouble.
type topic struct {
	limit bus.LogLimit
	owed  bool // something new has not been said
}

// bad reports whether to say now what is wrong. It is to be called again and
// again while it is.
func (b *bulletin) bad(kind *topic, isNew bool, now time.Time) bool {
	kind.owed = kind.owed || isNew
	if !kind.owed || kind.limit.Allow(now) == 0 {
		return false
	}
	kind.owed, b.said = false, true
	return true
}

// good reports whether to say that all is well. What was not worth a line when
// it went wrong is not worth one now.
func (b *bulletin) good() bool {
	say := b.said || !b.greeted
	b.lost.owed, b.doubt.owed, b.said, b.greeted = false, false, false, true
	return say
}
