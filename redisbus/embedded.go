package redisbus

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"c10m/bus"
	"c10m/channel"
	"c10m/internal/secret"

	"go.uber.org/zap"
)

// EmbeddedConfig says where and for whom the embedded bus listens.
type EmbeddedConfig struct {
	// Addr is host:port. Port 0 takes a free one: see Embedded.Addr. An address that
	// other machines can reach needs a password.
	Addr string
	// Password is asked of every peer unless it is empty.
	Password string
}

// Embedded is a RESP server that redis-cli, Redis clients and other 10m-servers
// publish to and subscribe at. It implements bus.Bus.
type Embedded struct {
	// Fixed after construction.
	door        bus.Door
	log         *zap.Logger
	authTimeout time.Duration
	authDelay   time.Duration // for a wrong password
	started     time.Time
	registry    *registry
	order       channel.Order // the same of each channel for the Door and for RESP subscribers
	ended       sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	listener net.Listener
	peers    map[*peer]struct{}
	nextID   int64
	health   bus.Health
	rude     bus.LogLimit // lines about peers that misbehave

	// Shared: atomic.
	closing  atomic.Bool
	queued   atomic.Int64 // bytes in all outboxes
	hosts    atomic.Pointer[[]Host]
	lent     atomic.Uint64 // times that a peer was lent to one of them
	count    embeddedCounters
	password secret.Password
}

type embeddedCounters struct {
	bus.Counters
	accepted, commands atomic.Uint64
	protocolErrors     atomic.Uint64
	authFailures       atomic.Uint64
	acceptErrors       atomic.Uint64
	closed             [closeReasons]atomic.Uint64
}

// ListenEmbedded listens and serves until Close. The error is one sentence for
// the operator.
func ListenEmbedded(cfg EmbeddedConfig, door bus.Door, log *zap.Logger) (*Embedded, error) {
	listener, err := embeddedListener.Listen(cfg.Addr, cfg.Password != "")
	if err != nil {
		return nil, err
	}
	b := newEmbedded(cfg, door, log)
	b.start(listener)
	return b, nil
}

// CheckEmbedded says what ListenEmbedded would say now, and listens no longer than
// that takes.
func CheckEmbedded(cfg EmbeddedConfig) error {
	return embeddedListener.Check(cfg.Addr, cfg.Password != "")
}

func newEmbedded(cfg EmbeddedConfig, door bus.Door, log *zap.Logger) *Embedded {
	now := time.Now()
	b := &Embedded{
		door:        door,
		log:         log,
		authTimeout: unauthSecondsMax * time.Second,
		authDelay:   authFailureDelayMilliseconds * time.Millisecond,
		started:     now,
		registry:    newRegistry(),
		peers:       make(map[*peer]struct{}),
		health:      bus.Health{Up: true, Since: now},
	}
	b.password.Set(cfg.Password)
	return b
}

// SetPassword replaces the password of a bus that has one. Peers that have given the
// former one stay, as at a Redis.
func (b *Embedded) SetPassword(password string) { b.password.Set(password) }

func (b *Embedded) start(listener net.Listener) {
	b.mu.Lock()
	b.listener = listener
	b.mu.Unlock()
	b.ended.Go(func() { b.acceptLoop(listener) })
}

// Addr is where the bus listens.
func (b *Embedded) Addr() net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener == nil {
		return nil
	}
	return b.listener.Addr()
}

func (b *Embedded) port() int {
	if addr, ok := b.Addr().(*net.TCPAddr); ok {
		return addr.Port
	}
	return 0
}

// acceptLoop never ends the bus and never spins: an error, as of a full
// descriptor table, is waited out.
func (b *Embedded) acceptLoop(listener net.Listener) {
	backoff := time.Duration(0)
	for {
		conn, err := listener.Accept()
		if err == nil {
			if backoff != 0 {
				backoff = 0
				b.setHealth(true, "")
			}
			b.admit(conn)
			continue
		}
		if b.closing.Load() {
			return
		}
		b.count.acceptErrors.Add(1)
		if backoff == 0 {
			b.log.Warn("the bus can not accept connections, and keeps trying", zap.Error(err))
			b.setHealth(false, "the embedded bus can not accept connections: "+bus.Clip(err.Error()))
		}
		backoff = min(max(2*backoff, acceptBackoffMin), acceptBackoffMax)
		time.Sleep(backoff)
	}
}

