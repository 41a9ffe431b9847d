package bustest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"c10m/bus"
	"c10m/channel"
)

// A Memory is a bus of one process: what is published goes to its Door at once, in one
// order per channel. It stands for a driver that numbers messages itself, and fails, waits and
// is silent as a test tells it.
type Memory struct {
	// Fixed once somebody publishes.
	Door        bus.Door
	Subscribers int  // that each message goes to
	IsLate      bool // the loops have their messages later, so there are no receipts
	// Hold has PublishBatch wait for its end, and Entered gets one for each call, where
	// they are there.
	Hold, Entered chan struct{}

	order  channel.Order
	number atomic.Uint64 // of the latest message
	count  bus.Counters

	mu sync.Mutex
	// Guarded by mu.
	fail   func(*bus.Publication) error
	tried  int
	health bus.Health
}

var _ bus.Bus = (*Memory)(nil)

// NewMemory makes a driver that is up.
func NewMemory(door bus.Door) *Memory {
	return &Memory{Door: door, health: bus.Health{Up: true, Since: time.Now()}}
}

// A receipt adds the driver's own id to what the loops say.
type receipt struct {
	*channel.Receipt
	id string
}

func (r receipt) ID() string { return r.id }

// PublishBatch implements bus.Publishable.
func (m *Memory) PublishBatch(_ context.Context, batch []*bus.Publication) {
	if m.Entered != nil {
		m.Entered <- struct{}{}
	}
	if m.Hold != nil {
		<-m.Hold
	}
	for _, p := range batch {
		m.publish(p)
	}
}

func (m *Memory) publish(p *bus.Publication) {
	if p.Err = m.refuses(p); p.Err != nil {
		return
	}
	defer m.order.Lock(p.Channel).Unlock()
	m.count.Messages.Add(1)
	m.count.Bytes.Add(uint64(len(p.Payload)))
	loops, err := m.Door.Publish(p.Channel, p.Payload)
	if p.Err = err; err != nil {
		m.count.Dropped[bus.DropRefused].Add(1)
		m.count.Unpublished[bus.PublishRefused].Add(1)
		return
	}
	p.Subscribers = m.Subscribers
	if !m.IsLate {
		p.Receipt = receipt{loops, fmt.Sprint("memory-", m.number.Add(1))}
	}
}

// refuses is why a message is not published.
func (m *Memory) refuses(p *bus.Publication) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tried++
	if !m.health.Up {
		m.count.Unpublished[bus.PublishDown].Add(1)
		return bus.Unpublished(m.health.Reason)
	}
	if m.fail != nil {
		if err = m.fail(p); err != nil {
			m.count.Unpublished[bus.PublishUnconfirmed].Add(1)
		}
	}
	return err
}

// Fail sets what fails from now on, nil for nothing.
func (m *Memory) Fail(with func(*bus.Publication) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = with
}

// Tried counts the messages that were to be published.
func (m *Memory) Tried() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tried
}

// Health implements bus.Bus.
func (m *Memory) Health() bus.Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.health
}

// Stats implements bus.Bus.
func (m *Memory) Stats() bus.Stats { return m.count.Stats() }

// Close implements bus.Bus.
func (m *Memory) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.health = bus.Health{Since: time.Now(), Reason: "the bus is closed"}
	return nil
}
