package main

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// A natsTarget publishes through NATS's own client, which buffers and flushes
// by itself.
type natsTarget struct{ conn *nats.Conn }

func dialNATS(url string) (*natsTarget, error) {
	conn, err := nats.Connect(url)
	if err != nil {
		return nil, fmt.Errorf("cannot reach NATS at %s: %w", url, err)
	}
	return &natsTarget{conn}, nil
}

func (t *natsTarget) publish(channel string, payload []byte) error {
	if err := t.conn.LastError(); err != nil {
		return err
	}
	return t.conn.Publish(channel, payload)
}