// admit starts a peer, or tells it that there are too many.
func (b *Embedded) admit(conn net.Conn) {
	b.count.accepted.Add(1)
	if _, ok := conn.(*net.TCPConn); ok {
		conn = newLine(conn)
	}
	p := &peer{bus: b, conn: conn, since: time.Now(), out: newOutbox(&b.queued), authed: !b.password.IsSet(), lendAfter: lendAfterMin}
	p.active.Store(p.since.Unix())
	b.mu.Lock()
	refused := closeNone
	switch {
	case b.closing.Load():
		refused = closeShutdown
	case len(b.peers) >= peersMax && !b.evict():
		refused = closePeersMax
	default:
		b.nextID++
		p.id = b.nextID
		b.peers[p] = struct{}{}
		b.ended.Add(1)
	}
	b.mu.Unlock()
	if refused != closeNone {
		b.count.closed[refused].Add(1)
		// The send buffer of a new socket is empty: this does not block.
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte("-ERR max number of clients reached\r\n"))
		_ = conn.Close()
		return
	}
	go func() {
		defer b.ended.Done()
		p.serve()
		b.mu.Lock()
		delete(b.peers, p)
		b.mu.Unlock()
		b.count.closed[p.reason.Load()].Add(1)
	}()
}

// evict takes the place of the oldest peer that is not settled, if there is one: who
// holds places and says nothing does not keep out those who do. b.mu is held.
func (b *Embedded) evict() bool {
	var oldest *peer
	for p := range b.peers {
		if !p.settled.Load() && (oldest == nil || p.id < oldest.id) {
			oldest = p
		}
	}
	if oldest == nil {
		return false
	}
	delete(b.peers, oldest)
	oldest.cut(closeEvicted)
	return true
}

// publish hands a message to the Door and to the RESP subscribers, in one order of its
// channel for all of them. The channel is locked while the Door blocks, so backpressure
// reaches its publishers, and nobody else.
func (b *Embedded) publish(shard bool, name, payload []byte) (reply publishReply) {
	defer b.order.Lock(name).Unlock()
	if channel.IsReserved(name) {
		b.count.Reserved.Add(1)
	} else {
		b.count.Messages.Add(1)
		b.count.Bytes.Add(uint64(len(payload)))
		if reply.receipt, reply.err = b.door.Publish(name, payload); reply.err != nil {
			// What the Door's clients can not have, nobody gets: the publisher
			// is told, and all subscribers agree on what was published.
			b.count.Dropped[bus.DropRefused].Add(1)
			reply.receipt = nil
			return reply
		}
	}
	reply.local = b.registry.route(shard, name, payload)
	return reply
}

// Health implements bus.Bus. The embedded bus is up unless it can not accept.
func (b *Embedded) Health() bus.Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.health
}

func (b *Embedded) setHealth(up bool, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.health.Set(up, reason)
}

// Stats implements bus.Bus.
func (b *Embedded) Stats() bus.Stats {
	subscriptions, _ := b.registry.total()
	s := b.count.Stats()
	s.PeerStats = bus.PeerStats{
		Subscriptions:  int64(subscriptions),
		QueuedBytes:    b.queued.Load(),
		PeersAccepted:  b.count.accepted.Load(),
		PeersClosed:    closed(func(reason closeReason) uint64 { return b.count.closed[reason].Load() }),
		Commands:       b.count.commands.Load(),
		ProtocolErrors: b.count.protocolErrors.Load(),
		AuthFailures:   b.count.authFailures.Load(),
		AcceptErrors:   b.count.acceptErrors.Load(),
	}
	b.mu.Lock()
	s.Peers = int64(len(b.peers))
	b.mu.Unlock()
	return s
}

// PublishBatch implements bus.Publishable: each message is a PUBLISH, but does not wait
// for the loops' receipt (Publication.Connections does).
func (b *Embedded) PublishBatch(_ context.Context, batch []*bus.Publication) {
	for _, p := range batch {
		if b.closing.Load() {
			p.Err = errClosed
			b.count.Unpublished[bus.PublishDown].Add(1)
			continue
		}
		reply := b.publish(false, p.Channel, p.Payload)
		p.Err, p.Subscribers = reply.err, reply.local
		if reply.receipt != nil {
			p.Receipt = reply.receipt
		}
		if p.Err != nil {
			b.count.Unpublished[bus.PublishRefused].Add(1)
		}
	}
}

const errClosed = bus.Unpublished("the bus is closed")

// Close implements bus.Bus. Peers get the replies to what they have sent, within
// flushSecondsMax each; when ctx is done they are cut.
func (b *Embedded) Close(ctx context.Context) error {
	first := !b.closing.Swap(true)
	var err error
	b.mu.Lock()
	if first {
		err = b.listener.Close()
		b.health = bus.Health{Since: time.Now(), Reason: "the bus is closed"}
	}
	for p := range b.peers {
		_ = p.conn.SetReadDeadline(time.Now())
		_ = p.conn.SetWriteDeadline(time.Now().Add(flushSecondsMax * time.Second))
	}
	b.mu.Unlock()
	late := bus.WaitFor(ctx, &b.ended)
	if late == nil {
		if errors.Is(err, net.ErrClosed) {
			err = nil
		}
		return err
	}
	b.mu.Lock()
	for p := range b.peers {
		p.cut(closeShutdown)
	}
	b.mu.Unlock()
	return late
}
