package bustest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"c10m/bus"
	"c10m/channel"
)

// A Memory is a bus of one process: what is published goes to its Door, at once and in
// one order. It stands for a driver that numbers messages itself, and fails, waits and
// is silent as a test tells it.
type Memory struct {
	// Fixed once somebody publishes.
	Door        bus.Door
	Subscribers int  // that each message goes to
	IsLate      bool // the loops have their messages later, so there are no receipts
	// Hold has PublishBatch wait for its end, and Entered gets one for each call, where
	// they are there.
	Hold, Entered chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	fail   func(*bus.Publication) error
	number uint64
	tried  int
	health bus.Health

	count bus.Counters
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
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range batch {
		m.publish(p)
	}
}

func (m *Memory) publish(p *bus.Publication) {
	m.tried++
	switch {
	case !m.health.Up:
		p.Err = bus.Unpublished(m.health.Reason)
		m.count.Unpublished[bus.PublishDown].Add(1)
		return
	case m.fail != nil:
		if p.Err = m.fail(p); p.Err != nil {
			m.count.Unpublished[bus.PublishUnconfirmed].Add(1)
			return
		}
	}
	m.count.Messages.Add(1)
	m.count.Bytes.Add(uint64(len(p.Payload)))
	loops, err := m.Door.Publish(p.Channel, p.Payload)
	if p.Err = err; err != nil {
		m.count.Dropped[bus.DropRefused].Add(1)
		m.count.Unpublished[bus.PublishRefused].Add(1)
		return
	}
	p.Subscribers = m.Subscribers
	if m.number++; !m.IsLate {
		p.Receipt = receipt{loops, fmt.Sprint("memory-", m.number)}
	}
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
