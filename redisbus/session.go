package redisbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"c10m/bus"
	"c10m/channel"

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
	question   atomic.Int32 // a roleQuestion: which one this user may ask

	// Owned by the prober, and by the handshake before it.
	first *member // what the member was when it was first good
}

var errDialedOnce = errors.New("the connection was lost")

// run subscribes, and hands messages to the Door until an error, which it
// returns.
func (s *session) run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	options := s.options
	dial := options.Dialer
	if dial == nil {
		dial = redis.NewDialer(&options)
	}
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
	options.OnConnect = s.listens
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

	var prober sync.WaitGroup
	prober.Go(func() { s.prober(ctx, end) })
	defer func() {
		end(nil)
		prober.Wait()
	}()
	for {
		// Probes come back all the time, so nothing at all for this long is a
		// dead path (patientConn has the clock). A timeout must end the session:
		// it may have cut a message in two, and go-redis would read on in its
		// middle. A stream that flows is never ended for a probe that is late,
		// as its backlog would be lost.
		received, err := receive(ctx, sub, s.silenceMax())
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx) // the prober ended it, or Close
			}
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
	s.health.Set(false, "subscribed at Redis, and waiting for the first probe to come back")
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
	if isTimeout(err) {
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
	if channel.IsReserved(m.Channel) {
		s.count.Reserved.Add(1)
		if m.Channel == s.channel {
			s.probeReturned(m.Payload)
		}
		return
	}
	s.tellGap()
	s.count.Messages.Add(1)
	s.count.Bytes.Add(uint64(len(m.Payload)))
	// Nobody waits for the receipt: the publisher has its answer from Redis.
	if _, err := s.door.Publish([]byte(m.Channel), []byte(m.Payload)); err != nil {
		s.count.Dropped[bus.DropRefused].Add(1)
		if n := s.refusals.Allow(time.Now()); n > 0 {
			s.log.Warn("messages from Redis were refused", zap.Uint64("messages", n),
				zap.String("channel", bus.Clip(m.Channel)), zap.Int("bytes", len(m.Payload)), zap.Error(err))
		}
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
