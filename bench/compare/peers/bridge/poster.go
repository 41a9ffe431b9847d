package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// connectionsMax bounds the channels that are posted to at a time.
	connectionsMax = 64
	// postTimeout is past what the largest fan-out takes.
	postTimeout = 30 * time.Second
)

// A poster publishes with one POST for each message. Those of one channel
// follow one another on a goroutine of their own that lives while there are
// some, so that a message to one client does not wait for the answer to one for
// everybody, which nchan gives after it has delivered it.
type poster struct {
	// Fixed after construction.
	base   string
	client *http.Client

	// Guarded by mu.
	mu     sync.Mutex
	queues map[string][][]byte // of channels whose goroutine is under way
	err    error
}

func newPoster(base string) *poster {
	return &poster{base: base, queues: map[string][][]byte{}, client: &http.Client{
		Timeout:   postTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: connectionsMax, MaxConnsPerHost: connectionsMax},
	}}
}

func (p *poster) publish(channel string, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	queue, running := p.queues[channel]
	p.queues[channel] = append(queue, payload)
	if !running {
		go p.run(channel)
	}
	return nil
}

// run posts a channel's messages until there are none.
func (p *poster) run(channel string) {
	for {
		p.mu.Lock()
		queue := p.queues[channel]
		if len(queue) == 0 {
			delete(p.queues, channel)
			p.mu.Unlock()
			return
		}
		p.queues[channel] = nil
		p.mu.Unlock()
		for _, payload := range queue {
			if err := p.post(channel, payload); err != nil {
				p.mu.Lock()
				p.err = err
				p.mu.Unlock()
			}
		}
	}
}

func (p *poster) post(channel string, payload []byte) error {
	response, err := p.client.Post(p.base+url.PathEscape(channel), "text/plain", bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("cannot post: %w", err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body) // so that the connection is used again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the POST was answered with %s", response.Status)
	}
	return nil
}
