package main

import "time"

const (
	// poolWorkersPerCore is enough that a handshake or a read that has to wait
	// for the rest of its bytes does not stop the others.
	poolWorkersPerCore = 64
	// poolQueueMax is what may wait for a worker before the loop waits.
	poolQueueMax = 1024
	// broadcastsMax is what may wait for a shard's writer before the
	// subscription waits.
	broadcastsMax = 256
	// eventsMax is taken by one epoll_wait.
	eventsMax = 256
	// handshakeTimeout and readTimeout bound what a worker waits for a peer
	// that has begun to say something, writeTimeout what a broadcast does.
	handshakeTimeout = 10 * time.Second
	readTimeout      = 10 * time.Second
	writeTimeout     = 10 * time.Second
	// pingInterval is the same for every server of the comparison.
	pingInterval = 5 * time.Minute
)

// A pool runs functions on a fixed number of goroutines.
type pool chan func()

func newPool(workers, queue int) pool {
	p := make(pool, queue)
	for range workers {
		go func() {
			for work := range p {
				work()
			}
		}()
	}
	return p
}
