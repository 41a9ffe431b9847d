package redisbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// A session is one subscription from its dial to its first error. go-redis would
// redial and resubscribe inside of an error, without a word: its dialer here
// dials once, so that the end of a session is the end of its connection, and
// every gap is seen.
type session struct {
	*Redis

	// Owned by the goroutine that receives.
	gapTold bool

	// Shared: atomic.
	subscribed atomic.Bool // confirmed, so that the end is a gap
	proved     atomic.Bool // a probe came back
	probe      atomic.Pointer[probe]
}

// A probe is a message on its way from this server to itself.
type probe struct {
	text string
	sent time.Time
	back chan struct{} // closed by the receiver
}

var errDialedOnce = errors.New("the connection was lost")

// run subscribes, and hands messages to the Door until an error, which it
// returns.
func (s *session) run(ctx context.Context) error {
	options := s.options
	dial := redis.NewDialer(&options)
	var dialed atomic.Bool
	options.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dialed.Swap(true) {
			return nil, errDialedOnce
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: conn, session: s}, nil
	}
	client := redis.NewClient(&options)
	defer client.Close()

	sub := client.Subscribe(ctx) // to nothing yet: this does not dial
	defer sub.Close()
	// A blocked read does not look at its context.
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer stop()
	if err := s.subscribe(ctx, sub); err != nil {
		return err
	}

	proberCtx, stopProber := context.WithCancel(ctx)
	proberEnded := make(chan struct{})
	go func() {
		defer close(proberEnded)
		s.prober(proberCtx)
	}()
	defer func() {
		stopProber()
		<-proberEnded
	}()
	for {
		// Probes come back all the time, so nothing at all for this long is a
		// dead path (patientConn has the clock). A timeout must end the session:
		// it may have cut a message in two, and go-redis would read on in its
		// middle. A stream that flows is never ended for a probe that is late,
		// as its backlog would be lost.
		received, err := receive(ctx, sub, s.silenceMax())
		if err != nil {
			return err
		}
		s.sign()
		switch m := received.(type) {
		case *redis.Message:
			s.message(m)
		case *redis.Subscription:
			// Nobody here asked for it: a proxy that changed its mind.
			return fmt.Errorf("it changed the subscription by itself: %s", m.Kind)
		}
	}
}

// subscribe returns once Redis has confirmed.
func (s *session) subscribe(ctx context.Context, sub *redis.PubSub) error {
	if err := sub.PSubscribe(ctx, "*"); err != nil {
		return err
	}
	received, err := receive(ctx, sub, s.cfg.ProbeTimeout)
	if err != nil {
		return err
	}
	if confirmed, ok := received.(*redis.Subscription); !ok || confirmed.Kind != "psubscribe" {
		return fmt.Errorf("the answer to PSUBSCRIBE is %T, so this is no Redis that can be used", received)
	}
	s.subscribed.Store(true)
	s.count.connects.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastSign = time.Now()
	if s.health.Gaps > 0 && s.health.GapTo.IsZero() {
		s.health.GapTo = s.lastSign
	}
	s.gap.To = s.lastSign
	s.setHealth(false, "subscribed at Redis, and waiting for the first probe to come back")
	return nil
}

// receive waits for the next frame of the subscription. go-redis asserts types
// that the other end chooses, so a broken one can make it panic.
func receive(ctx context.Context, sub *redis.PubSub, timeout time.Duration) (received any, err error) {
	defer func() {
		if r := recover(); r != nil {
			received, err = nil, fmt.Errorf("it sent what is no message: %v", r)
		}
	}()
	received, err = sub.ReceiveTimeout(ctx, timeout)
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		err = fmt.Errorf("nothing came for %v, not even the probes of this server", timeout)
	}
	return received, err
}

// sign notes that the subscription is alive.
func (s *session) sign() {
	s.mu.Lock()
	s.lastSign = time.Now()
	s.mu.Unlock()
}

// message hands one message on. Door.Publish may block: what waits meanwhile,
// waits in the socket and then in Redis, which is the backpressure there is.
func (s *session) message(m *redis.Message) {
	if isReserved(m.Channel) {
		s.count.reserved.Add(1)
		if m.Channel == s.channel {
			s.probeReturned(m.Payload)
		}
		return
	}
	s.tellGap()
	s.count.messages.Add(1)
	s.count.bytes.Add(uint64(len(m.Payload)))
	// Nobody waits for the receipt: the publisher has its answer from Redis.
	if _, err := s.door.Publish([]byte(m.Channel), []byte(m.Payload)); err != nil {
		s.count.dropped[dropRefused].Add(1)
		if n := s.refusals.allow(time.Now()); n > 0 {
			s.log.Warn("messages from Redis were refused", zap.Uint64("messages", n),
				zap.String("channel", clip(m.Channel)), zap.Int("bytes", len(m.Payload)), zap.Error(err))
		}
	}
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
	s.gap = Gap{}
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
	s.setHealth(true, "")
	if s.news.good() {
		s.log.Info("the subscription at Redis works", zap.Uint64("gaps", s.health.Gaps))
	}
}

// prober publishes a probe at each interval, the first at once, and turns health
// red when one fails or is late. It never ends the session: if the path is dead,
// nothing arrives, and the receiver finds that out.
func (s *session) prober(ctx context.Context) {
	options := s.options
	client := redis.NewClient(&options)
	// The end of the session must not wait for the answer of a dead Redis.
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer func() {
		if stop() {
			_ = client.Close()
		}
	}()
	ticker := time.NewTicker(s.cfg.ProbeInterval)
	defer ticker.Stop()
	for seq := uint64(1); ; seq++ {
		if err := s.probeOnce(ctx, client, seq); err != nil && ctx.Err() == nil {
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

func (s *session) probeOnce(ctx context.Context, client *redis.Client, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ProbeTimeout)
	defer cancel()
	now := time.Now()
	p := &probe{
		// The time makes it differ from those of earlier sessions.
		text: strconv.FormatInt(now.UnixNano(), 36) + "-" + strconv.FormatUint(seq, 10),
		sent: now,
		back: make(chan struct{}),
	}
	s.probe.Store(p)
	defer s.probe.CompareAndSwap(p, nil)
	if err := client.Publish(ctx, s.channel, p.text).Err(); err != nil {
		if ctx.Err() != nil || isTimeout(err) {
			return fmt.Errorf("it did not take a probe within %v", s.cfg.ProbeTimeout)
		}
		return fmt.Errorf("it did not take a probe: %w", err)
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

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// trouble turns health red while the session goes on.
func (s *session) trouble(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.health
	s.setHealth(false, reasonOf(s.options.Addr, err))
	isNew := was.Up || was.Reason != s.health.Reason && !strings.HasPrefix(was.Reason, "Redis at ")
	if s.news.bad(&s.news.doubt, isNew, time.Now()) {
		s.log.Warn("the subscription at Redis is in doubt", zap.String("reason", s.health.Reason))
	}
}

// silenceMax is how long nothing at all may come on a subscription.
func (s *session) silenceMax() time.Duration { return s.cfg.ProbeInterval + s.cfg.ProbeTimeout }

// A patientConn counts the silence on a subscription from the last byte that
// came. go-redis sets one deadline for a whole frame, so that a large message on
// a slow path would end the subscription, and all that waits behind it be lost.
type patientConn struct {
	net.Conn
	session *session
}

func (c *patientConn) Read(p []byte) (int, error) {
	// Before that, a deadline for the whole handshake is right.
	if c.session.subscribed.Load() {
		if err := c.SetReadDeadline(time.Now().Add(c.session.silenceMax())); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}
